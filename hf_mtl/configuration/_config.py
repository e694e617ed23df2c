"""What a multi-task model is: the config of an encoder, or of one for each modality, and an ordered list of tasks.

Strings and numbers only. ``MultiTaskConfig`` writes them to ``config.json`` and reads back exactly
the same, in the same order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, cast

from transformers import CONFIG_MAPPING, AutoConfig, BertConfig, PreTrainedConfig

from hf_mtl._names import listed, nearest
from hf_mtl.configuration._branches import check_branches
from hf_mtl.configuration._modalities import Modality
from hf_mtl.configuration._modality import modality
from hf_mtl.configuration._task import TaskConfig, listed_tasks
from hf_mtl.configuration._task_names import check_task_names
from hf_mtl.configuration._ties import check_ties
from hf_mtl.configuration._untrusted import check_values
from hf_mtl_light.errors import UserError, UserKeyError

__all__ = ["MultiTaskConfig"]


def _encoder_config(name: str, given: Any) -> PreTrainedConfig | None:
    """Return an encoder's config of its dict form.

    Raises:
        ValueError: If its family is missing or unknown.
    """
    if not isinstance(given, dict):
        return cast("PreTrainedConfig | None", given)
    if "model_type" not in given:
        raise UserError(f"MultiTaskConfig: {name} has no 'model_type', so its family is unknown.")
    family = given["model_type"]
    if family not in CONFIG_MAPPING:  # Transformers' own message lists hundreds
        raise UserError(
            f"MultiTaskConfig: {name} has the model_type {family!r}, which the installed Transformers "
            f"does not know.{nearest(str(family), CONFIG_MAPPING)} Install the version that does."
        )
    return AutoConfig.for_model(**given)


def _check_modalities(text: PreTrainedConfig, image: PreTrainedConfig) -> None:
    kinds = [modality(text), modality(image)]
    if kinds != ["text", "image"]:
        raise UserError(
            "MultiTaskConfig: encoder_config is that of an encoder of texts and image_encoder_config that of one of "
            f"pictures; found families that read {kinds[0]} and {kinds[1]}: {text.model_type!r} and "
            f"{image.model_type!r}."
        )


class MultiTaskConfig(PreTrainedConfig):
    """Configuration of a `MultiTaskModel`: the encoder's own config and the tasks in order.

    Args:
        encoder_config: Config of the encoder, or its dict form with ``model_type``.
        image_encoder_config: That of the encoder of pictures, beside one of texts; of a model of pictures alone,
            ``encoder_config`` holds it.
        tasks: The tasks in the order of the heads, as `TaskConfig` or dicts.
        branches: Branch -> number of the encoder's top layers that exist once more for its tasks.
        frozen: What does not learn: see `hf_mtl.MultiTaskModel.freeze`.
        vocabulary: Which vocabulary it was trained with, see `hf_mtl.data.vocabulary_mark`; a trainer writes it when it
            saves, and another tokenizer is refused. ``None``: any is taken whose ids the encoder knows.

    Raises:
        ValueError: If a field is unknown, or task names clash.

    >>> config = MultiTaskConfig(tasks=[TaskConfig("polarity", "sentiment", labels=["bad", "good"])])
    >>> config.task("polarity").num_labels
    2
    """

    model_type = "multi-task"
    # Transformers 5.20 came with a richer form, `sub_configs_defaults`; this one is understood by all.
    sub_configs: ClassVar[dict[str, Any]] = {"encoder_config": AutoConfig, "image_encoder_config": AutoConfig}

    encoder_config: dict[str, Any] | PreTrainedConfig | None = None
    image_encoder_config: dict[str, Any] | PreTrainedConfig | None = None
    tasks: list[Any] | tuple[Any, ...] = ()
    frozen: dict[str, Any] | None = None
    branches: Mapping[str, int] | None = None
    vocabulary: str | None = None

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
            raise UserError(
                f"This is the config of a plain {model_type!r} checkpoint, not of a multi-task model. "
                "Start from it with MultiTaskModel.from_encoder(name, tasks)."
            )
        for name in kwargs:
            if not self._knows(name):
                raise UserError(
                    f"MultiTaskConfig: unknown field {name!r}.{nearest(name, valid)} Valid fields: "
                    f"{listed([n for n in valid if n in ('encoder_config', 'tasks', 'dtype', 'architectures')])}."
                )
        if self.encoder_config is None:
            self.encoder_config, self.image_encoder_config = self.image_encoder_config, None
        is_named = self.encoder_config is not None
        self.encoder_config = _encoder_config("encoder_config", self.encoder_config) or BertConfig()
        self.image_encoder_config = _encoder_config("image_encoder_config", self.image_encoder_config)
        if self.image_encoder_config is not None:
            _check_modalities(self.encoder_config, self.image_encoder_config)
        super().__post_init__(**kwargs)
        self.tasks = [
            task if isinstance(task, TaskConfig) else TaskConfig.from_saved(task) for task in listed_tasks(self.tasks)
        ]
        check_task_names([task.name for task in self.tasks])
        check_ties(self.tasks)
        for task in self.tasks:
            if not task.type:
                raise UserError(
                    f"Task {task.name!r} has no type. Give it one, or let hf_mtl.infer_tasks(datasets, tasks) read "
                    "types and labels off the data."
                )
        num_layers = getattr(self.encoder_config, "num_hidden_layers", None) if is_named else None
        self.branches = check_branches(self.branches, self.tasks, num_layers) or None
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
        own = ("encoder_config", "image_encoder_config", "tasks", "frozen")
        more = {name: value for name, value in values.items() if not cls._knows(name)}
        for name in more:
            if hasattr(cls, name) or nearest(name, [field for field in own if field not in values]):
                raise UserError(f"config.json: unknown field {name!r}.{nearest(name, own)}")
        return more

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Build a config from what a file holds: see ``transformers.PreTrainedConfig.from_dict``.

        Raises:
            ValueError: If a field is wrong, or asks for what no model needs: other code, other files, absurd
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
            raise UserError(f"config.json is not valid, in tasks, encoder_config or beside them: {reason}") from error

    def task(self, name: str) -> TaskConfig:
        """Return the task of that name.

        Raises:
            KeyError: If there is none; the message lists the names there are.
        """
        for task in self.tasks:
            if task.name == name:
                return cast(TaskConfig, task)  # the field holds dicts only until __post_init__
        names = [task.name for task in self.tasks]
        raise UserKeyError(f"No task {name!r}.{nearest(name, names)} Tasks of this model: {listed(names)}.")

    @property
    def encoder_configs(self) -> dict[Modality, PreTrainedConfig]:
        """The config of each encoder, by what it reads."""
        encoder = cast(PreTrainedConfig, self.encoder_config)  # a dict only until __post_init__
        configs: dict[Modality, PreTrainedConfig] = {modality(encoder): encoder}
        if self.image_encoder_config is not None:
            configs["image"] = cast(PreTrainedConfig, self.image_encoder_config)
        return configs

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
        for name in ("frozen", "branches", "vocabulary"):
            if not result.get(name):
                result.pop(name, None)
        return result

    def to_diff_dict(self) -> dict[str, Any]:
        """Return what differs from the defaults, as a file holds it."""
        result: dict[str, Any] = super().to_diff_dict()
        # Transformers writes all sub-configs, and most models have no encoder of pictures.
        if result.get("image_encoder_config") is None:
            result.pop("image_encoder_config", None)
        return result
