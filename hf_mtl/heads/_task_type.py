"""What is known of a task type without weights: its labels, its metrics, how its answers are described."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import A_NUMBER, Modality, TaskConfig
from hf_mtl.heads._labels import LabelledRow
from hf_mtl.heads._stock import StockKind
from hf_mtl_light.answering import AnswerOptions, answers_of
from hf_mtl_light.description import TaskDescription
from hf_mtl_light.errors import UserError
from hf_mtl_light.words import Reading, WordMap

__all__ = ["NoOptions", "TaskType"]


@dataclass(frozen=True)
class NoOptions:
    """Options of a task type that has none."""


class TaskType:
    """The half of `Head` that needs no weights: class attributes and class methods, which data loading workers use."""

    #: What answers are given for. ``"sequence"``: each text, logits [R, C]. ``"token"``: each word, logits [n, C] of
    #: tokens; subclass `TokenHead`. ``"mask"``: each mask token, logits [m, C] of those alone.
    level: ClassVar[Literal["sequence", "token", "mask"]]
    #: The mark of "no label" in what `encode_labels` returns, of a kind that its dtype can hold: a number, such as
    #: torch's own -100 for class ids, or ``math.nan`` for floating labels. A token head's padding gets it.
    no_label: ClassVar[float] = -100
    #: Whether the task's column is text, the input of its rows, which the collator masks; such a task has no labels.
    column_is_input: ClassVar[bool] = False
    #: What the task reads of a row.
    reads: ClassVar[Reading] = "text"
    #: Whether labels are those of words, so that labelled rows must come as ``tokens``.
    needs_words: ClassVar[bool] = False
    #: Whether a label is the objects of a picture, with a box and a label each: a mapping with ``bbox``, ``category``.
    labels_objects: ClassVar[bool] = False
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
    #: The words before a task's labels where cards and tables say what it answers.
    labels_phrase: ClassVar[str] = "one of"
    #: What cards and tables say a task without labels answers.
    answer_phrase: ClassVar[str] = A_NUMBER
    #: Columns that a row needs besides its text, with an example of each.
    example_columns: ClassVar[Mapping[str, Any]] = {}
    #: Dataclass of the options that ``TaskConfig.options`` may hold.
    Options: ClassVar[type] = NoOptions
    #: Whether `learn` needs to see the training labels before training.
    learns_from_labels: ClassVar[bool] = False
    #: What answers have in common that tasks can learn from each other, beside what they read; ``None``: no task of the
    #: type learns from a teacher, or is one. Any number of labels for a row are "labels" whatever the type says.
    lesson_kind: ClassVar[str | None] = None
    #: Whether the loss is a squared error, a Gaussian likelihood but for its scale; else a cross-entropy.
    is_regression: ClassVar[bool] = False

    @classmethod
    def modality(cls) -> Modality:
        """Return which of a model's encoders the task reads; of both that of texts."""
        return "image" if cls.reads == "image" else "text"

    @classmethod
    def modalities(cls) -> tuple[Modality, ...]:
        """Return all of a model's encoders that the task reads."""
        return (cls.modality(),)

    # What the task is

    @classmethod
    def check(cls, task: TaskConfig) -> None:
        """Check the task's fields against what this type needs.

        Raises:
            ValueError: If labels are missing, or given where `takes_labels` is false, or a field makes no sense for
                this type.
        """
        cls.options(task)
        cls.check_multi_label(task)
        if not cls.takes_labels:
            given = [name for name in ("labels", "class_weights", "label_smoothing") if getattr(task, name)]
            if given:
                raise UserError(f"Task {task.name!r}: {task.type} takes no {listed(given)}. Leave them out.")
            return
        if not task.labels or len(task.labels) < 2:
            raise UserError(
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
                raise UserError(
                    f"Task {task.name!r}: class_weights are for tasks with one label a text. In a multi-label task "
                    "pos_weight weighs each label where it holds: write pos_weight in its place."
                )
            return
        for name in ("pos_weight", "thresholds"):
            if getattr(task, name) is not None:
                use = "class_weights" if name == "pos_weight" else "top_k"
                raise UserError(
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
                raise UserError(
                    f"Task {task.name!r}: unknown option {name!r} of type {task.type!r}.{nearest(name, valid)} "
                    f"Valid options: {listed(valid) or 'none'}."
                )
        try:
            return cls.Options(**task.options)
        except (TypeError, ValueError) as error:
            raise UserError(f"Task {task.name!r}: {error}") from None

    @classmethod
    def num_outputs(cls, task: TaskConfig) -> int:
        """Return the size of the last layer."""
        return task.num_labels

    @classmethod
    def loss_of_guessing(cls, task: TaskConfig) -> float:
        """Return the mean loss of a head that finds all answers alike, where training starts.

        log C nats; of a regression 1, the variance of its standardised labels.
        """
        return 1.0 if cls.is_regression else math.log(task.num_labels)

    @classmethod
    def targets(cls, task: TaskConfig) -> tuple[str, ...]:
        """Return the names of a row's numbers where it has several, each scored by itself; none for other tasks."""
        return ()

    @classmethod
    def default_metrics(cls, task: TaskConfig) -> tuple[tuple[str, ...], str]:
        """Return the names of the type's metrics, and the key of the one that stands for the task."""
        raise NotImplementedError

    @classmethod
    def main_metric(cls, task: TaskConfig) -> str:
        """Return the key of the metric that stands for the task: its own, or else the type's."""
        return task.main_metric or cls.default_metrics(task)[1]

    @classmethod
    def scores_of_loss(cls, loss: float) -> dict[str, float]:
        """Return what is reported besides metrics and follows from the mean loss."""
        return {}

    @classmethod
    def output_names(cls, task: TaskConfig) -> list[str] | None:
        """Return the names of the logits as a stock model's config lists them; ``None``: it lists none."""
        outputs = cls.num_outputs(task)
        names = list(task.labels or [task.name])
        return names if len(names) == outputs else [f"{task.name}_{i}" for i in range(outputs)]

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
        what = "Export to ONNX, which takes any head that can describe its answers."
        if cls.beyond_graphs is not None:
            what = "Answer it by hf_mtl's own pipeline, 'multi-task'."
        raise UserError(
            f"Task {task.name!r}: no stock Transformers class answers tasks of the type {task.type!r}. {what}"
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
            null), [R, L] with `no_label` at positions without a label for token heads.

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

    @classmethod
    def has_label(cls, labels: torch.Tensor) -> torch.Tensor:
        """Return which of the labels are not `no_label`, in their shape."""
        return ~labels.isnan() if math.isnan(cls.no_label) else labels.ne(cls.no_label)

    @classmethod
    def count_items(cls, labels: torch.Tensor) -> torch.Tensor:
        """Return the number of items with a label, a scalar int64: what a task's loss is divided by."""
        return torch.tensor(len(labels), device=labels.device)

    # Answers

    @classmethod
    def describe(cls, task: TaskConfig) -> TaskDescription | None:
        """Return what answers must know of a task besides its logits, as it is written into an exported graph's folder.

        ``None``: that is not enough for them. A head then makes its `answers` itself, and cannot be exported to ONNX.
        """
        return None

    @classmethod
    def described(cls, task: TaskConfig) -> TaskDescription | None:
        """Return what `describe` says, and how the task was calibrated."""
        description = cls.describe(task)
        if description is None or (task.calibration_temperature is None and not task.conformal_thresholds):
            return description
        return dataclasses.replace(
            description,
            temperature=task.calibration_temperature or 1.0,
            conformal_thresholds=task.conformal_thresholds,
        )

    @classmethod
    def is_calibratable(cls, task: TaskConfig) -> bool:
        """Return whether logits become probabilities by a softmax or sigmoid alone, so that a temperature fits them."""
        description = cls.describe(task)
        return description is not None and description.function != "none"

    @classmethod
    def gives_sets(cls, task: TaskConfig) -> bool:
        """Return whether a row has one of several labels, so that a set of them can hold it."""
        return cls.is_calibratable(task) and "coverage" in cls.answer_options(task)

    @classmethod
    def check_calibration(cls, task: TaskConfig) -> None:
        """Check that a task that was calibrated has the probabilities for it.

        Raises:
            ValueError: If it has none.
        """
        if task.calibration_temperature is not None and not cls.is_calibratable(task):
            raise UserError(
                f"Task {task.name!r}: calibration_temperature is for probabilities that are a softmax or sigmoid of "
                f"logits, and those of {task.type} are not. Leave it out."
            )
        if task.conformal_thresholds and not cls.gives_sets(task):
            raise UserError(
                f"Task {task.name!r}: conformal_thresholds are for tasks with one label a row, and {task.type} is "
                "none. Leave them out."
            )

    @classmethod
    def answer_options(cls, task: TaskConfig) -> frozenset[str]:
        """Return the names of the `AnswerOptions` that `answers` reads, which others are refused beside.

        Those of the kind that `describe` names; of a head that makes its answers itself, and does not say, all.
        """
        description = cls.described(task)
        if description is None:
            return frozenset(field.name for field in dataclasses.fields(AnswerOptions))
        return answers_of(description).answer_options(description)

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
        description = cls.described(task)
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
        description = cls.described(task)
        return None if description is None else answers_of(description).answer_fields(description, options)
