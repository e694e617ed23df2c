"""Fields of a task that hold a number for each label: what they may hold, checked once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hf_mtl_light.errors import UserError, UserTypeError
from hf_mtl_light.numerics import MOST_NUMBER

__all__ = ["BALANCED", "PER_LABEL", "Numbers"]

#: In place of weights: they are learned from the training labels.
BALANCED = "balanced"


@dataclass(frozen=True)
class Numbers:
    """What a field may hold.

    Args:
        range: The range of a number, as text.
        holds: Whether a finite number lies in it.
        word: A word that may replace the numbers.
        one_for_all: Whether one number may stand for all labels.
        nulls: Whether a number of the list may be missing, to be learned.
    """

    range: str
    holds: Callable[[float], bool]
    word: str | None = None
    one_for_all: bool = False
    nulls: bool = False

    def checked(self, where: str, value: Any, labels: Sequence[str] | None) -> Any:
        """Return a field's value, a list as a tuple.

        Args:
            where: The field, for messages, such as ``"Task 'a': thresholds"``.
            value: The value.
            labels: The task's labels.

        Raises:
            TypeError: If it holds something else than numbers.
            ValueError: If a number is out of its range, or one is missing for a label.

        >>> PER_LABEL["thresholds"].checked("Task 'a': thresholds", [0.5, 0.2], ["x", "y"])
        (0.5, 0.2)
        """
        if value is None or (self.word is not None and value == self.word):
            return value
        is_list = isinstance(value, Iterable) and not isinstance(value, str)
        if not is_list and (isinstance(value, str) or not self.one_for_all):
            kinds = ["a number"] * self.one_for_all + ["a list of numbers"] + [repr(self.word)] * bool(self.word)
            raise UserTypeError(f"{where} must be {' or '.join(kinds)}, found {value!r}.")
        numbers = tuple(value) if is_list else (value,)
        if is_list and len(numbers) != len(labels or ()):
            task, _, name = where.partition(": ")
            raise UserError(
                f"{task}: {len(numbers)} {name} for {len(labels or ())} labels. Give one for each label, in the same "
                "order."
            )
        for number in numbers:
            if number is None and self.nulls and is_list:
                continue
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                raise UserTypeError(f"{where} must be {'numbers' if is_list else 'a number'}, found {number!r}.")
            if not (-MOST_NUMBER <= number <= MOST_NUMBER and self.holds(number)):
                raise UserError(f"{where} must be {self.range}, found {number}.")
        return numbers if is_list else value


#: The fields of a task that hold a number for each label.
PER_LABEL = {
    "class_weights": Numbers(f"at least 0 and at most {MOST_NUMBER:g}", lambda x: x >= 0, word=BALANCED),
    "pos_weight": Numbers(f"at least 0 and at most {MOST_NUMBER:g}", lambda x: x >= 0, word=BALANCED),
    "thresholds": Numbers("above 0 and below 1", lambda x: 0 < x < 1, one_for_all=True),
    "target_mean": Numbers(f"within +-{MOST_NUMBER:g}", lambda x: True, one_for_all=True, nulls=True),
    "target_std": Numbers(f"above 0 and at most {MOST_NUMBER:g}", lambda x: x > 0, one_for_all=True, nulls=True),
}
