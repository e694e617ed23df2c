"""What a multi-task model is: an encoder's config and an ordered list of tasks.

Strings and numbers only. ``MultiTaskConfig`` writes them to ``config.json`` and reads back exactly
the same, in the same order.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

from torch import nn
from transformers import AutoConfig, BertConfig, PreTrainedConfig

from hf_mtl._names import listed, nearest
from hf_mtl.configuration._label_values import named_values
from hf_mtl.configuration._per_label import PER_LABEL
from hf_mtl.configuration._ties import check_ties
from hf_mtl.configuration._untrusted import check_values

__all__ = ["INPUT_COLUMNS", "MultiTaskConfig", "TaskConfig", "check_task_names"]

#: Columns of a dataset that hold its input.
INPUT_COLUMNS = ("text", "text_pair", "tokens", "choices")

# Names that mean something else to `forward`, to a batch or to the log.
_RESERVED = frozenset(
    {
        *INPUT_COLUMNS,
        *("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds"),
        *("labels", "rows", "tasks", "loss", "losses", "logits", "id", "score"),
    }
)
_POOLINGS = ("first", "last", "mean", "max", "attention")
_MULTI_LABEL = "multi_label_classification"
_PROBLEM_TYPES = ("single_label_classification", _MULTI_LABEL)
#: The type that says its problem type by its name.
_MULTI_LABEL_TYPE = "multi-label-classification"


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
        metrics: Names of metrics to report; empty for those of the type.
        main_metric: The key of the metric that stands for the task in ``eval_score``; ``None`` is the type's own.
        target_mean: Mean that regression labels are centred by, one for each number of a row; ``None`` until learned
            from the training data.
        target_std: Standard deviation that regression labels are divided by, likewise; ``None`` until learned.
        tied_to: Another task, of the same type, labels and options, whose head this one uses, too; ``None``: it has
            its own.
        options: Options of the task type alone, such as ``{"scheme": "IOB2"}``; each head documents its own.
        label_values: From values of the column, as texts, to the labels that they stand for; a mapping as ``labels``
            sets it. Labels stand for themselves.

    Raises:
        ValueError: If a value is out of its range, or a label occurs twice.
        TypeError: If a value has the wrong type.

    >>> TaskConfig("sentiment", "sentiment", labels=["negative", "positive"]).labels
    ('negative', 'positive')
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
    metrics: Sequence[str] = ()
    main_metric: str | None = None
    target_mean: Sequence[float | None] | float | None = None
    target_std: Sequence[float | None] | float | None = None
    tied_to: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    label_values: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("name", "type"):
            value = getattr(self, name)
            if not isinstance(value, str) or (not value.strip() and (value or name == "name")):
                raise TypeError(f"Task {self.name!r}: {name} must be a non-empty string, found {value!r}.")
        if isinstance(self.metrics, str):
            raise TypeError(f"Task {self.name!r}: metrics must be a list of names, found the string {self.metrics!r}.")
        # Frozen value object: `object.__setattr__` is the documented way to normalise in `__post_init__`.
        labels, values = named_values(self.name, self.labels, self.label_values)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "label_values", values)
        for name in ("labels", "metrics"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, self._as_tuple(name))
        object.__setattr__(self, "options", dict(self.options or {}))
        if self.tied_to is not None and not isinstance(self.tied_to, str):
            raise TypeError(f"Task {self.name!r}: tied_to must be a task's name, found {self.tied_to!r}.")
        self._check_labels()
        self._check_choice("problem_type", _PROBLEM_TYPES)
        if self.type == _MULTI_LABEL_TYPE:
            if self.problem_type not in (None, _MULTI_LABEL):
                raise ValueError(
                    f"Task {self.name!r}: the type {self.type!r} is problem_type {_MULTI_LABEL!r}, found "
                    f"{self.problem_type!r}. Leave it out, or use the type 'sequence-classification'."
                )
            object.__setattr__(self, "problem_type", _MULTI_LABEL)
        for name, numbers in PER_LABEL.items():
            value = numbers.checked(f"Task {self.name!r}: {name}", getattr(self, name), self.labels)
            object.__setattr__(self, name, value)
        self._check_choice("pooling", _POOLINGS)
        self._check_layers()
        self._check_number("weight", 0.0, math.inf)
        self._check_number("dropout", 0.0, 1.0)
        self._check_number("layer_dropout", 0.0, 1.0)
        self._check_number("label_smoothing", 0.0, 1.0)

    def _as_tuple(self, name: str) -> tuple[Any, ...]:
        value = getattr(self, name)
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise TypeError(f"Task {self.name!r}: {name} must be a list, found {value!r}.")
        return tuple(value)

    def _check_labels(self) -> None:
        if self.labels is not None:
            for label in self.labels:
                if not isinstance(label, str) or not label:
                    raise TypeError(
                        f"Task {self.name!r}: labels must be non-empty strings, found {label!r}. "
                        "Quote it where it is written."
                    )
            if twice := {label for label, count in Counter(self.labels).items() if count > 1}:
                raise ValueError(f"Task {self.name!r}: labels occur twice: {listed(sorted(twice))}.")

    def _check_choice(self, name: str, choices: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value is not None and value not in choices:
            raise ValueError(
                f"Task {self.name!r}: {name} must be one of {listed(choices)} or null, found {value!r}."
                f"{nearest(value, choices)}"
            )

    def _check_layers(self) -> None:
        value = self.layers
        if value is None or value == "mix" or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
            if self.layer_dropout and value != "mix":
                raise ValueError(f"Task {self.name!r}: layer_dropout is for layers='mix', found layers={value!r}.")
            return
        raise ValueError(
            f"Task {self.name!r}: layers must be the number of a layer from 0 (the embeddings), 'mix' or null, found "
            f"{value!r}."
        )

    def _check_number(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if value is None and name not in ("weight", "label_smoothing", "layer_dropout"):
            return
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"Task {self.name!r}: {name} must be a number, found {value!r}.")
        if not (math.isfinite(value) and low <= value < high):
            raise ValueError(f"Task {self.name!r}: {name} must lie in [{low}, {high}), found {value}.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TaskConfig:
        """Build a task from a mapping, as read from JSON or YAML.

        Raises:
            ValueError: If a field is unknown; the message names the nearest valid one.
        """
        valid = [f.name for f in dataclasses.fields(cls)]
        for name in values:
            if name not in valid:
                raise ValueError(
                    f"Task {values.get('name', '?')!r}: unknown field {name!r}.{nearest(name, valid)} "
                    f"Valid fields: {listed(valid)}."
                )
        for name in ("name", "type"):
            if name not in values:
                raise ValueError(f"Task {values.get('name', '?')!r}: {name} is missing.")
        return cls(**values)

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


def check_task_names(names: Sequence[str]) -> None:
    """Check that names can be keys of one model: unique, not reserved, valid as module keys.

    Raises:
        ValueError: If a name is taken twice, is an input column, or cannot name a module.
    """
    for position, name in enumerate(names):
        if name in names[:position]:
            raise ValueError(f"Task name {name!r} occurs twice. Every task needs a name of its own.")
        if name in _RESERVED:
            raise ValueError(
                f"Task name {name!r} is reserved: it names an input or an output of the model. Choose another, "
                f"such as {name + '_task'!r}."
            )
        if "." in name or "/" in name or name != name.strip() or hasattr(nn.ModuleDict(), name):
            raise ValueError(
                f"Task name {name!r} cannot name a module: no '.', no '/', no space at its ends, and no attribute "
                f"of torch.nn.ModuleDict. Choose another, such as {name.strip().replace('.', '_') + '_task'!r}."
            )


#: Fields of a task under the names that earlier configs saved them by.
_FORMER_NAMES = {"share_with": "tied_to"}


def _with_present_names(values: Any) -> Any:
    """Return a saved task's fields by their present names."""
    if not isinstance(values, Mapping):
        return values
    return {_FORMER_NAMES.get(name, name): value for name, value in values.items()}


