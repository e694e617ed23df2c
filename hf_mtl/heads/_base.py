"""The contract of a task type: its module, its labels, its loss, its answers and its metrics, in one class."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from hf_mtl.configuration import Modality, TaskConfig
from hf_mtl.encoder import States
from hf_mtl.heads._layers import LayerMix, check_layers
from hf_mtl.heads._output import HeadOutput, ScoredBatch
from hf_mtl.heads._stock import StockClassifier
from hf_mtl.heads._task_type import TaskType
from hf_mtl_light.answering import Answering
from hf_mtl_light.errors import UserError, UserTypeError
from hf_mtl_light.words import WordMap

__all__ = ["Head"]


class Head(TaskType, nn.Module):
    """A task type: answers one task from the encoder's states.

    A new task type is one subclass in one file and one row in `hf_mtl.heads.HEADS`. The class methods need no
    weights, so data loading workers use them without the model.

    Args:
        task: The task.
        encoder_config: The encoder's config; its ``hidden_size`` is H.

    A task type of a user's own is passed in, and inherits what it does not change:

    >>> from hf_mtl import MultiTaskModel, TaskConfig
    >>> from hf_mtl.heads import SequenceClassificationHead
    >>> class DoubledHead(SequenceClassificationHead):
    ...     def loss_sum(self, logits, labels):
    ...         return 2 * super().loss_sum(logits, labels)
    >>> task = TaskConfig("mood", "doubled", labels=["bad", "good"])
    >>> model = MultiTaskModel.from_encoder(encoder, [task], heads={"doubled": DoubledHead})
    >>> type(model.task_heads["mood"]).__name__
    'DoubledHead'
    """

    def __init__(self, task: TaskConfig, encoder_config: PreTrainedConfig) -> None:
        super().__init__()
        self.check(task)
        self.check_calibration(task)
        self.task = task
        #: Whether its weights are as they were initialised: neither loaded nor trained.
        self.is_new = False
        count = check_layers(task, encoder_config)
        #: Whether the head reads other layers than the last.
        self.reads_layers = task.layers is not None and task.layers != count
        self.mix = LayerMix(count, task.layer_dropout) if task.layers == "mix" else None
        self.classifier: Any = self.make_classifier(encoder_config)

    @classmethod
    def for_encoders(cls, task: TaskConfig, configs: Mapping[Modality, PreTrainedConfig]) -> Head:
        """Return a new head on a model's encoders.

        Args:
            task: The task.
            configs: The config of each encoder, by what it reads.
        """
        return cls(task, configs[cls.modality()])

    def make_classifier(self, encoder_config: PreTrainedConfig) -> nn.Module:
        """Return the head's layers: those of its family's stock class, or others with the same attributes."""
        kind = self.stock_kind or self.level
        return StockClassifier(kind, encoder_config, self.num_outputs(self.task), self.task.dropout)

    def tied(self, task: TaskConfig) -> Head:
        """Return this head under another task: the same parameters, held once."""
        # A copy one level deep has the very dicts of this one's parameters and layers, also when those are replaced.
        other = copy.copy(self)
        other.task = task
        return other

    # The module

    def reset_parameters(self) -> None:
        """Initialise the parameters that the head holds itself; its layers are initialised as the family does it."""

    @property
    def has_stock_form(self) -> bool:
        """Whether a stock class of Transformers computes what the head does: whether it can be exported as one."""
        try:
            self.stock_problem_type(self.task)
        except UserError:
            return False
        return self.beyond_stock is None

    @property
    def beyond_stock(self) -> str | None:
        """What of this head the encoder family's stock class cannot compute, as a clause; ``None``: nothing known."""
        if not self.classifier.is_stock:
            return "its family has no stock class for it that reads the encoder alone"
        if self.reads_layers:
            return f"it reads layers={self.task.layers!r}, and stock heads read the last"
        if self.task.pooling not in (None, *self.classifier.own_poolings):
            return f"it reads pooling={self.task.pooling!r} in place of its family's own"
        return None

    @property
    def reads_first_tokens(self) -> bool:
        """Whether each text's first token, in the last layer, is all that the head reads, as far as is known."""
        return False

    def read(self, states: States, layers: Sequence[torch.Tensor]) -> States:
        """Return the states that the head reads: of the last layer, of another, or of a mix of all.

        Args:
            states: The last layer's states.
            layers: [N, H] of the embeddings and of each layer, where the head `reads_layers`.
        """
        if not self.reads_layers:
            return states
        if self.mix is not None:
            return states.with_values(self.mix(layers))
        return states.with_values(layers[int(self.task.layers or 0)].to(states.values.dtype))

    def layer_weights(self) -> list[float] | None:
        """Return how much the mix weighs the embeddings and each layer, with the sum 1; ``None`` without a mix."""
        weights: list[float] | None = None if self.mix is None else self.mix.weights().tolist()
        return weights

    def forward(self, states: States) -> torch.Tensor:
        """Return the logits: [R, C] for sequence heads, [n, C] for the n tokens of tagging heads."""
        raise NotImplementedError

    def flat_logits(self, states: States, encoder: PreTrainedModel, tokens: torch.Tensor | None = None) -> torch.Tensor:
        """Return the logits without padding: what `forward` returns.

        Args:
            states: What the head reads, of N tokens.
            encoder: The encoder, for heads that use its embeddings.
            tokens: [R, L] bool, the tokens that are asked for, where a head computes the logits of single tokens.
        """
        logits: torch.Tensor = self(states)
        return logits

    def run(
        self,
        states: States,
        encoder: PreTrainedModel,
        labels: torch.Tensor | None = None,
        tokens: torch.Tensor | None = None,
    ) -> HeadOutput:
        """Return the logits of a batch in all forms that the model needs, beside its labels.

        Args:
            states: What the head reads of R rows.
            encoder: The encoder, for heads that use its embeddings.
            labels: What `encode_labels` returned.
            tokens: [R, L] bool: see `flat_logits`.
        """
        logits = self.flat_logits(states, encoder)
        return HeadOutput(logits, labels, logits)

    def in_unit(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logits as a stock model's would be: in the unit of the labels, or calibrated."""
        return logits if self.task.calibration_temperature is None else logits / self.task.calibration_temperature

    def loss_sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss summed over items, a scalar in nats (regression: squared standard deviations).

        Args:
            logits: What `forward` returned.
            labels: What `encode_labels` returned; flat [n] for token heads, with `no_label` at some.
        """
        raise NotImplementedError

    def divergence_sum(self, logits_a: torch.Tensor, logits_b: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return how far two answers to the same items differ, summed over the items that have a label, a scalar.

        It is the mean of the Kullback-Leibler divergences in both directions, in nats (regression: the squared
        difference, in squared standard deviations), of the probabilities that `loss_sum` judges: 0 for equal answers,
        never negative, the same with the two exchanged. Labels only name the items; their classes, and weights of
        classes, are not read. Both answers get gradients: detach the one that should not.

        Args:
            logits_a: What `loss_sum` takes: [R, C], or [n, C] of n tokens.
            logits_b: Of the same shape.
            labels: What `loss_sum` takes: flat [n] for token heads, with `no_label` at some.

        Raises:
            TypeError: If the type does not define it.
        """
        raise UserTypeError(
            f"Task {self.task.name!r}: {type(self).__name__} does not say how far two answers differ. Define "
            "divergence_sum(logits_a, logits_b, labels) beside its loss_sum."
        )

    # Teaching another model, and learning from one

    def label_probabilities(self, logits: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Return what another model may learn from these answers: the probability of each label.

        Args:
            logits: As the model returned them, [R, C] or [R, L, C].
            labels: [R, L] labels of the same tokens, for heads that must know which of them begin words.

        Returns:
            In the shape of the logits, at least float32; of numbers the numbers in the unit of the labels.

        Raises:
            TypeError: If the type does not define it.
        """
        raise UserTypeError(
            f"Task {self.task.name!r}: {self.task.type} cannot teach another model, nor learn from one. Leave the task "
            "out of the distillation: tasks: [...]."
        )

    @classmethod
    def soft_labels(cls, task: TaskConfig, probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return another model's answers as labels of the same items, in the form of `encode_labels`.

        Args:
            task: The task.
            probabilities: What `label_probabilities` returned, in the order of the task's labels.
            labels: What `encode_labels` returned, which says what has a label.
        """
        raise NotImplementedError

    def taught_sum(self, logits: torch.Tensor, labels: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
        """Return the loss of another model's answers, summed over items: `loss_sum`, at a temperature.

        Args:
            logits: What `forward` returned.
            labels: What `soft_labels` returned, flat for token heads.
            temperature: What both models' logits are divided by, where they are logits of classes. The loss is
                multiplied by its square, so that gradients keep their size.

        Raises:
            ValueError: If the type has a loss at temperature 1 alone.

        Source: G. Hinton, O. Vinyals, J. Dean, Distilling the Knowledge in a Neural Network, 2015, section 2.
        """
        if temperature != 1:
            raise UserError(f"Task {self.task.name!r}: {self.task.type} learns from teachers at temperature 1 alone.")
        return self.loss_sum(logits, labels)

    def resize_vocabulary(self, encoder_config: PreTrainedConfig) -> None:
        """Follow the encoder's embeddings to another number of tokens, where the head's layers depend on it."""

    # Evaluation

    def tokens_to_score(self, labels: torch.Tensor) -> torch.Tensor | None:
        """Return the tokens that evaluation asks for, [R, L] bool: see `flat_logits`; ``None``: all."""
        return None

    @staticmethod
    def of_rows(logits: torch.Tensor, rows: Any) -> torch.Tensor:
        """Return the logits of some rows of the batch; of logits of chosen tokens all, as the choice is theirs."""
        return logits[rows]

    def score(
        self, logits: torch.Tensor, labels: torch.Tensor, words: Sequence[WordMap], values: Sequence[Any]
    ) -> ScoredBatch:
        """Return predictions, labels and loss of R rows, for metrics.

        Args:
            logits: As the model returned them: see `HeadOutput`.
            labels: What `encode_labels` returned.
            words: What became of each row's words.
            values: The rows' labels as read.
        """
        loss, items = self.loss_sum(logits, labels), self.count_items(labels)
        return ScoredBatch(self.predictions(logits, words), list(values), float(loss), int(items))

    # Answers

    def predictions(self, logits: torch.Tensor, words: Sequence[WordMap]) -> list[Any]:
        """Return one prediction a row, in the form of `reference`.

        Args:
            logits: [R, C] or [R, L, C].
            words: What became of each row's words.
        """
        raise NotImplementedError

    def answering(self, tokenizer: PreTrainedTokenizerBase | None = None) -> Answering:
        """Return what answers, where the head's class alone could not: with its weights, or in the tokenizer's words.

        Args:
            tokenizer: The tokenizer; ``None`` where none is at hand.
        """
        return type(self)
