"""What a task is: a name, a type, labels and options, checked once."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hf_mtl._names import listed, nearest
from hf_mtl.configuration._label_values import named_values
from hf_mtl.configuration._per_label import PER_LABEL
from hf_mtl_light.description import checked_temperature, checked_thresholds
from hf_mtl_light.errors import UserError, UserTypeError
from hf_mtl_light.numerics import MOST_NUMBER

__all__ = ["TaskConfig", "listed_tasks"]

_POOLINGS = ("first", "last", "mean", "max", "attention")
_INPUTS = ("text", "image")
_MULTI_LABEL = "multi_label_classification"
_PROBLEM_TYPES = ("single_label_classification", _MULTI_LABEL)
#: The type that says its problem type by its name.
_MULTI_LABEL_TYPE = "multi-label-classification"
#: Fields under the names that earlier configs saved them by.
_FORMER_NAMES = {"share_with": "tied_to"}


@dataclass(frozen=True)
class TaskConfig:
    """One question asked of a text: its name, its type, its labels and its options.

    Args:
        name: Name of the task: of its head, of its column in the datasets, of its metrics.
        type: Task type, a row of `hf_mtl.heads.HEADS`, such as ``"sequence-classification"``; empty until
            `hf_mtl.infer_tasks` has read it off the data.
        labels: Label names in the model's own order. For sentiment: from most negative to most positive.
            For regression: names of the numbers, where a row has several. A mapping names the values of the column:
            ``{0: "negative", 1: "positive"}``.
        weight: Factor of the task's loss, at least 0.
        problem_type: ``"single_label_classification"`` or ``"multi_label_classification"``
            (``sequence-classification`` only); ``None`` is single label. The type ``multi-label-classification`` is
            the second by its name.
        pooling: The vector of a row that a sequence head sees: its ``"first"`` or ``"last"`` token, the ``"mean"`` or
            the ``"max"`` of its tokens, ``"attention"`` of a learned query, or ``None`` for the encoder family's own.
        layers: The encoder's layer that the head reads, from 0 (the embeddings) to the number of its layers, or
            ``"mix"`` for a learned mix of all; ``None`` is the last.
        layer_dropout: Probability of leaving a layer out of the mix in training, in [0, 1).
        dropout: Probability of dropping a feature before the last layer, in [0, 1); ``None`` is the family's own.
        label_smoothing: Mass moved from the right class to all classes evenly, in [0, 1).
        class_weights: A factor of the loss for each label of a single-label task, in the order of ``labels``, or
            ``"balanced"``: learned from the training labels, see `hf_mtl.heads.balanced_class_weights`.
        pos_weight: For each label of a multi-label task a factor of the loss where it holds, or ``"balanced"``: learned
            from the training labels, see `hf_mtl.heads.balanced_pos_weight`.
        thresholds: From which score on a multi-label task names a label, above 0 and below 1: one number, or one for
            each label; ``None`` is 0.5. ``trainer.tune_thresholds`` finds them.
        calibration_temperature: What the task's logits are divided by before they become probabilities, in
            [0.01, 100]; ``None``: the task is not calibrated, and they stay as they are. ``trainer.calibrate`` finds
            it.
        conformal_thresholds: Of a task with one label a row, from a coverage such as ``"0.9"`` to the probability from
            which a label belongs to a row's set. ``trainer.calibrate(coverage=0.9)`` finds it.
        metrics: Names of metrics to report; empty for those of the type.
        main_metric: The key of the metric that stands for the task in ``eval_score``; ``None`` is the type's own.
        target_mean: Mean that regression labels are centred by, one for each number of a row; ``None`` until learned
            from the training data.
        target_std: Standard deviation that regression labels are divided by, likewise; ``None`` until learned.
        tied_to: Another task, of the same type, labels and options, whose head this one uses, too; ``None``: it has
            its own.
        branch: The branch of the model whose layers the head reads; ``None``: the encoder's own top layers.
        options: Options of the task type alone, such as ``{"scheme": "IOB2"}``; each head documents its own.
        inputs: ``["text", "image"]``: the task reads the text and the picture of a row together, and a row may lack one
            of them. For ``sequence-classification``, ``multi-label-classification``, ``sentiment`` and ``regression``.
            Left out, the type says which of them it reads.
        label_values: From values of the column, as texts, to the labels that they stand for; a mapping as ``labels``
            sets it. Labels stand for themselves.

    Raises:
        ValueError: If a value is out of its range, or a label occurs twice.
        TypeError: If a value has the wrong type.

    >>> TaskConfig("sentiment", "sentiment", labels=["negative", "positive"]).labels
    ('negative', 'positive')
    >>> task = TaskConfig("slots", "token-classification", labels=["O", "B-city", "I-city"], weight=2.0)
    >>> task.num_labels
    3
    >>> TaskConfig("topic", "sequence-classification", labels=["news", "news"])
    Traceback (most recent call last):
        ...
    hf_mtl_light.errors.UserError: ...
    """

    name: str
    type: str = ""
    labels: Sequence[str] | None = None
    weight: float = 1.0
    problem_type: str | None = None
    pooling: str | None = None
    layers: int | str | None = None
    layer_dropout: float = 0.0
    dropout: float | None = None
    label_smoothing: float = 0.0
    class_weights: Sequence[float] | str | None = None
    pos_weight: Sequence[float] | str | None = None
    thresholds: Sequence[float] | float | None = None
    calibration_temperature: float | None = None
    conformal_thresholds: Mapping[str, float] = field(default_factory=dict)
    metrics: Sequence[str] = ()
    main_metric: str | None = None
    target_mean: Sequence[float | None] | float | None = None
    target_std: Sequence[float | None] | float | None = None
    tied_to: str | None = None
    branch: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[str] = ()
    label_values: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("name", "type"):
            value = getattr(self, name)
            if not isinstance(value, str) or (not value.strip() and (value or name == "name")):
                raise UserTypeError(f"Task {self.name!r}: {name} must be a non-empty string, found {value!r}.")
        if isinstance(self.metrics, str):
            raise UserTypeError(
                f"Task {self.name!r}: metrics must be a list of names, found the string {self.metrics!r}."
            )
        if self.options is not None and not isinstance(self.options, Mapping):
            raise UserTypeError(
                f"Task {self.name!r}: options must be a mapping such as {{'scheme': 'IOB2'}}, found {self.options!r}."
            )
        # Frozen value object: `object.__setattr__` is the documented way to normalise in `__post_init__`.
        labels, values = named_values(self.name, self.labels, self.label_values)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "label_values", values)
        object.__setattr__(self, "metrics", self.metrics or ())
        for name in ("labels", "metrics"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, self._as_tuple(name))
        for metric in self.metrics:
            if not isinstance(metric, str):
                raise UserTypeError(f"Task {self.name!r}: metrics must be a list of names, found {metric!r} in it.")
        object.__setattr__(self, "options", dict(self.options or {}))
        if self.tied_to is not None and not isinstance(self.tied_to, str):
            raise UserTypeError(f"Task {self.name!r}: tied_to must be a task's name, found {self.tied_to!r}.")
        if self.branch is not None and not isinstance(self.branch, str):
            raise UserTypeError(f"Task {self.name!r}: branch must be a branch's name, found {self.branch!r}.")
        self._check_labels()
        self._check_choice("problem_type", _PROBLEM_TYPES)
        if self.type == _MULTI_LABEL_TYPE:
            if self.problem_type not in (None, _MULTI_LABEL):
                raise UserError(
                    f"Task {self.name!r}: the type {self.type!r} is problem_type {_MULTI_LABEL!r}, found "
                    f"{self.problem_type!r}. Leave it out, or use the type 'sequence-classification'."
                )
            object.__setattr__(self, "problem_type", _MULTI_LABEL)
        for name, numbers in PER_LABEL.items():
            value = numbers.checked(f"Task {self.name!r}: {name}", getattr(self, name), self.labels)
            object.__setattr__(self, name, value)
        self._check_choice("pooling", _POOLINGS)
        self._check_inputs()
        self._check_layers()
        self._check_number("weight", 0.0, MOST_NUMBER)
        self._check_number("dropout", 0.0, 1.0)
        self._check_number("layer_dropout", 0.0, 1.0)
        self._check_number("label_smoothing", 0.0, 1.0)
        if self.calibration_temperature is not None:
            object.__setattr__(
                self, "calibration_temperature", checked_temperature(self.name, self.calibration_temperature)
            )

        kept = checked_thresholds(self.name, self.conformal_thresholds or {})
        object.__setattr__(self, "conformal_thresholds", kept)

    def _as_tuple(self, name: str) -> tuple[Any, ...]:
        value = getattr(self, name)
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise UserTypeError(f"Task {self.name!r}: {name} must be a list, found {value!r}.")
        return tuple(value)

    def _check_labels(self) -> None:
        if self.labels is not None:
            for label in self.labels:
                if not isinstance(label, str) or not label:
                    raise UserTypeError(
                        f"Task {self.name!r}: labels must be non-empty strings, found {label!r}. "
                        "Quote it where it is written."
                    )
            if twice := {label for label, count in Counter(self.labels).items() if count > 1}:
                raise UserError(f"Task {self.name!r}: labels occur twice: {listed(sorted(twice))}.")

    def _check_choice(self, name: str, choices: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value is not None and value not in choices:
            raise UserError(
                f"Task {self.name!r}: {name} must be one of {listed(choices)} or null, found {value!r}."
                f"{nearest(value, choices)}"
            )

    def _check_inputs(self) -> None:
        given = () if not self.inputs else self._as_tuple("inputs")
        if given and (len(given) != len(_INPUTS) or {*given} != {*_INPUTS}):
            raise UserError(
                f"Task {self.name!r}: inputs must be {list(_INPUTS)}, for a task that reads both, found {list(given)}. "
                "Leave it out for one that reads what its type says."
            )
        object.__setattr__(self, "inputs", _INPUTS if given else ())

    def _check_layers(self) -> None:
        value = self.layers
        if value is None or value == "mix" or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
            if self.layer_dropout and value != "mix":
                raise UserError(f"Task {self.name!r}: layer_dropout is for layers='mix', found layers={value!r}.")
            return
        raise UserError(
            f"Task {self.name!r}: layers must be the number of a layer from 0 (the embeddings), 'mix' or null, found "
            f"{value!r}."
        )

    def _check_number(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if value is None and name not in ("weight", "label_smoothing", "layer_dropout"):
            return
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise UserTypeError(f"Task {self.name!r}: {name} must be a number, found {value!r}.")
        if not low <= value < high:
            raise UserError(f"Task {self.name!r}: {name} must lie in [{low}, {high}), found {value!r}.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TaskConfig:
        """Build a task from a mapping, as read from JSON or YAML.

        Raises:
            ValueError: If a field is unknown; the message names the nearest valid one.
        """
        valid = [f.name for f in dataclasses.fields(cls)]
        for name in values:
            if name not in valid:
                raise UserError(
                    f"Task {values.get('name', '?')!r}: unknown field {name!r}.{nearest(name, valid)} "
                    f"Valid fields: {listed(valid)}."
                )
        for name in ("name", "type"):
            if name not in values:
                raise UserError(f"Task {values.get('name', '?')!r}: {name} is missing.")
        return cls(**values)

    @classmethod
    def from_saved(cls, values: Mapping[str, Any]) -> TaskConfig:
        """Build a task from what a saved config holds, fields under earlier names included: see `from_dict`."""
        if isinstance(values, Mapping):
            values = {_FORMER_NAMES.get(name, name): value for name, value in values.items()}
        return cls.from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults, as JSON knows them."""
        result: dict[str, Any] = {}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            default = f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default
            if value != default:
                result[f.name] = list(value) if isinstance(value, tuple) else value
        return result

    @property
    def num_labels(self) -> int:
        """C, the number of labels; 1 where the task has none."""
        return len(self.labels) if self.labels is not None else 1

    @property
    def is_multi_label(self) -> bool:
        """Whether a text may have any number of the labels."""
        return self.problem_type == _MULTI_LABEL


def listed_tasks(tasks: Any) -> list[Any]:
    """Return tasks as a list.

    Raises:
        TypeError: If they are something else, or one of them is no task.
    """
    kinds = (TaskConfig, Mapping)
    if isinstance(tasks, (str, *kinds)) or not isinstance(tasks, Iterable):
        raise UserTypeError(
            f"tasks must be a list such as [TaskConfig('emotion', labels=[...])], found {type(tasks).__name__}."
        )
    found = list(tasks)
    for task in found:
        if not isinstance(task, kinds):
            raise UserTypeError(f"tasks must be TaskConfigs or mappings of their fields, found {task!r} among them.")
    return found
