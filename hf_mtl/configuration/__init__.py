"""What a model is, as strings and numbers that are checked once: tasks, encoder, ties between heads.

`MultiTaskConfig` holds the encoder's config and a `TaskConfig` for each task. `check_values`, `check_built` and
`checked_weights` bound what a stranger's config and weights may ask for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hf_mtl.configuration._branches import check_branches
from hf_mtl.configuration._default_metrics import default_metrics
from hf_mtl.configuration._label_values import value_text
from hf_mtl.configuration._per_label import BALANCED, PER_LABEL, Numbers
from hf_mtl.configuration._task import TaskConfig, listed_tasks
from hf_mtl.configuration._task_names import INPUT_COLUMNS, check_task_names, module_key, task_of_key
from hf_mtl.configuration._ties import check_ties, owner_of, tied_tasks

if TYPE_CHECKING:
    from hf_mtl.configuration._config import MultiTaskConfig
    from hf_mtl.configuration._modality import MODALITIES, Modality, modality
    from hf_mtl.configuration._untrusted import MOST_MISSING, check_built, check_values, checked_weights

__all__ = [
    "BALANCED",
    "INPUT_COLUMNS",
    "MODALITIES",
    "MOST_MISSING",
    "PER_LABEL",
    "Modality",
    "MultiTaskConfig",
    "Numbers",
    "TaskConfig",
    "check_branches",
    "check_built",
    "check_task_names",
    "check_ties",
    "check_values",
    "checked_weights",
    "default_metrics",
    "listed_tasks",
    "modality",
    "module_key",
    "owner_of",
    "task_of_key",
    "tied_tasks",
    "value_text",
]

#: What needs torch and Transformers, and where it lies: the command line reads tasks without them.
_LATER = {
    "MODALITIES": "_modality",
    "MOST_MISSING": "_untrusted",
    "Modality": "_modality",
    "MultiTaskConfig": "_config",
    "check_built": "_untrusted",
    "check_values": "_untrusted",
    "checked_weights": "_untrusted",
    "modality": "_modality",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'hf_mtl.configuration' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"hf_mtl.configuration.{_LATER[name]}"), name)
