"""Names of a package that are imported when they are first asked for, since they need torch or Transformers."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["later"]


def later(name: str, package: str, places: Mapping[str, str]) -> Any:
    """Return what a package has under a name, its modules too: the answer of its ``__getattr__``.

    Args:
        name: The name.
        package: The package.
        places: Name -> the module of the package that defines it.

    Raises:
        AttributeError: If there is no such name.
    """
    if name not in places:
        if not name.startswith("_") and find_spec(f"{package}.{name}") is not None:
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    return getattr(import_module(f"{package}.{places[name]}"), name)
