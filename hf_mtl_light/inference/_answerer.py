"""From rows to answers: tokenise, cut, sort, run, join, answer; in the order of the rows and with bounded memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from hf_mtl_light.answering import Answering, AnswerOptions
from hf_mtl_light.encoding import EncodedRow, Row, Window, WindowEncoder, as_row, can_read
from hf_mtl_light.errors import UserError
from hf_mtl_light.inference._batches import plan_batches
from hf_mtl_light.inference._finite import check_finite
from hf_mtl_light.inference._levels import logits_of_rows, split_logits
from hf_mtl_light.inference._merge import merge_windows
from hf_mtl_light.inference._runner import Runner, mask_id_for
from hf_mtl_light.inference._unread import check_options_are_read
from hf_mtl_light.names import listed, nearest
from hf_mtl_light.words import Reading, WordMap

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
    rows: Sequence[Row],
    options: Mapping[str, AnswerOptions] | None = None,
    mask_id: int | None = None,
) -> list[dict[str, Any]]:
    """Turn the logits of R rows into their answers.

    Args:
        tasks: The tasks by name, described as `heads` want them.
        heads: What answers each: `Head.answering`, or the head's class where answers need no weights.
        logits: For each task that is answered [R, C], or [n, C] for tagging: see `Head.answers`.
        words: What became of each row's words.
        rows: The rows, for messages.
        options: What is asked of each task; those not named get the defaults.
        mask_id: The mask token's id, where a task fills masks.

    Returns:
        One dict of answers by task a row.

    Raises:
        ValueError: If logits are infinite or not a number; the message names row and task.
    """
    options = options or {}
    for name, values in logits.items():
        if not np.isfinite(values).all():
            check_finite(name, logits_of_rows(heads[name], values, words, mask_id), rows)
    columns = [heads[name].answers(tasks[name], values, words, options.get(name)) for name, values in logits.items()]
    return [dict(zip(logits, row, strict=True)) for row in zip(*columns, strict=True)]


class _Asked:
    """The windows that tasks read of some rows; what several of them read is there once.

    Args:
        names: The tasks.
        heads: What answers each.
    """

    def __init__(self, names: Sequence[str], heads: Mapping[str, Answering]) -> None:
        #: For each reading the tasks that read so.
        self.names: dict[Reading, list[str]] = {}
        for name in names:
            self.names.setdefault(heads[name].reads, []).append(name)
        self.numbers: dict[Reading, list[int]] = {}
        self.rows: dict[Reading, list[EncodedRow]] = {}
        self.windows: list[Window] = []
        #: For each task the logits of windows by their numbers.
        self.found: dict[str, dict[int, Any]] = {name: {} for name in names}
        self._places: dict[Reading, list[int]] = {}
        self._known: dict[str, int] = {}

    def add(self, reading: Reading, numbers: list[int], rows: list[EncodedRow]) -> None:
        """Add the rows with these numbers, read in one way."""
        self.numbers[reading], self.rows[reading] = numbers, rows
        places = self._places[reading] = []
        for row in rows:
            for window in row.windows:
                key = window.key if len(self.names) > 1 else len(self.windows)
                places.append(self._known.setdefault(repr(key), len(self.windows)))
                if places[-1] == len(self.windows):
                    self.windows.append(window)

    def passes(self) -> list[tuple[list[str], list[int]]]:
        """Return tasks and the numbers of the windows that just they read."""
        readers: dict[int, list[str]] = {}
        for reading, places in self._places.items():
            for place in dict.fromkeys(places):
                readers.setdefault(place, []).extend(self.names[reading])
        groups: dict[tuple[str, ...], list[int]] = {}
        for place, names in readers.items():
            groups.setdefault(tuple(names), []).append(place)
        return [(list(names), places) for names, places in groups.items()]

    def logits(self, reading: Reading) -> dict[str, list[Any]]:
        """Return the logits of each window, row after row, of the tasks that read so."""
        return {name: [self.found[name][i] for i in self._places[reading]] for name in self.names[reading]}


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
        defaults: Names of options that hold where a task reads them; each other must be read by a task that is asked.

    Raises:
        ValueError: If a task is unknown, no task reads an option, or a number is below 1.
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
        defaults: Collection[str] = (),
    ) -> None:
        known = [task.name for task in tasks]
        if not known:
            raise UserError("the model has no tasks, so there is nothing to answer. Put a head on it first.")
        if isinstance(chosen, str):
            raise UserError(f"tasks must be a list of names, found the text {chosen!r}. Write tasks=[{chosen!r}].")
        #: Whether a string is the path of a picture: no task of the model reads texts.
        self.reads_paths = all(heads[name].reads == "image" for name in known)
        self.names = known if chosen is None else list(dict.fromkeys(chosen))
        for name in self.names:
            if name not in known:
                raise UserError(f"{name!r} is no task of this model.{nearest(name, known)} Tasks: {listed(known)}.")
        for what, value in (("batch_tokens", batch_tokens), ("batch_size", batch_size), ("look_ahead", look_ahead)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise UserError(f"{what} must be a whole number of at least 1, found {value!r}.")
        self.run = run
        self.encoder = encoder
        self.tasks = {task.name: task for task in tasks}
        self.heads = dict(heads)
        if isinstance(options, Mapping):
            self.options = dict(options)
        else:
            self.options = dict.fromkeys(self.tasks, options or AnswerOptions())
        if self.names:
            check_options_are_read(self.tasks, self.heads, self.names, self.options, encoder.stride, defaults)
        self.batch_tokens, self.batch_size, self.look_ahead = batch_tokens, batch_size, look_ahead
        self._mask_id = mask_id_for({name: self.heads[name] for name in self.names}, encoder.tokenizer)

    def __call__(self, rows: Iterable[Any], source: str = "input") -> Iterator[dict[str, Any]]:
        """Yield the answers of rows in their order, reading them as they are needed.

        Args:
            rows: Rows in any form that `as_row` takes.
            source: Where they come from, for messages.

        Raises:
            ValueError: If a row has no input; the message names its number, from 0.
        """
        numbered = enumerate(rows)
        while chunk := [self.read(value, number, source) for number, value in islice(numbered, self.look_ahead)]:
            yield from self.answer(chunk)

    def read(self, value: Any, number: int, source: str = "input") -> Row:
        """Return the row that a value is, see `as_row`; for a model of pictures alone a string is a path or a URL."""
        if self.reads_paths and isinstance(value, (str, bytes, bytearray)):
            value = {"image": value}
        return as_row(value, number, source)

    def answer(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Return the answers of some rows: one dict by task a row. The same rows have the same answers.

        A task whose input a row lacks, such as a second text or choices, is answered ``None`` there.
        """
        answers: list[dict[str, Any]] = [dict.fromkeys(self.names) for _ in rows]
        for numbers, encoded, logits in self.logits(rows):
            words = [row.words for row in encoded]
            own = [rows[i] for i in numbers]
            found = answer_rows(self.tasks, self.heads, logits, words, own, self.options, self._mask_id)
            for i, answer in zip(numbers, found, strict=True):
                answers[i].update(answer)
        return answers

    def logits(self, rows: Sequence[Row]) -> Iterator[tuple[list[int], list[EncodedRow], dict[str, np.ndarray]]]:
        """Yield the logits of some rows, for each reading of them that a task needs.

        Args:
            rows: The rows.

        Yields:
            The numbers of the rows that can be read so, these rows, and for each task that reads so their logits: see
            `merge_windows`.
        """
        if not rows or not self.names:
            return
        tagging = [name for name in self.names if self.heads[name].needs_words]
        needs_raw_tokens = any(
            name in self.options and self.options[name].aggregation_strategy is not None for name in tagging
        )
        asked = _Asked(self.names, self.heads)
        for reading in asked.names:
            numbers = [i for i, row in enumerate(rows) if can_read(row, reading)]
            encoded = self.encoder.encode(
                [rows[i] for i in numbers], needs_raw_tokens, reading, self._mask_id is not None
            )
            asked.add(reading, numbers, encoded)
        self._run(asked)
        for reading, numbers in asked.numbers.items():
            encoded = asked.rows[reading]
            if encoded:
                yield numbers, encoded, merge_windows(asked.logits(reading), encoded, self.heads, self._mask_id)

    def _run(self, asked: _Asked) -> None:
        """Run all windows, each once for all tasks that read it, like lengths together."""
        for names, numbers in asked.passes():
            lengths = [len(asked.windows[i].ids) for i in numbers]
            for batch in plan_batches(lengths, self.batch_tokens, self.batch_size):
                chosen = [numbers[i] for i in batch]
                windows = [asked.windows[i] for i in chosen]
                logits = self.run(windows, names)
                for name in names:
                    of_windows = split_logits(self.heads[name].level, logits[name], windows, self._mask_id)
                    asked.found[name].update(zip(chosen, of_windows, strict=True))
