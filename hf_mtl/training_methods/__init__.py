"""What is done to a step besides its loss: consistency of answers, perturbed embeddings.

A `TrainingMethod` adds a loss to those of the tasks, mostly by further passes over a micro-batch. `METHODS` is the
table of methods by name; a new one is one file and one row. A user's own is passed in under any other name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hf_mtl._later import later
from hf_mtl._names import listed, nearest
from hf_mtl._options import made_of, parsed_options
from hf_mtl.training_methods._adversary import AdversarialMethod
from hf_mtl.training_methods._base import TrainingMethod, TrainingStart
from hf_mtl.training_methods.distillation import Distillation
from hf_mtl.training_methods.fgm import FGM
from hf_mtl.training_methods.freelb import FreeLB
from hf_mtl.training_methods.mixup import Mixup
from hf_mtl.training_methods.pgd import PGD
from hf_mtl.training_methods.r_drop import RDrop
from hf_mtl.training_methods.smart import SMART
from hf_mtl.training_methods.task_adversary import TaskAdversary
from hf_mtl_light.errors import UserError

if TYPE_CHECKING:
    from hf_mtl.training_methods._micro_batch import MicroBatch
    from hf_mtl.training_methods._teachers import Lesson, Teacher, load_teacher, match_teachers

__all__ = [
    "FGM",
    "METHODS",
    "PGD",
    "SMART",
    "AdversarialMethod",
    "Distillation",
    "FreeLB",
    "Lesson",
    "MicroBatch",
    "Mixup",
    "RDrop",
    "TaskAdversary",
    "Teacher",
    "TrainingMethod",
    "TrainingStart",
    "load_teacher",
    "make_methods",
    "match_teachers",
]

#: What needs torch, and where it lies: the command line reads the methods and their options without it.
_LATER = {
    "Lesson": "_teachers",
    "MicroBatch": "_micro_batch",
    "Teacher": "_teachers",
    "load_teacher": "_teachers",
    "match_teachers": "_teachers",
}

#: Name -> training method.
METHODS: dict[str, type[TrainingMethod]] = {
    "distillation": Distillation,
    "fgm": FGM,
    "pgd": PGD,
    "freelb": FreeLB,
    "smart": SMART,
    "mixup": Mixup,
    "task-adversary": TaskAdversary,
    "r-drop": RDrop,
}


def make_methods(given: Mapping[str, Any] | str | None) -> dict[str, TrainingMethod]:
    """Return training methods by name, in the order given.

    Args:
        given: For each name its options; under a name that is not in the table a `TrainingMethod`.

    Raises:
        ValueError: If a name or an option is unknown, or a value is wrong.

    >>> make_methods({"r-drop": {"alpha": 0.5}})["r-drop"].alpha
    0.5
    """
    made: dict[str, TrainingMethod] = {}
    for name, options in parsed_options("methods", given).items():
        if isinstance(options, TrainingMethod):
            made[name] = options
        elif name not in METHODS:
            raise UserError(f"Unknown training method {name!r}.{nearest(name, METHODS)} Methods: {listed(METHODS)}.")
        else:
            where = f"method {name!r}"
            made[name] = made_of(METHODS[name], where, parsed_options(where, options))
    return made


def __getattr__(name: str) -> Any:
    return later(name, __name__, _LATER)
