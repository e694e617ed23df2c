"""From rows to answers: tokenise, cut, sort, run, join, answer; in the order of the rows and with bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from hf_mtl_light.answering import Answering, AnswerOptions
from hf_mtl_light.encoding import EncodedRow, Row, WindowEncoder, as_row
from hf_mtl_light.inference._batches import plan_batches
from hf_mtl_light.inference._merge import merge_windows
from hf_mtl_light.inference._runner import Runner
from hf_mtl_light.names import listed, nearest
from hf_mtl_light.words import WordMap

__all__ = ["BATCH_TOKENS", "LOOK_AHEAD", "Answerer", "answer_rows"]

#: The most tokens of a pass, by default.
BATCH_TOKENS = 2048
#: Rows that are read before the first of them is answered, by default.
LOOK_AHEAD = 512


def answer_rows(
    tasks: Mapping[str, Any],
    heads: Mapping[str, Answering],
    logits: Mapping[str, np.ndarray],
    words: Sequence[WordMap],
    options: Mapping[str, AnswerOptions] | None = None,
) -> list[dict[str, Any]]:
    """Turn the logits of R rows into their answers.

    Args:
        tasks: The tasks by name, described as `heads` want them.
        heads: What answers each: `Head.answering`, or the head's class where answers need no weights.
        logits: For each task that is answered [R, C], or [n, C] for tagging: see `Head.answers`.
        words: What became of each row's words.
        options: What is asked of each task; those not named get the defaults.

    Returns:
        One dict of answers by task a row.
    """
    options = options or {}
    columns = [heads[name].answers(tasks[name], values, words, options.get(name)) for name, values in logits.items()]
    return [dict(zip(logits, row, strict=True)) for row in zip(*columns, strict=True)]


class Answerer:
    """Answers tasks for any number of rows.

    Args:
        run: Gives the logits of windows: `ModelRunner`, or another `Runner`.
        encoder: Tokenises rows.
        tasks: The model's tasks, described as `heads` want them.
        heads: What answers each: `Head.answering`, or the head's class where answers need no weights.
        chosen: Names of the tasks to answer; ``None`` answers all.
        options: What is asked of each task, or of all.
        batch_tokens: The most tokens of one pass, see `plan_batches`.
        batch_size: The most windows of one pass; ``None``: any number.
        look_ahead: Rows that are read before the first of them is answered. More of them have more of like length.

    Raises:
        ValueError: If a task is unknown, or a number is below 1.
    """

    def __init__(
        self,
        run: Runner,
        encoder: WindowEncoder,
        tasks: Sequence[Any],
        heads: Mapping[str, Answering],
        *,
        chosen: Sequence[str] | None = None,
        options: AnswerOptions | Mapping[str, AnswerOptions] | None = None,
        batch_tokens: int = BATCH_TOKENS,
        batch_size: int | None = None,
        look_ahead: int = LOOK_AHEAD,
    ) -> None:
        known = [task.name for task in tasks]
        self.names = known if chosen is None else list(dict.fromkeys(chosen))
        for name in self.names:
            if name not in known:
                raise ValueError(f"{name!r} is no task of this model.{nearest(name, known)} Tasks: {listed(known)}.")
        for what, value in (("batch_tokens", batch_tokens), ("batch_size", batch_size), ("look_ahead", look_ahead)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"{what} must be a whole number of at least 1, found {value!r}.")
        self.run = run
        self.encoder = encoder
        self.tasks = {task.name: task for task in tasks}
        self.heads = dict(heads)
        if isinstance(options, Mapping):
            self.options = dict(options)
        else:
            self.options = dict.fromkeys(self.names, options or AnswerOptions())
        self.batch_tokens, self.batch_size, self.look_ahead = batch_tokens, batch_size, look_ahead

    def __call__(self, rows: Iterable[Any], source: str = "input") -> Iterator[dict[str, Any]]:
        """Yield the answers of rows in their order, reading them as they are needed.

        Args:
            rows: Rows in any form that `as_row` takes.
            source: Where they come from, for messages.

        Raises:
            ValueError: If a row has no input; the message names its number, from 0.
        """
        numbered = enumerate(rows)
        while chunk := [as_row(value, number, source) for number, value in islice(numbered, self.look_ahead)]:
            yield from self.answer(chunk)

    def answer(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Return the answers of some rows: one dict by task a row. The same rows have the same answers."""
        if not rows or not self.names:
            return [{} for _ in rows]
        tagging = [name for name in self.names if self.heads[name].level == "token"]
        needs_pieces = any(
            name in self.options and self.options[name].aggregation_strategy is not None for name in tagging
        )
        encoded = self.encoder.encode(rows, needs_pieces)
        logits = merge_windows(self._logits(encoded), encoded, self.heads)
        return answer_rows(self.tasks, self.heads, logits, [row.words for row in encoded], self.options)

    def _logits(self, encoded: Sequence[EncodedRow]) -> dict[str, list[Any]]:
        """Run all windows, like lengths together; return each task's logits of each window, row after row."""
        windows = [window for row in encoded for window in row.windows]
        found: dict[str, list[Any]] = {name: [None] * len(windows) for name in self.names}
        lengths = [len(window.ids) for window in windows]
        for batch in plan_batches(lengths, self.batch_tokens, self.batch_size):
            logits = self.run([windows[i] for i in batch], self.names)
            ends = np.cumsum([lengths[i] for i in batch])[:-1]
            for name in self.names:
                parts = np.split(logits[name], ends) if self.heads[name].level == "token" else logits[name]
                for i, part in zip(batch, parts, strict=True):
                    found[name][i] = part
        return found
