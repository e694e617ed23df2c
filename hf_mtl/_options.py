"""Options of strategies: what has some, mappings that a command line gives as JSON, and the numbers in them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, wraps
from typing import Any, TypeAlias, TypeVar

from hf_mtl_light.errors import UserError
from hf_mtl_light.names import listed, nearest
from hf_mtl_light.numerics import MOST_NUMBER

__all__ = [
    "Configurable",
    "check_number",
    "check_option_names",
    "described",
    "made_of",
    "made_once",
    "name_in",
    "parsed_options",
]


_Made = TypeVar("_Made")
_Maker: TypeAlias = Callable[[str, Mapping[str, Any] | str | None], _Made]


def made_once(make: _Maker[_Made]) -> _Maker[_Made]:
    """Let a function that makes a frozen object of a name and options return the same one for the same options.

    So recipe, arguments and trainer, which all ask for it, share one.

    Args:
        make: The function.
    """

    @lru_cache(maxsize=64)
    def made(name: str, options: str) -> _Made:
        return make(name, json.loads(options))

    @wraps(make)
    def once(name: str, options: Mapping[str, Any] | str | None = None) -> _Made:
        try:
            text = json.dumps(options)
            is_json = json.loads(text) == options
        except (TypeError, ValueError):
            is_json = False
        return made(name, text) if is_json else make(name, options)

    return once


class Configurable:
    """What is chosen by a name and set by options: the fields of its dataclass.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Strategy(Configurable):
    ...     temperature: float = 2.0
    >>> Strategy(3).options()
    {'temperature': 3}
    """

    @classmethod
    def option_names(cls) -> list[str]:
        """Return the names of the options."""
        return [field.name for field in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else []

    def options(self) -> dict[str, Any]:
        """Return all options, given or default, as JSON holds them; of a function, its name."""
        return {name: _plain(getattr(self, name)) for name in self.option_names()}


_Configured = TypeVar("_Configured", bound=Configurable)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return value.item() if hasattr(value, "item") else getattr(value, "__qualname__", type(value).__name__)


def name_in(table: Mapping[str, type], instance: object) -> str:
    """Return the name under which an instance's class is in a table; that of the class where it is in none."""
    return next((name for name, kind in table.items() if type(instance) is kind), type(instance).__name__)


def described(name: str, options: Mapping[str, Any]) -> str:
    """Return a choice and its options in one line, for cards, logs and reports.

    >>> described("temperature", {"temperature": 2, "weights": {"trec": 0.5}})
    'temperature (temperature: 2, weights: {"trec": 0.5})'
    """
    given = ", ".join(
        f"{key}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)}"
        for key, value in options.items()
    )
    return f"{name} ({given})" if given else name


def check_option_names(where: str, given: Iterable[object], valid: Iterable[str]) -> None:
    """Check the names of options.

    Args:
        where: What has the options, for the message.
        given: The names that are given.
        valid: The names of its options.

    Raises:
        UserError: If one is unknown.
    """
    valid = list(valid)
    for name in given:
        if name not in valid:
            raise UserError(
                f"{where} has no option {name!r}.{nearest(str(name), valid)} Options: {listed(valid) or 'none'}."
            )


def made_of(kind: type[_Configured], where: str, values: Mapping[str, Any]) -> _Configured:
    """Return an instance of a class with some of its options.

    Args:
        kind: The class.
        where: What it is, for messages.
        values: The options.

    Raises:
        UserError: If an option is unknown or wrong; the message begins with ``where``.
    """
    check_option_names(where, values, kind.option_names())
    try:
        return kind(**values)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


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
    name: str, value: Any, least: float, most: float = MOST_NUMBER, *, whole: bool = False, above: bool = False
) -> None:
    """Check an option that is a number.

    Args:
        name: The option.
        value: What was given.
        least: The least that it may be.
        most: The most that it may be; by default what can be computed with.
        whole: Whether it must be a whole number.
        above: Whether it must be above ``least``.

    Raises:
        ValueError: If it is no number, or out of range.
    """
    kinds = int if whole else (int, float)
    right = isinstance(value, kinds) and not isinstance(value, bool)
    if right and isinstance(value, int) and value >= 2**63:  # neither numpy nor a float holds every such number
        most = min(most, 2**63 - 1)
    if not right or not least <= value <= most or (above and value == least):
        kind = "a whole number" if whole else "a number"
        low = f"above {least:g}" if above else f"of at least {least:g}"
        high = f" and at most {most:g}" if most < MOST_NUMBER or (right and value > most) else ""
        raise UserError(f"{name} must be {kind} {low}{high}, found {value!r}.")
