"""Whether a head's class has every method that a training, an evaluation and an answer will call."""

from __future__ import annotations

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
    missing = [" or ".join(names) for names in _REQUIRED if not any(_written(head, name) for name in names)]
    if missing:
        raise UserError(
            f"Task type {task_type!r}: {head.__name__} lacks {listed(missing)}. Write these methods (their docstrings "
            "are in hf_mtl.heads.Head), or inherit from a head that has them, such as SequenceClassificationHead."
        )


def _written(head: type[Head], name: str) -> bool:
    """Return whether a class, or one that it inherits from, replaces a method of `Head`."""
    found, base = getattr(head, name), getattr(Head, name)
    return getattr(found, "__func__", found) is not getattr(base, "__func__", base)
