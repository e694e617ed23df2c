"""The types that the fields of training arguments take."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from functools import cache
from numbers import Integral, Real
from types import NoneType
from typing import Any

import numpy as np

from hf_mtl_light.errors import UserTypeError

__all__ = ["check_field_types", "described_kinds", "kinds_of_fields", "shown"]


@cache
def kinds_of_fields(cls: type) -> dict[str, tuple[Any, ...]]:
    """Return for each field of training arguments the types that it takes."""
    hints = typing.get_type_hints(cls)
    return {field.name: _members(hints[field.name]) for field in dataclasses.fields(cls) if field.init}


def _members(hint: Any) -> tuple[Any, ...]:
    """Return the plain types that a union is made of."""
    if typing.get_origin(hint) in (list, dict):
        return (typing.get_origin(hint),)
    members = typing.get_args(hint)
    return tuple(plain for member in members for plain in _members(member)) if members else (hint,)


def described_kinds(kinds: Sequence[Any]) -> str:
    """Describe types.

    >>> described_kinds((int, NoneType))
    'a whole number or null'
    """
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", list: "a list"}
    words |= {dict: "a mapping", NoneType: "null"}
    return " or ".join(dict.fromkeys(words.get(kind, "a text") for kind in kinds))


def check_field_types(args: Any) -> None:
    """Check fields of training arguments that hold truth values or numbers.

    A text such as ``"no"`` would count as true. Texts, lists and mappings are checked where they are read.

    Raises:
        TypeError: If one is something else.
    """
    cls: Any = type(args)
    for name, kinds in kinds_of_fields(cls).items():
        value, plain = getattr(args, name), {kind for kind in kinds if kind is not NoneType}
        if value is None or not plain or not plain <= {bool, int, float}:
            continue
        if isinstance(value, (bool, np.bool_)):
            fits = bool in plain
        elif isinstance(value, Real):
            is_whole = isinstance(value, Integral) or float(value).is_integer()
            fits = float in plain or (int in plain and is_whole)
        else:
            fits = False
        if not fits:
            raise UserTypeError(f"{name} must be {described_kinds([*plain])}, found {shown(value)}.")


def shown(value: Any) -> str:
    """Return a value, or its type where it is long."""
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else f"a {type(value).__name__}"
