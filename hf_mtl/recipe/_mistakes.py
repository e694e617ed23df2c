"""A mistake in a recipe or its data: one line that says where, what was found, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hf_mtl_light.errors import InferenceError, UserError, is_bug

__all__ = ["RecipeError", "blamed_on", "one_line", "sourced"]


class RecipeError(UserError):
    """A mistake that its user can mend.

    Args:
        where: Dotted path in the recipe, such as ``"datasets.sst2.columns"``; may be empty.
        message: What was expected, what was found, what to do.
        source: The file, or the override, that holds the mistake.

    >>> str(RecipeError("training", "no such field.", source="recipe.yaml"))
    'recipe.yaml: training: no such field.'
    """

    def __init__(self, where: str, message: str, source: str = "") -> None:
        super().__init__(message)
        self.where = where
        self.message = message
        self.source = source

    def __str__(self) -> str:
        return ": ".join(found for found in (self.source, self.where, self.message) if found)


def one_line(error: BaseException, most: int = 400) -> str:
    r"""Return an exception's message on one line of at most ``most`` characters.

    >>> one_line(ValueError("no\n  such thing"))
    'no such thing'
    """
    # str(KeyError) is the repr of its message.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = " ".join(text.split()) or type(error).__name__
    return text if len(text) <= most else f"{text[: most - 3]}..."


@contextmanager
def blamed_on(where: str, *kinds: type[Exception]) -> Iterator[None]:
    """Turn a library's exception into a `RecipeError` of that place.

    Args:
        where: Dotted path in the recipe.
        kinds: The exceptions to turn; none means those that say a value is wrong.
    """
    expected = kinds or (ValueError, TypeError, KeyError)
    try:
        yield
    except RecipeError:
        raise
    except InferenceError as error:
        place = f"{where}.{error.field}" if where and error.field else where
        raise RecipeError(place, one_line(ValueError(error.message))) from error
    except expected as error:
        if is_bug(error):
            raise
        raise RecipeError(where, one_line(error)) from error


def sourced(error: RecipeError, source: str, overridden: Sequence[str]) -> RecipeError:
    """Name the file, or the override, that a mistake is in."""
    for override in overridden:
        key = override.partition("=")[0]
        if error.where == key or error.where.startswith(f"{key}."):
            return RecipeError(error.where, error.message, f"override {override!r}")
    error.source = error.source or source
    return error
