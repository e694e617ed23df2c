"""What a model card says: plain values, gathered by whoever knows them."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import try_to_load_from_cache

from hf_mtl._names import package_version
from hf_mtl.configuration import TaskConfig
from hf_mtl.heads import Head, kind_of

__all__ = ["CardFacts", "DatasetFacts", "ResultFacts", "public_name"]

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_LIBRARIES = ("transformers", "torch", "datasets")


@dataclass(frozen=True)
class DatasetFacts:
    """A dataset that the model learned from.

    Args:
        name: Its name in the training.
        rows: Its training rows; ``None``: of a stream, which are not counted.
        share: Its share of the rows when training began, in [0, 1].
        tasks: Names of the tasks that it labels.
        hub_id: Its id on the Hub; ``None`` if it is not from there.
        share_text: Its share as text, where it is not the same from the first step to the last.
    """

    name: str
    rows: int | None
    share: float
    tasks: Sequence[str]
    hub_id: str | None = None
    share_text: str | None = None


@dataclass(frozen=True)
class ResultFacts:
    """How well a task is answered on a dataset.

    Args:
        task: The task.
        dataset: Name of the dataset.
        split: ``"validation"`` or ``"test"``.
        metric: Name of the metric, in the words of `hf_mtl.metrics`.
        value: Its value.
        rows: The rows that it was measured on.
        low: Lower end of the interval of 95 %; ``None`` where there is none.
        high: Its upper end.
        hub_id: The dataset's id on the Hub.
    """

    task: str
    dataset: str
    split: str
    metric: str
    value: float
    rows: int
    low: float | None = None
    high: float | None = None
    hub_id: str | None = None


@dataclass(frozen=True)
class CardFacts:
    """All that a card says.

    Args:
        name: The model's name.
        tasks: Its tasks.
        encoder_family: The encoder's family, such as ``"bert"``.
        encoder_parameters: Numbers that the encoder and its branches hold.
        head_parameters: For each task the numbers that its head holds; 0 where it shares another's.
        encoder: The encoder's id on the Hub; ``None`` if it is not from there.
        license: The model's licence, where somebody chose one.
        language: Codes of the languages that it was trained for, where somebody named them.
        encoder_license: The licence that the encoder's card names.
        encoder_language: The languages that it names.
        max_length: The most tokens of a row.
        datasets: What it learned from.
        sampler: How often each dataset was drawn.
        balancer: How the tasks' losses became one, where that was chosen.
        augmentation: How training rows were changed, where they were.
        average: How the weights of steps became one, where they did.
        methods: The training methods, where there were some.
        arguments: Training arguments that differ from the defaults.
        steps: Optimizer steps of the training.
        kept_step: The step after which the weights were kept, where it is not the last.
        results: How well it answers.
        examples: Texts and its answers to them.
        pictures: Pictures of Pillow and its answers to them.
        self_contained: Whether its code lies beside it.
        tags: Further tags.
        stock_tasks: Names of the tasks that can be exported as stock models.
        heads: The head class of each task whose type is a user's own.
    """

    name: str
    tasks: Sequence[TaskConfig]
    encoder_family: str
    encoder_parameters: int
    head_parameters: Mapping[str, int]
    encoder: str | None = None
    license: str | None = None
    language: Sequence[str] = ()
    encoder_license: str | None = None
    encoder_language: Sequence[str] = ()
    max_length: int | None = None
    datasets: Sequence[DatasetFacts] = ()
    sampler: str | None = None
    balancer: str | None = None
    augmentation: str | None = None
    average: str | None = None
    methods: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    steps: int | None = None
    kept_step: int | None = None
    results: Sequence[ResultFacts] = ()
    examples: Sequence[tuple[str, Mapping[str, Any]]] = ()
    pictures: Sequence[tuple[Any, Mapping[str, Any]]] = ()
    self_contained: bool = False
    tags: Sequence[str] = ()
    stock_tasks: Sequence[str] = ()
    heads: Mapping[str, type[Head]] = field(default_factory=dict)

    def head(self, task: TaskConfig) -> type[Head]:
        """Return the head class of a task, to be asked what its type is like."""
        return self.heads.get(task.name) or kind_of(task)

    @property
    def steps_text(self) -> str | None:
        """The steps as text; ``None``: there were none."""
        if not self.steps:
            return None
        kept = self.kept_step
        is_last = kept is None or kept == self.steps
        return f"{self.steps:,}" if is_last else f"{self.steps:,}; the weights are those after step {kept:,}"

    @classmethod
    def of_model(cls, model: Any, name: str, **more: Any) -> CardFacts:
        """Return what a model itself says.

        Args:
            model: A `hf_mtl.MultiTaskModel`.
            name: Its name.
            more: Further fields; they take precedence over what the model says.
        """
        config = model.encoder.config
        encoder = public_name(config.name_or_path)
        licence, language = _origin_of(config.name_or_path)
        known: dict[str, Any] = {
            "tasks": model.tasks,
            "encoder_family": config.model_type,
            "encoder_parameters": sum(p.numel() for p in model.parameter_depths()),
            "head_parameters": {
                task: 0 if head.task.tied_to else sum(p.numel() for p in head.parameters())
                for task, head in model.task_heads.items()
            },
            "stock_tasks": [task for task, head in model.task_heads.items() if head.has_stock_form],
            "heads": {task: type(head) for task, head in model.task_heads.items()},
            "encoder": encoder,
            "encoder_license": licence,
            "encoder_language": language,
            "max_length": getattr(config, "max_position_embeddings", None),
        }
        return cls(name=name, **{**known, **{key: value for key, value in more.items() if value is not None}})

    def versions(self) -> dict[str, str]:
        """Return the versions of the libraries."""
        found = {"hf_mtl": package_version()}
        found |= {library: version(library) for library in _LIBRARIES}
        return {**found, "python": platform.python_version()}


def public_name(name: Any) -> str | None:
    """Return a name if it is one on the Hub, not of a file or folder.

    >>> public_name("google-bert/bert-base-uncased"), public_name("/data/bert"), public_name("runs/bert/final")
    ('google-bert/bert-base-uncased', None, None)
    """
    if not isinstance(name, str) or not _HUB_ID.fullmatch(name) or name.startswith(".") or os.path.exists(name):
        return None
    return name


def _origin_of(name: Any) -> tuple[str | None, list[str]]:
    """Return licence and languages that an encoder's own card names, where it lies on this machine."""
    if not isinstance(name, str) or not name:
        return None, []
    card: Any = Path(name) / "README.md"
    if not card.is_file():
        card = try_to_load_from_cache(name, "README.md") if public_name(name) else None
    if not isinstance(card, (str, Path)):
        return None, []
    match = re.match(r"---\s*\n(.*?)\n---", Path(card).read_text(encoding="utf-8-sig", errors="replace"), re.DOTALL)
    try:
        values = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError:
        return None, []
    if not isinstance(values, dict):
        return None, []
    licence, language = values.get("license"), values.get("language", [])
    languages = [language] if isinstance(language, str) else language if isinstance(language, list) else []
    return licence if isinstance(licence, str) else None, [str(code) for code in languages]
