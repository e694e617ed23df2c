"""What a model is, as strings and numbers that are checked once: tasks, encoder, ties between heads.

`MultiTaskConfig` holds the encoder's config and a `TaskConfig` for each task. `check_values`, `check_built` and
`checked_weights` bound what a stranger's config and weights may ask for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hf_mtl.configuration._answer_phrases import A_NUMBER, ANSWER_PHRASES
from hf_mtl.configuration._branches import check_branches
from hf_mtl.configuration._by_encoder import by_encoder
from hf_mtl.configuration._default_metrics import TASK_TYPES, default_metrics
from hf_mtl.configuration._label_values import value_text
from hf_mtl.configuration._modalities import MODALITIES, Modality
from hf_mtl.configuration._per_label import BALANCED, PER_LABEL, Numbers
from hf_mtl.configuration._task import TaskConfig, listed_tasks
from hf_mtl.configuration._task_names import INPUT_COLUMNS, check_task_names, module_key, task_of_key
from hf_mtl.configuration._ties import check_ties, owner_of, tied_tasks

if TYPE_CHECKING:
    from hf_mtl.configuration._config import MultiTaskConfig
    from hf_mtl.configuration._modality import modality
    from hf_mtl.configuration._untrusted import MOST_MISSING, check_built, check_values, checked_weights

__all__ = [
    "ANSWER_PHRASES",
    "A_NUMBER",
    "BALANCED",
    "INPUT_COLUMNS",
    "MODALITIES",
    "MOST_MISSING",
    "PER_LABEL",
    "TASK_TYPES",
    "Modality",
    "MultiTaskConfig",
    "Numbers",
    "TaskConfig",
    "by_encoder",
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

#: What needs torch and Transformers: the command line reads tasks without them.
_LATER = frozenset(
    ("MOST_MISSING", "MultiTaskConfig", "check_built", "check_values", "checked_weights", "modality"),
)


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'hf_mtl.configuration' has no attribute {name!r}")
    # Statements, not names of modules: where this code lies beside a model, in one folder, these are rewritten.
    from hf_mtl.configuration._config import MultiTaskConfig
    from hf_mtl.configuration._modality import modality
    from hf_mtl.configuration._untrusted import MOST_MISSING, check_built, check_values, checked_weights

    of_strangers = {"MOST_MISSING": MOST_MISSING, "check_built": check_built, "check_values": check_values}
    of_strangers |= {"checked_weights": checked_weights}
    return {"MultiTaskConfig": MultiTaskConfig, "modality": modality, **of_strangers}[name]
