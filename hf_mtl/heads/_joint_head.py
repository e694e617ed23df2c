"""What heads have in common that answer once a row from its text and its picture together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers import initialization as init

from hf_mtl.configuration import Modality, TaskConfig
from hf_mtl.encoder import FlatLayout, FlatStates, ImageStates, JointStates, States, state_size
from hf_mtl.heads._sequence_head import SequenceHead
from hf_mtl.heads._stock import StockKind
from hf_mtl_light.errors import UserError
from hf_mtl_light.words import Reading

__all__ = ["JointHead", "JointLayers"]


class JointLayers(nn.Module):
    r"""From the vectors of a text and a picture to logits.

    .. math:: z = W \\tanh(V [t; p] + b) + c

    A text or a picture that is missing is replaced by a learned vector, zero at first. Dropout acts before both layers.

    Args:
        text_size: Features of a text's vector.
        image_size: Features of a picture's.
        num_outputs: Size of the last layer.
        std: Standard deviation of the first weights.
        dropout: Probability in [0, 1).
    """

    # What other heads say of their layers: no stock class has these.
    kind: ClassVar[StockKind] = "sequence"
    is_stock = False
    own_poolings: tuple[str, ...] = ()
    pooler = None
    stock = None

    def __init__(self, text_size: int, image_size: int, num_outputs: int, std: float, dropout: float) -> None:
        super().__init__()
        self.std = std
        self.missing_text = nn.Parameter(torch.zeros(text_size))
        self.missing_image = nn.Parameter(torch.zeros(image_size))
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(text_size + image_size, text_size)
        self.output = nn.Linear(text_size, num_outputs)

    def reset(self) -> None:
        """Draw the weights from a normal distribution; the vectors of what is missing are zero."""
        for layer in (self.dense, self.output):
            init.normal_(layer.weight, std=self.std)
            init.zeros_(layer.bias)
        init.zeros_(self.missing_text)
        init.zeros_(self.missing_image)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return [R, C] of vectors [R, H + H']."""
        logits: torch.Tensor = self.output(self.dropout(torch.tanh(self.dense(self.dropout(vectors)))))
        return logits


class JointHead(SequenceHead):
    """A head that answers once a row; losses, labels and answers are those of the other parent of a task type.

    The text's vector is pooled as the task says, or as its encoder's family does it; the picture's is what its
    encoder's pooler gives, or the state of its class token, or the mean of its states.

    Args:
        task: The task.
        encoder_config: The config of the encoder of texts.
        image_config: That of the encoder of pictures.
    """

    reads: ClassVar[Reading] = "joint"
    beyond_graphs = "it reads a text and a picture together"

    def __init__(self, task: TaskConfig, encoder_config: PreTrainedConfig, image_config: PreTrainedConfig) -> None:
        self._image_size = state_size(image_config)
        super().__init__(task, encoder_config)

    @classmethod
    def modalities(cls) -> tuple[Modality, ...]:
        """Return both: see `TaskType.modalities`."""
        return ("text", "image")

    @classmethod
    def for_encoders(cls, task: TaskConfig, configs: Mapping[Modality, PreTrainedConfig]) -> JointHead:
        """Return a new head: see `Head.for_encoders`."""
        return cls(task, configs["text"], configs["image"])

    @classmethod
    def check(cls, task: TaskConfig) -> None:
        """Check the task: see `TaskType.check`.

        Raises:
            ValueError: If it is to read another layer than the last.
        """
        super().check(task)
        if task.layers is not None:
            raise UserError(
                f"Task {task.name!r}: layers={task.layers!r} is for tasks of one input, and it has inputs=['text', "
                "'image']. Leave layers out."
            )

    def make_classifier(self, encoder_config: PreTrainedConfig) -> nn.Module:
        """Return the layers: see `Head.make_classifier`."""
        dropout, std = self.task.dropout, float(getattr(encoder_config, "initializer_range", 0.02))
        if dropout is None:
            dropout = getattr(encoder_config, "hidden_dropout_prob", 0.1)
        outputs = self.num_outputs(self.task)
        return JointLayers(state_size(encoder_config), self._image_size, outputs, std, dropout)

    @property
    def reads_first_tokens(self) -> bool:
        """Whether each text's first token is all that the head reads: not known of the picture."""
        return False

    def read(self, states: States, layers: Sequence[torch.Tensor]) -> States:
        """Return one state a row, [P, H + H']: the vectors of its text and of its picture."""
        assert isinstance(states, JointStates), "a head of both reads the states of both encoders"
        assert self.pooling is not None, "no stock class pools for it"
        texts, pictures = states.pairs.unbind(1)
        vectors = torch.cat(
            [
                _vectors(states.text, texts, self.pooling, self.classifier.missing_text),
                _vectors(states.image, pictures, _of_picture, self.classifier.missing_image),
            ],
            1,
        )
        return FlatStates(vectors, FlatLayout.of_single_tokens(torch.arange(len(vectors) + 1, device=vectors.device)))

    def forward(self, states: States) -> torch.Tensor:
        """Return the logits [R, C] of R rows."""
        return self.logits_of(self.classifier(states.values))


def _vectors(
    states: States | None, numbers: torch.Tensor, pool: Callable[[Any], torch.Tensor], missing: torch.Tensor
) -> torch.Tensor:
    """Return the vectors of rows by their numbers, [P, H]; of -1 what stands for what is missing."""
    is_there = numbers >= 0
    spare = missing.expand(len(numbers), -1)
    if states is None or not bool(is_there.any()):
        return spare
    found = pool(states.select(numbers[is_there]))
    if bool(is_there.all()):
        return found
    return spare.to(found.dtype).index_copy(0, is_there.nonzero()[:, 0], found)


def _of_picture(states: ImageStates) -> torch.Tensor:
    """Return one vector a picture, [R, H]."""
    if states.pooled is not None:
        return states.pooled
    has_class_token = states.mask.shape[1] > states.grid[0] * states.grid[1]
    return states.first() if has_class_token else states.mean()
