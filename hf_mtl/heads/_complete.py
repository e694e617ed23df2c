"""Whether a head's class has every method that a training, an evaluation and an answer will call."""

from __future__ import annotations

from hf_mtl._contracts import missing_methods
from hf_mtl._names import listed
from hf_mtl.heads._base import Head
from hf_mtl_light.errors import UserError

__all__ = ["check_complete"]

#: What a head must write or inherit. Of the methods in one row any one is enough.
_REQUIRED = (
    ("default_metrics",),
    ("encode_labels",),
    ("reference",),
    ("loss_sum",),
    ("predictions",),
    ("describe", "answers"),
)


def check_complete(head: type[Head], task_type: str) -> None:
    """Check it before anything is trained, since some are first called when the training is over.

    Raises:
        ValueError: If methods are missing; the message lists them all.
    """
    if missing := missing_methods(head, Head, _REQUIRED):
        raise UserError(
            f"Task type {task_type!r}: {head.__name__} lacks {listed(missing)}. Write these methods (their docstrings "
            "are in hf_mtl.heads.Head), or inherit from a head that has them, such as SequenceClassificationHead."
        )
