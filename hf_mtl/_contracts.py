"""Whether a class has what is asked of it: the methods that a base class leaves to its subclasses."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["missing_methods"]


def missing_methods(kind: type, base: type, required: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the methods that a class neither writes nor inherits from one that does.

    Args:
        kind: The class.
        base: The class whose methods only raise, or say what a subclass may change.
        required: Names of methods of ``base``; of those of one entry any one is enough.

    >>> class Shape:
    ...     def area(self): ...
    ...     def name(self): ...
    >>> class Square(Shape):
    ...     def area(self):
    ...         return 1
    >>> missing_methods(Square, Shape, [("area",), ("name",)]), missing_methods(Square, Shape, [("name", "area")])
    (['name'], [])
    """

    def is_replaced(name: str) -> bool:
        found, original = getattr(kind, name), getattr(base, name)
        return getattr(found, "__func__", found) is not getattr(original, "__func__", original)

    return [" or ".join(names) for names in required if not any(map(is_replaced, names))]
