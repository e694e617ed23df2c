"""Arguments of a training by name, judged before there is an object of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_mtl.arguments._kinds import kinds_of_fields
from hf_mtl.arguments._own import MultiTaskFields
from hf_mtl.arguments._refused import check_values, refuse_fields
from hf_mtl.arguments._stock_fields import kinds_of_stock_fields

__all__ = ["check_arguments", "kinds_of_arguments"]


def kinds_of_arguments() -> dict[str, tuple[Any, ...]]:
    """Return for each field of `hf_mtl.MultiTaskTrainingArguments` the types that it takes."""
    return {**kinds_of_stock_fields(), **kinds_of_fields(MultiTaskFields)}


def check_arguments(values: Mapping[str, Any]) -> None:
    """Check what is given of the arguments of a training, as far as it goes without torch.

    Args:
        values: Arguments by name, of the types that they take.

    Raises:
        ValueError: If one is out of its range, or would be without effect.
        ImportError: If one needs a package that is missing.

    >>> check_arguments({"use_liger_kernel": True})
    Traceback (most recent call last):
        ...
    hf_mtl_light.errors.UserError: use_liger_kernel=True is not supported: Liger has no kernels for ...
    """
    own = kinds_of_fields(MultiTaskFields)
    MultiTaskFields(**{name: value for name, value in values.items() if name in own})
    check_values(values)
    refuse_fields(values)
