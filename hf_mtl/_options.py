"""Options of strategies: mappings that a command line gives as JSON, and the numbers in them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from hf_mtl_light.errors import UserError

__all__ = ["check_number", "parsed_options"]


def parsed_options(name: str, value: Mapping[str, Any] | str | None) -> dict[str, Any]:
    """Return options that are a mapping, the JSON of one, or none.

    Args:
        name: What they are called, for messages.
        value: What was given.

    Raises:
        ValueError: If they are neither.

    >>> parsed_options("sampling_options", '{"temperature": 2}')
    {'temperature': 2}
    """
    given = value
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise UserError(f"{name} is not valid JSON: {error}. Found {given!r}.") from error
    if value is not None and not isinstance(value, Mapping):
        raise UserError(f"{name} must be a mapping such as {{'temperature': 2}}, or its JSON, found {given!r}.")
    return dict(value or {})


def check_number(
    name: str, value: Any, least: float, most: float = math.inf, *, whole: bool = False, above: bool = False
) -> None:
    """Check an option that is a number.

    Args:
        name: The option.
        value: What was given.
        least: The least that it may be.
        most: The most that it may be.
        whole: Whether it must be a whole number.
        above: Whether it must be above ``least``.

    Raises:
        ValueError: If it is no number, or out of range.
    """
    kinds = int if whole else (int, float)
    right = isinstance(value, kinds) and not isinstance(value, bool)
    if not right or not least <= value <= most or (above and value == least) or value == math.inf:
        kind = "a whole number" if whole else "a number"
        low = f"above {least:g}" if above else f"of at least {least:g}"
        high = "" if most == math.inf else f" and at most {most:g}"
        raise UserError(f"{name} must be {kind} {low}{high}, found {value!r}.")