class MultiTaskConfig(PreTrainedConfig):
    """Configuration of a `MultiTaskModel`: the encoder's own config and the tasks in order.

    Args:
        encoder_config: Config of the encoder, or its dict form with ``model_type``.
        tasks: The tasks in the order of the heads, as `TaskConfig` or dicts.
        frozen: What does not learn: see `hf_mtl.MultiTaskModel.freeze`.

    Raises:
        ValueError: If a field is unknown, or task names clash.

    >>> config = MultiTaskConfig(tasks=[TaskConfig("polarity", "sentiment", labels=["bad", "good"])])
    >>> config.task("polarity").num_labels
    2
    """

    model_type = "multi-task"
    # Transformers 5.20 came with a richer form, `sub_configs_defaults`; this one is understood by all.
    sub_configs: ClassVar[dict[str, Any]] = {"encoder_config": AutoConfig}

    encoder_config: dict[str, Any] | PreTrainedConfig | None = None
    tasks: list[Any] | tuple[Any, ...] = ()
    frozen: dict[str, Any] | None = None

    # Keyword arguments that Transformers itself passes to a config besides its fields.
    _passed_by_transformers: ClassVar[frozenset[str]] = frozenset(
        {"name_or_path", "attn_implementation", "experts_implementation", "output_attentions", "model_type"}
        | {"torch_dtype", "auto_map", "num_labels", "per_layer_config", "transformers_weights", "tie_word_embeddings"}
    )

    def __post_init__(self, **kwargs: Any) -> None:
        # A round trip through JSON hands the label maps of the base class back; they say nothing here.
        valid = [f.name for f in dataclasses.fields(self)]
        model_type = kwargs.pop("model_type", self.model_type)
        if model_type != self.model_type:
            raise ValueError(
                f"This is the config of a plain {model_type!r} checkpoint, not of a multi-task model. "
                "Start from it with MultiTaskModel.from_encoder(name, tasks)."
            )
        for name in kwargs:
            if not self._knows(name):
                raise ValueError(
                    f"MultiTaskConfig: unknown field {name!r}.{nearest(name, valid)} Valid fields: "
                    f"{listed([n for n in valid if n in ('encoder_config', 'tasks', 'dtype', 'architectures')])}."
                )
        if self.encoder_config is None:
            self.encoder_config = BertConfig()
        elif isinstance(self.encoder_config, dict):
            if "model_type" not in self.encoder_config:
                raise ValueError("MultiTaskConfig: encoder_config has no 'model_type', so its family is unknown.")
            self.encoder_config = AutoConfig.for_model(**self.encoder_config)
        super().__post_init__(**kwargs)
        self.tasks = [
            task if isinstance(task, TaskConfig) else TaskConfig.from_dict(_with_present_names(task))
            for task in self.tasks
        ]
        check_task_names([task.name for task in self.tasks])
        check_ties(self.tasks)
        for task in self.tasks:
            if not task.type:
                raise ValueError(
                    f"Task {task.name!r} has no type. Give it one, or let hf_mtl.infer_tasks(datasets, tasks) read "
                    "types and labels off the data."
                )
        # The base class invents two labels; a multi-task model has labels only in its tasks.
        self.id2label = None
        self.label2id = None

    @classmethod
    def _knows(cls, name: str) -> bool:
        """Return whether a name is that of a field, or one that Transformers passes besides or that is private."""
        return (
            name in {field.name for field in dataclasses.fields(cls)}
            or name in cls._passed_by_transformers
            or name.startswith("_")
        )

    @classmethod
    def _set_besides(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a saved config holds besides its fields: what a user, or Transformers' trainer, set on it.

        Raises:
            ValueError: If a name is that of a method, or a field of the house is written wrongly.
        """
        own = ("encoder_config", "tasks", "frozen")
        more = {name: value for name, value in values.items() if not cls._knows(name)}
        for name in more:
            if hasattr(cls, name) or nearest(name, [field for field in own if field not in values]):
                raise ValueError(f"config.json: unknown field {name!r}.{nearest(name, own)}")
        return more

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Build a config from what a file holds: see ``transformers.PreTrainedConfig.from_dict``.

        Raises:
            ValueError: If a field is wrong, or asks for what no honest model needs: other code, other files, absurd
                sizes.
        """
        if not isinstance(config_dict, dict) or config_dict.get("model_type", cls.model_type) == cls.model_type:
            check_values(config_dict)
        more = cls._set_besides(config_dict)
        try:
            found = super().from_dict({k: v for k, v in config_dict.items() if k not in more}, **kwargs)
            config = found[0] if isinstance(found, tuple) else found
            for name, value in more.items():
                setattr(config, name, value)
            return found
        except ValueError:
            raise
        except Exception as error:
            # Whatever wrong types lead to somewhere in Transformers: the file is wrong, not the program.
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"config.json is not valid, in tasks, encoder_config or beside them: {reason}") from error

    def task(self, name: str) -> TaskConfig:
        """Return the task of that name.

        Raises:
            KeyError: If there is none; the message lists the names there are.
        """
        for task in self.tasks:
            if task.name == name:
                return cast(TaskConfig, task)  # the field holds dicts only until __post_init__
        names = [task.name for task in self.tasks]
        raise KeyError(f"No task {name!r}.{nearest(name, names)} Tasks of this model: {listed(names)}.")

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> PreTrainedConfig:
        """Return the encoder's config: vocabulary and sizes live there."""
        # Transformers writes the new vocabulary size here after `resize_token_embeddings`.
        return self.encoder_config if isinstance(self.encoder_config, PreTrainedConfig) else BertConfig()

    def to_dict(self) -> dict[str, Any]:
        """Return the config as JSON knows it, tasks in order."""
        tasks, self.tasks = self.tasks, []
        try:
            result: dict[str, Any] = super().to_dict()
        finally:
            self.tasks = tasks
        result["tasks"] = [task.to_dict() for task in tasks]
        # Trainer switches use_cache off on every config; it means nothing here.
        for name in ("id2label", "label2id", "problem_type", "use_cache"):
            result.pop(name, None)
        if result.get("frozen") is None:
            result.pop("frozen", None)
        return result
