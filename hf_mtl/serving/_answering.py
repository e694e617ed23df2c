"""From requests to answers: a bounded queue, threads that tokenise, one that runs passes."""

from __future__ import annotations

import asyncio
import copy
import math
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

from hf_mtl.serving._backend import Backend
from hf_mtl.serving._batching import BatchingRunner, LateError, StoppedError
from hf_mtl.serving._pictures import check_reads_pictures, warming_rows
from hf_mtl.serving._requests import Input, as_row_value
from hf_mtl.serving._settings import ServerSettings
from hf_mtl_light.encoding import Row, as_row
from hf_mtl_light.inference import Answerer, mask_id_for

__all__ = ["Answering", "FullError"]

#: Those of each input, and the tokens that were read.
Answers: TypeAlias = tuple[list[dict[str, Any]], int]


class FullError(Exception):
    """Raised where the queue has no place for a request.

    Args:
        wait: Seconds after which there should be one.
    """

    def __init__(self, wait: int) -> None:
        super().__init__(wait)
        self.wait = wait


class Answering:
    """Answers requests of one event loop.

    Args:
        backend: The model.
        settings: The limits.
        stopping: Set once the server stops; what is not answered ``grace`` seconds later raises `StoppedError`.
    """

    def __init__(self, backend: Backend, settings: ServerSettings, stopping: asyncio.Event) -> None:
        self._backend = backend
        self._settings = settings
        self._stopping = stopping
        #: All tasks with the default of each option.
        self.default: Answerer = backend.answerer()
        heads = self.default.heads
        self.passes = BatchingRunner(
            self.default.run,
            {name: head.level for name, head in heads.items()},
            mask_id_for(heads, self.default.encoder.tokenizer),
            batch_tokens=settings.batch_tokens,
            max_wait=settings.max_wait,
        )
        #: Inputs that are admitted and not answered yet.
        self.queued = 0
        self._seconds_an_input = 0.01
        self._threads = ThreadPoolExecutor(settings.threads, "hf-mtl request")

    def start(self) -> None:
        """Begin to answer; what the libraries do once, at their first call, is done now."""
        self.default.answer(warming_rows(self.default))
        self.passes.start()

    def close(self) -> None:
        """Give up what is not answered."""
        self.passes.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def answer(self, inputs: Mapping[str, str | Input], options: Mapping[str, Any]) -> Answers:
        """Return the answers of one request, and how many tokens were read for them.

        Args:
            inputs: Its inputs, by what messages call them.
            options: Arguments of the pipeline.

        Raises:
            FullError: If the queue has no place for them.
            LateError: If they are not answered in time.
            StoppedError: If the server stops.
            UserError: If an input or an option is wrong.
        """
        if self.queued + len(inputs) > self._settings.max_queue:
            raise FullError(min(60, math.ceil(self.queued * self._seconds_an_input) or 1))
        begin = time.monotonic()
        self.queued += len(inputs)
        try:
            work = asyncio.get_running_loop().run_in_executor(
                self._threads, self._answer, inputs, dict(options), begin + self._settings.request_timeout
            )
            found = await self._until_stopped(work)
        finally:
            self.queued -= len(inputs)
        # All that is queued is answered in about the time that one of them takes.
        spent = (time.monotonic() - begin) / (self.queued + len(inputs))
        self._seconds_an_input += 0.05 * (spent - self._seconds_an_input)
        return found

    def _answer(self, inputs: Mapping[str, str | Input], options: Mapping[str, Any], deadline: float) -> Answers:
        with self.passes.request(deadline) as asking:
            if time.monotonic() > deadline:
                raise LateError
            answerer: Answerer = copy.copy(self._backend.answerer(batch_tokens=self._settings.batch_tokens, **options))
            answerer.run = self.passes
            found = answerer.answer(self._rows(answerer, inputs))
            return found, asking.tokens

    def _rows(self, answerer: Answerer, inputs: Mapping[str, str | Input]) -> list[Row]:
        rows = []
        for number, (what, value) in enumerate(inputs.items()):
            if isinstance(value, Input) and value.image is not None:
                check_reads_pictures(what, answerer)
            rows.append(as_row(as_row_value(what, value, self._settings), number))
        return rows

    async def _until_stopped(self, work: asyncio.Future[Answers]) -> Answers:
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            done, _ = await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
            if work not in done:
                done, _ = await asyncio.wait((work,), timeout=self._settings.grace)
            if work not in done:
                work.cancel()
                raise StoppedError
            return work.result()
        finally:
            stopping.cancel()
