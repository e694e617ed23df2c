"""Scheduled sampling: shares that change as the user says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from hf_mtl._options import check_number
from hf_mtl.samplers._base import DatasetSampler, Shares, check_names, check_shares, shares_by_name
from hf_mtl.samplers._stage_starts import equal_starts
from hf_mtl_light.errors import UserError

__all__ = ["ScheduleSampler"]

#: Of a callable: how often it is asked.
_STAGES = 256

#: From (step, steps of the whole training) to each dataset's share.
ShareFunction: TypeAlias = Callable[[int, int], Mapping[str, float]]


@dataclass(frozen=True)
class ScheduleSampler(DatasetSampler):
    """Draw datasets in shares that change during training as the user says.

    Args:
        schedule: A list of (when, shares), in order, the first at 0: "when" is an optimizer step (a whole number), or
            a fraction of the training (a float below 1); "shares" maps each dataset to at least 0 and is divided by
            its sum. Or a function of (step, steps of the whole training) that returns such a mapping; it is asked at
            256 steps at equal distances.

    Raises:
        ValueError: If an entry is wrong or not in order, or, once the datasets are known, if a name does not fit.

    >>> sampler = ScheduleSampler([(0, {"trec": 1, "sst2": 0}), (0.5, {"trec": 1, "sst2": 1})])
    >>> [(s, sampler.probabilities({"sst2": 9, "trec": 5}, s, steps=10).tolist()) for s in sampler.starts(10)]
    [(0, [0.0, 1.0]), (5, [0.5, 0.5])]
    """

    schedule: Sequence[tuple[float, Mapping[str, float]]] | ShareFunction = ()

    def __post_init__(self) -> None:
        if callable(self.schedule):
            return
        if isinstance(self.schedule, str) or not isinstance(self.schedule, Sequence) or not self.schedule:
            raise UserError(
                "schedule must be a list such as [[0, {'sst2': 0.7, 'trec': 0.3}], [0.5, {...}]], or a function of "
                f"(step, steps), found {self.schedule!r}."
            )
        for number, entry in enumerate(self.schedule):
            if not isinstance(entry, Sequence) or len(entry) != 2:
                raise UserError(f"schedule[{number}] must be a pair (step or fraction, shares), found {entry!r}.")
            check_number(f"schedule[{number}][0]", entry[0], 0)
            if isinstance(entry[0], float) and entry[0] >= 1:
                raise UserError(
                    f"schedule[{number}][0]: a fraction lies below 1 and a step is whole, found {entry[0]}."
                )
            check_shares(f"schedule[{number}][1]", entry[1])
        if self.schedule[0][0] != 0:
            raise UserError(f"schedule must begin at 0, found {self.schedule[0][0]!r}.")

    @property
    def is_constant(self) -> bool:
        """Whether there is one entry."""
        return not callable(self.schedule) and len(self.schedule) == 1

    def check(self, sizes: Mapping[str, int]) -> None:
        """Check that every entry gives a share to every dataset, and to nothing else.

        Raises:
            ValueError: If not.
        """
        if not callable(self.schedule):
            for number, (_, shares) in enumerate(self.schedule):
                check_names(f"schedule[{number}][1]", shares, sizes, all_of_them=True)

    def starts(self, steps: int) -> list[int]:
        """Return the steps of the entries; of those that meet in a short training the last counts.

        Raises:
            ValueError: If they are not in order.
        """
        if callable(self.schedule):
            return equal_starts(_STAGES, steps)
        found = [self._step(when, steps) for when, _ in self.schedule]
        if sorted(found) != found:
            raise UserError(
                f"schedule: in a training of {steps} steps its entries begin at {found}. Put them in order."
            )
        return sorted({step for step in found if step < steps})

    def probabilities(self, sizes: Mapping[str, int], step: int = 0, steps: int = 1) -> Shares:
        """Return the shares of the last entry that has started."""
        if callable(self.schedule):
            given = self.schedule(step, steps)
            check_shares(f"schedule({step}, {steps})", given)
            check_names(f"schedule({step}, {steps})", given, sizes, all_of_them=True)
            return shares_by_name(given, sizes)
        begun = [shares for when, shares in self.schedule if self._step(when, steps) <= step]
        return shares_by_name(begun[-1], sizes)

    @staticmethod
    def _step(when: float, steps: int) -> int:
        return when if isinstance(when, int) else round(when * steps)
