"""One bar over all runs, with the time left, in place of one for each."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback

__all__ = ["RunsBar"]


class RunsBar:
    """A bar of optimizer steps over several trainings.

    Args:
        runs: The number of runs.
        steps: Their steps together.
        shown: Whether to draw it, where a person watches.
    """

    def __init__(self, runs: int, steps: int, shown: bool) -> None:
        self._runs, self._done = runs, 0
        is_hidden = not (shown and sys.stderr.isatty())
        self._bar = tqdm(total=steps, unit="step", dynamic_ncols=True, disable=is_hidden, leave=False)

    def __enter__(self) -> RunsBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def skip(self, steps: int) -> None:
        """Count steps that were trained before: they say nothing of the speed."""
        if not self._bar.disable:  # a hidden bar counts nothing
            self._bar.initial += steps
            self._bar.update(steps)

    def add(self, steps: int) -> None:
        """Count steps that were trained just now."""
        self._bar.update(steps)

    def begin(self, name: str) -> None:
        """Name the run in progress."""
        self._bar.set_description(f"{name} ({self._done + 1} of {self._runs})")

    def end(self) -> None:
        """Count a run as done."""
        self._done += 1

    def callback(self, name: str) -> TrainerCallback:
        """Return what counts the steps of a run."""
        return _Steps(self, name)


class _Steps(TrainerCallback):
    """Counts the steps of a training."""

    def __init__(self, bar: RunsBar, name: str) -> None:
        self._bar, self._name, self._last = bar, name, 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.begin(self._name)
        self._bar.skip(state.global_step)
        self._last = state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.add(state.global_step - self._last)
        self._last = state.global_step

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.skip(state.max_steps - self._last)  # of a training that was stopped early
        self._bar.end()
