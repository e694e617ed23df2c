"""Arguments that are a number for all tasks or encoders, or a mapping from names of some to numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from hf_mtl._options import check_number
from hf_mtl.configuration import MODALITIES, by_encoder
from hf_mtl_light.errors import UserError

__all__ = ["numbers_by_name"]


def numbers_by_name(
    field: str,
    given: Any,
    named: str,
    least: float = 0,
    most: float = math.inf,
    *,
    whole: bool = False,
    above: bool = False,
) -> Any:
    """Return a number, a mapping from names to numbers, or ``None``, each checked.

    Args:
        field: The argument's name, for messages.
        given: One of these, or the JSON of one.
        named: What a mapping names, "task" or "encoder".
        least: The least number.
        most: The most.
        whole: Whether numbers must be whole.
        above: Whether they must be above ``least``.

    Raises:
        ValueError: If it is none of these, a number is out of range, or no encoder reads what a mapping names.

    >>> numbers_by_name("frozen_layers", '{"image": 8}', "encoder", whole=True)
    {'image': 8}
    """
    found = given
    if isinstance(given, str):
        with suppress(ValueError):
            found = json.loads(given)
    if found is None:
        return None
    numbers = found if isinstance(found, Mapping) else {"": found}
    checked: dict[str, Any] = {}
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise UserError(f"{field} must be a number, or a mapping from {named}s to numbers, found {given!r}.")
        checked[name] = int(number) if whole and float(number).is_integer() else number
        check_number(f"{field}: {name!r}" if name else field, checked[name], least, most, whole=whole, above=above)
    if not isinstance(found, Mapping):
        return checked[""]
    if named == "encoder":
        by_encoder(field, checked, MODALITIES, None)  # finds wrong names before there is a model
    return checked
