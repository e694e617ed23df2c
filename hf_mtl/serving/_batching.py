"""Windows of concurrent requests in one pass of the encoder."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FuturesTimeoutError
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from hf_mtl_light.encoding import Window
from hf_mtl_light.inference import Runner, split_logits

__all__ = ["BatchingRunner", "LateError", "StoppedError"]


class StoppedError(RuntimeError):
    """Raised in a request that is not answered any more, since the server stops."""


class LateError(RuntimeError):
    """Raised in a request whose deadline has passed."""


@dataclass(eq=False)
class _Call:
    """What one request waits for.

    Args:
        windows: Its windows.
        tasks: The tasks that read them.
    """

    windows: Sequence[Window]
    tasks: Sequence[str]
    result: Future[dict[str, np.ndarray]] = field(default_factory=Future)

    @property
    def longest(self) -> int:
        """Tokens of its longest window; 0 for pictures."""
        return max(len(window.ids) for window in self.windows)


class Asking(threading.local):
    """The request of this thread: until when it waits, and how many tokens it has had read."""

    deadline: float | None = None
    tokens: int = 0
    is_expected: bool = False


class BatchingRunner:
    """A `Runner` that threads call at the same time and that runs another one for all of them together.

    A pass takes the calls that wait, first come, first served, as many as its budget of tokens allows, with all tasks
    that any of them asks: the encoder costs much, a head little. It waits for requests that have started and not called
    yet, for ``max_wait`` at most. Where a pass of several calls fails, each of them is run alone.

    Args:
        run: Gives the logits of windows; called by one thread.
        levels: For each task its `Answering.level`.
        mask_id: The mask token's id, where a task fills masks.
        batch_tokens: The most tokens of one pass, padding counted.
        max_wait: Seconds.
    """

    def __init__(
        self, run: Runner, levels: Mapping[str, str], mask_id: int | None, *, batch_tokens: int, max_wait: float
    ) -> None:
        self._run = run
        self._levels = dict(levels)
        self._mask_id = mask_id
        self._batch_tokens, self._max_wait = batch_tokens, max_wait
        self._calls: deque[_Call] = deque()
        self._changed = threading.Condition()
        self._expected = 0
        self._is_closed = False
        self._asking = Asking()
        #: Passes that were run, and calls that they answered.
        self.passes = self.answered = 0
        self._thread = threading.Thread(target=self._work, name="hf-mtl passes", daemon=True)

    @property
    def waiting(self) -> int:
        """Calls that no pass has taken yet."""
        return len(self._calls)

    def start(self) -> None:
        """Start the thread that runs the passes."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the pass that runs; calls that wait raise `StoppedError`."""
        with self._changed:
            self._is_closed = True
            waiting, self._calls = list(self._calls), deque()
            self._changed.notify_all()
        for call in waiting:
            call.result.set_exception(StoppedError())

    @contextmanager
    def request(self, deadline: float) -> Iterator[Asking]:
        """Make this thread that of one request.

        Args:
            deadline: When its calls raise `LateError`, as `time.monotonic` counts.

        Yields:
            What the request has had read so far.
        """
        self._asking.deadline, self._asking.tokens = deadline, 0
        self._expect(True)
        try:
            yield self._asking
        finally:
            with self._changed:
                self._expect(False)
                self._changed.notify_all()
            self._asking.deadline = None

    def __call__(self, windows: Sequence[Window], tasks: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the logits of some windows: see `Runner`.

        Raises:
            StoppedError: If the runner is closed.
            LateError: If the request's deadline passes.
        """
        call = _Call(windows, tasks)
        deadline = self._asking.deadline
        self._asking.tokens += sum(len(window.ids) for window in windows)
        with self._changed:
            self._expect(False)
            if self._is_closed:
                raise StoppedError
            self._calls.append(call)
            self._changed.notify_all()
        try:
            return call.result.result(None if deadline is None else deadline - time.monotonic())
        except FuturesTimeoutError:
            call.result.cancel()  # no thread reads it: it is left out of the next pass
            raise LateError from None

    def _expect(self, is_expected: bool) -> None:
        """Count this thread among those whose first call is awaited, or no longer."""
        with self._changed:
            self._expected += int(is_expected) - int(self._asking.is_expected)
            self._asking.is_expected = is_expected

    def _work(self) -> None:
        while batch := self._next():
            self._answer(batch)

    def _next(self) -> list[_Call]:
        """Return the calls of the next pass once there are any; none: the runner is closed."""
        with self._changed:
            while not self._is_closed:
                self._changed.wait_for(lambda: self._calls or self._is_closed)
                end = time.monotonic() + self._max_wait
                while (
                    self._expected and (left := end - time.monotonic()) > 0 and len(self._fitting()) == len(self._calls)
                ):
                    self._changed.wait(left)
                batch = self._fitting()
                self._calls = deque(call for call in self._calls if call not in batch)
                batch = [call for call in batch if call.result.set_running_or_notify_cancel()]
                if batch:
                    return batch
        return []

    def _fitting(self) -> list[_Call]:
        """Return the first of the calls that wait, and those after it that share a pass with it."""
        found: list[_Call] = []
        longest = count = 0
        for call in self._calls:
            if found and type(call.windows[0]) is not type(found[0].windows[0]):
                continue  # a picture and a text share no encoder
            longest, count = max(longest, call.longest), count + len(call.windows)
            if found and longest * count > self._batch_tokens:
                break
            found.append(call)
        return found

    def _answer(self, batch: Sequence[_Call]) -> None:
        windows = [window for call in batch for window in call.windows]
        names = list(dict.fromkeys(name for call in batch for name in call.tasks))
        try:
            logits = self._run(windows, names)
            by_window = {
                name: split_logits(self._levels[name], values, windows, self._mask_id)
                for name, values in logits.items()
            }
        except BaseException as error:
            if len(batch) == 1:
                batch[0].result.set_exception(error)
            else:
                for call in batch:
                    self._answer([call])
            return
        self.passes += 1
        self.answered += len(batch)
        start = 0
        for call in batch:
            stop = start + len(call.windows)
            call.result.set_result({name: self._joined(name, by_window[name][start:stop]) for name in call.tasks})
            start = stop

    def _joined(self, name: str, of_windows: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack(of_windows) if self._levels[name] == "sequence" else np.concatenate(of_windows)
