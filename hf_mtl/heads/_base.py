"""The contract of a task type: its module, its labels, its loss, its answers and its metrics, in one class."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import TaskConfig
from hf_mtl.encoder import States
from hf_mtl.heads._labels import LabelledRow
from hf_mtl.heads._layers import LayerMix, check_layers
from hf_mtl.heads._stock import StockClassifier, StockKind
from hf_mtl_light.answering import Answering, AnswerOptions, answers_of
from hf_mtl_light.description import TaskDescription
from hf_mtl_light.words import Reading, WordMap

__all__ = ["Head", "NoOptions"]


@dataclass(frozen=True)
class NoOptions:
    """Options of a task type that has none."""


class Head(nn.Module):
    """A task type: answers one task from the encoder's states.

    A new task type is one subclass in one file and one row in `hf_mtl.heads.HEADS`. The class methods need no
    weights, so data loading workers use them without the model.

    Args:
        task: The task.
        encoder_config: The encoder's config; its ``hidden_size`` is H.
    """

    #: ``"sequence"``: one answer a text, logits [R, C]. ``"token"``: one a word, logits [n, C]. ``"mask"``: one a mask
    #: token; the task's column is text, the model's input, and tokens that the collator masks in it are its labels;
    #: logits [m, C] of masked tokens alone.
    level: ClassVar[Literal["sequence", "token", "mask"]]
    #: What the task reads of a row.
    reads: ClassVar[Reading] = "text"
    #: Whether labels are those of words, so that labelled rows must come as ``tokens``.
    needs_words: ClassVar[bool] = False
    #: Whether ``ClassLabel`` integers stand for their names.
    names_classes: ClassVar[bool] = True
    #: Whether ``TaskConfig.labels`` lists what may be answered.
    takes_labels: ClassVar[bool] = True
    #: Which of a family's stock classes the layers are of, a key of `hf_mtl.heads._stock`; ``None``: the `level`'s.
    stock_kind: ClassVar[StockKind | None] = None
    #: Why no graph can answer tasks of the type without this library, as a clause; ``None``: one can.
    beyond_graphs: ClassVar[str | None] = None
    #: The Hub's name for what the type does; where Transformers has a pipeline of that name, stock models run in it.
    hub_task: ClassVar[str] = "text-classification"
    #: What stands before a task's labels where it is told what it answers.
    labels_told: ClassVar[str] = "one of"
    #: What is answered where a task has no labels.
    answer_told: ClassVar[str] = "a number"
    #: What a row needs besides its text, with an example.
    more_input: ClassVar[Mapping[str, Any]] = {}
    #: Dataclass of the options that ``TaskConfig.options`` may hold.
    Options: ClassVar[type] = NoOptions
    #: Whether `learn` needs to see the training labels before training.
    learns_from_labels: ClassVar[bool] = False
    #: Whether the loss is a squared error, a Gaussian likelihood but for its scale; else a cross-entropy.
    is_regression: ClassVar[bool] = False

    def __init__(self, task: TaskConfig, encoder_config: PreTrainedConfig) -> None:
        super().__init__()
        self.check(task)
        self.task = task
        count = check_layers(task, encoder_config)
        #: Whether the head reads other layers than the last.
        self.reads_layers = task.layers is not None and task.layers != count
        self.mix = LayerMix(count, task.layer_dropout) if task.layers == "mix" else None
        kind = self.stock_kind or self.level
        self.classifier = StockClassifier(kind, encoder_config, self.num_outputs(task), task.dropout)

    def tied(self, task: TaskConfig) -> Head:
        """Return this head under another task: the same parameters, held once."""
        # A copy one level deep has the very dicts of this one's parameters and layers, also when those are replaced.
        other = copy.copy(self)
        other.task = task
        return other

    # What the task is

    @classmethod
    def check(cls, task: TaskConfig) -> None:
        """Check the task's fields against what this type needs.

        Raises:
            ValueError: If labels are missing or a field makes no sense for this type.
        """
        cls.options(task)
        cls.check_multi_label(task)
        if not task.labels or len(task.labels) < 2:
            raise ValueError(
                f"Task {task.name!r}: {task.type} needs at least 2 labels, found "
                f"{listed(task.labels) if task.labels else 'none'}. "
                f"Write TaskConfig({task.name!r}, {task.type!r}, labels=[...])."
            )

    @classmethod
    def check_multi_label(cls, task: TaskConfig) -> None:
        """Check that the fields of multi-label tasks alone, and those that they do not take, are where they belong.

        Raises:
            ValueError: If one is not; the message says which field does what was meant.
        """
        if task.is_multi_label:
            if task.class_weights is not None:
                raise ValueError(
                    f"Task {task.name!r}: class_weights are for tasks with one label a text. In a multi-label task "
                    "pos_weight weighs each label where it holds: write pos_weight in its place."
                )
            return
        for name in ("pos_weight", "thresholds"):
            if getattr(task, name) is not None:
                use = "class_weights" if name == "pos_weight" else "top_k"
                raise ValueError(
                    f"Task {task.name!r}: {name} is for multi-label tasks. Leave it out (a task with one label has "
                    f"{use}), or set the type 'multi-label-classification'."
                )

    @classmethod
    def options(cls, task: TaskConfig) -> Any:
        """Return the task's options as an instance of `Options`.

        Raises:
            ValueError: If an option is unknown or out of range.
        """
        valid = [f.name for f in dataclasses.fields(cls.Options)]
        for name in task.options:
            if name not in valid:
                raise ValueError(
                    f"Task {task.name!r}: unknown option {name!r} of type {task.type!r}.{nearest(name, valid)} "
                    f"Valid options: {listed(valid) or 'none'}."
                )
        try:
            return cls.Options(**task.options)
        except (TypeError, ValueError) as error:
            raise ValueError(f"Task {task.name!r}: {error}") from None

    @classmethod
    def num_outputs(cls, task: TaskConfig) -> int:
        """Return the size of the last layer."""
        return task.num_labels

    @classmethod
    def loss_of_guessing(cls, task: TaskConfig) -> float:
        """Return the mean loss of a head that finds all answers alike, where training starts: log C nats."""
        return math.log(task.num_labels)

    @classmethod
    def targets(cls, task: TaskConfig) -> tuple[str, ...]:
        """Return the names of a row's numbers where it has several, each scored by itself; none for other tasks."""
        return ()

    @classmethod
    def default_metrics(cls, task: TaskConfig) -> tuple[tuple[str, ...], str]:
        """Return the names of the type's metrics, and the key of the one that stands for the task."""
        raise NotImplementedError

    @classmethod
    def scores_of_loss(cls, loss: float) -> dict[str, float]:
        """Return what is reported besides metrics and follows from the mean loss."""
        return {}

    @classmethod
    def learn(cls, task: TaskConfig, values: Iterable[Any]) -> TaskConfig:
        """Return the task with what the training labels taught; called where `learns_from_labels`."""
        return task

    @classmethod
    def stock_problem_type(cls, task: TaskConfig) -> str | None:
        """Return what the config of a stock Transformers model says of the task: its ``problem_type``.

        Raises:
            ValueError: If no stock class answers this type of task; the message says what does.
        """
        raise ValueError(
            f"Task {task.name!r}: no stock Transformers class answers tasks of the type {task.type!r}. Export to ONNX, "
            "which takes any head that can describe its answers."
        )

    # Labels

    @classmethod
    def read_label(cls, task: TaskConfig, value: Any, row: LabelledRow) -> Any:
        """Return a row's label in the form of `encode_labels` and `reference`, which do not see the row.

        Args:
            task: The task.
            value: The label as the dataset holds it, not null.
            row: The row.

        Returns:
            The label; ``None`` where it means none.

        Raises:
            LabelError: If the label does not fit its row, with row 0.
        """
        return value

    @classmethod
    def windows_to_train(cls, task: TaskConfig, value: Any, windows: Sequence[tuple[int, int]]) -> Sequence[int]:
        """Return which windows over a row's context are trained on.

        Args:
            task: The task.
            value: The row's label.
            windows: The start and end of each window in the context, in characters.
        """
        return range(len(windows))

    @classmethod
    def encode_labels(cls, task: TaskConfig, values: Sequence[Any], words: Sequence[WordMap]) -> torch.Tensor:
        """Turn R labels, none of them null, into the tensor that `loss_sum` takes.

        Args:
            task: The task.
            values: The labels as the dataset holds them, class integers already turned into their names.
            words: What became of each row's words.

        Returns:
            [R] for sequence tasks, [R, C] for multi-label ones and for regression on several numbers (NaN where one is
            null), [R, L] with -100 at positions without a label for tagging.

        Raises:
            LabelError: If a label is not one of the task's, or not of its kind.
        """
        raise NotImplementedError

    @classmethod
    def reference(cls, task: TaskConfig, value: Any) -> Any:
        """Turn one label into the form that metrics compare predictions with.

        Raises:
            LabelError: As `encode_labels`, with row 0.
        """
        raise NotImplementedError

    @classmethod
    def comparable(cls, predictions: Sequence[Any], references: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Return predictions and references as metrics compare them, without what no label asks for."""
        return list(predictions), list(references)

    @staticmethod
    def count_items(labels: torch.Tensor) -> torch.Tensor:
        """Return the number of items with a label, a scalar int64: what a task's loss is divided by."""
        return torch.tensor(len(labels), device=labels.device)

    # The module

    def reset_parameters(self) -> None:
        """Initialise the parameters that the head holds itself; its layers are initialised as the family does it."""

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

    def loss_sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss summed over items, a scalar in nats (regression: squared standard deviations).

        Args:
            logits: What `forward` returned.
            labels: What `encode_labels` returned; flat [n] for tagging heads.
        """
        raise NotImplementedError

    # Answers

    @classmethod
    def describe(cls, task: TaskConfig) -> TaskDescription | None:
        """Return what answers must know of a task besides its logits, as it is written into an exported graph's folder.

        ``None``: that is not enough for them. A head then makes its `answers` itself, and cannot leave for ONNX.
        """
        return None

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

    @classmethod
    def answers(
        cls, task: TaskConfig, logits: np.ndarray, words: Sequence[WordMap], options: AnswerOptions | None = None
    ) -> list[Any]:
        """Return one answer a row for a person or a program, of plain Python values that JSON knows.

        No weights are needed, nor torch: logits may come from anywhere. What `describe` returns says how they are
        made, by which of `hf_mtl_light.answering.KINDS`.

        Args:
            task: The task.
            logits: [R, C]; for tagging heads [n, C], the tokens of the rows one row after the other.
            words: What became of each row's words; its ``word_ids`` say how many tokens a row has.
            options: What is asked for; ``None`` is the default of each option.
        """
        description = cls.describe(task)
        if description is None:
            raise NotImplementedError(f"{cls.__name__} has neither answers nor a description that they follow from.")
        return answers_of(description).answers(description, logits, words, options)

    @classmethod
    def answer_fields(cls, task: TaskConfig, options: AnswerOptions | None = None) -> Any:
        """Return what an answer holds, for tables whose columns must be known before the first row.

        Returns:
            ``str``, ``int`` or ``float``; a dict from names to fields; a list of one field, for any number of them; or
            ``None`` where the type does not say: such answers are kept as JSON.
        """
        description = cls.describe(task)
        return None if description is None else answers_of(description).answer_fields(description, options)
