"""A dataset as the tasks see it: its input columns, and one column for each task that it labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from datasets import Dataset, Image, Value

from hf_mtl._names import listed
from hf_mtl.configuration import INPUT_COLUMNS, TaskConfig
from hf_mtl.data.content import content_hashes
from hf_mtl.data.labels import LabelReader, words_in
from hf_mtl.data.streams import stream_of
from hf_mtl.heads import Head, LabelError
from hf_mtl_light.encoding import Row
from hf_mtl_light.errors import UserError
from hf_mtl_light.pictures import PictureError, picture_size

__all__ = ["DataError", "LabelledDataset"]

#: Rows whose labels are read at a time.
_BLOCK = 1000
#: Readings of rows that need no text.
_WITH_PICTURES = ("image", "joint")
#: What a reading needs besides a text: columns, and what they hold.
_NEEDED: dict[str, dict[str, str]] = {
    "image": {"image": "the picture"},
    "context": {"text": "the question", "text_pair": "the context"},
    "choices": {"choices": "a list of texts to choose from"},
}


class DataError(UserError):
    """A row that its tasks cannot learn from.

    Args:
        dataset: Name of its dataset.
        row: Its number in the file, or the table, that it comes from, from 0.
        number: Its number in the dataset, which differs where rows were selected or moved.
        message: What is wrong and what to do, with what leads over to it: ``", task 'a': ..."`` or ``": ..."``.
    """

    def __init__(self, dataset: str, row: int, number: int, message: str) -> None:
        moved = f" (number {number} of those selected)" if row != number else ""
        super().__init__(f"Dataset {dataset!r}, row {row}{moved}{message}")
        self.dataset, self.row, self.message = dataset, row, message


def _undecoded(data: Dataset) -> Dataset:
    """Return a dataset whose pictures are left as they are stored: decoded row by row, a damaged one can be named."""
    feature = data.features["image"]
    return data.cast_column("image", Image(decode=False)) if isinstance(feature, Image) and feature.decode else data


def _holds_pictures(feature: Any) -> bool:
    """Return whether a column may hold pictures: as `datasets` stores them, with or without its feature, or paths."""
    if isinstance(feature, dict):
        return bool(feature) and feature.keys() <= {"bytes", "path"}
    is_bytes = isinstance(feature, Value) and feature.dtype in ("binary", "large_binary")
    return isinstance(feature, Image) or is_bytes or _is_text(feature)


def _is_text(feature: Any) -> bool:
    return isinstance(feature, Value) and feature.dtype in ("string", "large_string", "string_view", "null")


class LabelledDataset:
    """Reads rows of one dataset: its input and the labels of the tasks whose columns it has.

    Tasks of pictures read the column ``image``; of tasks that read a row's text and picture together, one of the two
    may be null. The input of other tasks is the column ``tokens`` (words; for tagging
    also a text of them: a list, or with spaces between) or ``text``, with ``text_pair`` for pairs and ``choices`` for
    tasks that choose. Of a dataset that has words and text, the words are read if it labels a tagging task. The column
    of a task that predicts masked tokens holds text and is the input of its rows, which have no other label. Labels
    are read as `LabelReader` does.

    Args:
        name: Name of the dataset.
        data: The dataset; it is not changed.
        tasks: The model's tasks.
        heads: The head class of each task.
        needs_labels: Whether a dataset that labels none of the tasks is an error.

    Raises:
        ValueError: If there is no input column, its type is wrong, or no column is named after a task.
    """

    def __init__(
        self,
        name: str,
        data: Dataset,
        tasks: Sequence[TaskConfig],
        heads: Mapping[str, type[Head]],
        needs_labels: bool = True,
    ) -> None:
        self.name = name
        #: The stream that the rows are the beginning of, if they are; and how many rows it counts for.
        self.stream, self.stream_rows = stream_of(data), 0
        columns = list(data.column_names)
        self.tasks = [task.name for task in tasks if task.name in columns]
        if needs_labels and not self.tasks:
            raise UserError(
                f"Dataset {name!r}: no column is named after a task. Columns: {listed(columns)}; tasks: "
                f"{listed([task.name for task in tasks])}. Rename the label column: "
                f"data.rename_column({next((c for c in columns if c not in INPUT_COLUMNS), 'label')!r}, "
                f"{(tasks[0].name if tasks else 'task')!r})."
            )
        tagging = any(heads[task].needs_words for task in self.tasks)
        asked = self.tasks if needs_labels else [task.name for task in tasks]
        choosing = any(heads[task].reads == "choices" for task in asked)
        self._masked = [task for task in self.tasks if heads[task].column_is_input]
        seen = {kind for task in asked for kind in heads[task].modalities()}
        # Of what is read with pictures the text may be missing.
        needs_text = "image" not in columns or any(heads[task].reads not in _WITH_PICTURES for task in asked)
        has_text = "text" in seen and not {"text", "tokens"}.isdisjoint(columns)
        self.inputs = self._input_columns(columns, tagging, choosing) if needs_text or has_text else []
        if "image" in seen and "image" in columns:
            self.inputs.append("image")
            data = _undecoded(data)
        if tagging and self.inputs[:1] != ["tokens"]:
            task = next(task for task in self.tasks if heads[task].needs_words)
            raise UserError(
                f"Dataset {name!r}, task {task!r}: token classification needs a column 'tokens', a list of words with "
                f"one tag each. Columns: {listed(columns)}."
            )
        self._check_readings(heads, columns)
        features = data.features  # a new copy each time
        for column in (*self.inputs, *self._masked):
            if not (column == "tokens" and tagging and _is_text(features[column])):
                self._check_input(column, features[column])
        self._tasks = {task.name: task for task in tasks if task.name in self.tasks}
        self._readers = {name: LabelReader(task, heads[name], features[name]) for name, task in self._tasks.items()}
        #: The head class of each task that it labels.
        self.heads = {task: heads[task] for task in self.tasks}
        wanted = [*self.inputs, *self.tasks]
        #: Columns that are neither input nor labels.
        self.unused = [column for column in columns if column not in wanted]
        # Each of the two copies the dataset's description: a thousand datasets would wait seconds for it.
        if columns != wanted:
            data = data.select_columns(wanted)
        self.data: Dataset = data if data.format["type"] is None else data.with_format(None)

    def _input_columns(self, columns: Sequence[str], tagging: bool, choosing: bool) -> list[str]:
        more = ["choices"] if choosing and "choices" in columns else []
        if "tokens" in columns and (tagging or "text" not in columns):
            return ["tokens", *more]
        if "text" in columns:
            return ["text", "text_pair", *more] if "text_pair" in columns else ["text", *more]
        if self._masked:
            return []
        raise UserError(
            f"Dataset {self.name!r}: no input column. Expected 'text', 'text' and 'text_pair', or 'tokens'; found "
            f"{listed(columns)}. Rename the column that holds the input."
        )

    def _check_readings(self, heads: Mapping[str, type[Head]], columns: Sequence[str]) -> None:
        for task in self.tasks:
            for column, use in _NEEDED.get(heads[task].reads, {}).items():
                if column not in self.inputs:
                    raise UserError(
                        f"Dataset {self.name!r}, task {task!r}: its type needs a column {column!r}, {use}. Columns: "
                        f"{listed(columns)}. Rename the one that holds it."
                    )

    def _check_input(self, column: str, feature: Any) -> None:
        if column == "image":
            # Paths, too: they are opened when the row is read.
            if not _holds_pictures(feature):
                raise UserError(
                    f"Dataset {self.name!r}: column 'image' must hold pictures (datasets.Image), the bytes of their "
                    f"files, or their paths, found {feature}."
                )
            return
        is_list = column in ("tokens", "choices")
        inner = getattr(feature, "feature", None) if is_list else feature
        if not _is_text(inner):
            wanted = "a list of strings" if is_list else "strings"
            raise UserError(f"Dataset {self.name!r}: column {column!r} must hold {wanted}, found {feature}.")

    def __len__(self) -> int:
        return len(self.data)

    @property
    def size(self) -> int:
        """The rows that samplers count: of a stream those that a training may draw."""
        return len(self) if self.stream is None else self.stream_rows

    @cached_property
    def content(self) -> dict[str, str]:
        """A hash of each column's values, see `content_hashes`."""
        return content_hashes(self.data)

    @property
    def input_hashes(self) -> dict[str, str]:
        """Of `content` the columns that are read, without labels."""
        return {name: value for name, value in self.content.items() if name in self.inputs}

    @property
    def has_masked_tasks(self) -> bool:
        """Whether it labels tasks that predict masked tokens."""
        return bool(self._masked)

    @property
    def has_texts(self) -> bool:
        """Whether its rows have texts, and not pictures alone."""
        return self.inputs != ["image"]

    def task_config(self, task: str) -> TaskConfig:
        """Return one of the tasks that it labels."""
        return self._tasks[task]

    def source_row(self, index: int) -> int:
        """Return the number that a row has in the file, or the table, that the dataset was selected from, from 0."""
        indices = self.data._indices
        return index if indices is None else int(indices.column(0)[index].as_py())

    def mistake(self, index: int, message: str) -> DataError:
        """Return the error of a row, by its number; the message follows the row's name."""
        return DataError(self.name, self.source_row(index), index, message)

    def read(self, indices: Sequence[int]) -> list[Row]:
        """Return rows by number, in the order asked for.

        Raises:
            ValueError: If an input is null; the message names the dataset and the row.
        """
        return self.rows(self.data[list(indices)], [(self.name, index) for index in indices])

    @property
    def kind(self) -> tuple[Any, ...]:
        """What datasets have in common whose rows one reader can read: inputs, tasks and features."""
        features = self.data.features
        return tuple(self.inputs), tuple(self.tasks), str([features[c] for c in (*self.inputs, *self.tasks)])

    def rows(self, batch: Mapping[str, Sequence[Any]], places: Sequence[tuple[str, int]]) -> list[Row]:
        """Return rows that were read from this dataset or one of its `kind`.

        Args:
            batch: Column -> values.
            places: For each row the name of its dataset and its number there.

        Raises:
            ValueError: If an input is null, or a row with a text to mask has other labels; the message names the
                dataset and the row.
        """
        rows = []
        for position, (dataset, index) in enumerate(places):
            found = {task: self._label(task, batch[task][position], (dataset, index)) for task in self.tasks}
            labels = {task: label for task, label in found.items() if label is not None}
            if self._masked and not labels.keys().isdisjoint(self._masked):
                rows.append(self._row_to_mask(dataset, index, labels))
                continue
            if not self.inputs:
                raise self._mistake(
                    (dataset, index),
                    f": column {self._masked[0]!r} is null, and there is no other input. Give a text, possibly empty, "
                    "or drop the row.",
                )
            inputs = {column: batch[column][position] for column in self.inputs}
            if isinstance(inputs.get("tokens"), str):
                inputs["tokens"] = words_in(inputs["tokens"])
            picture = inputs.pop("image", None)
            if "image" in self.inputs and picture is None and not inputs:
                raise self._mistake((dataset, index), ": column 'image' is null. Give a picture, or drop the row.")
            if picture is not None and inputs and inputs[self.inputs[0]] is None and self._spare_text(labels):
                inputs = {self.inputs[0]: ""}
            for column, value in inputs.items():
                if value is None or (isinstance(value, list) and None in value):
                    what = "is null" if value is None else f"holds null in place {value.index(None)} of its list"
                    raise self._mistake(
                        (dataset, index), f": column {column!r} {what}. Give a text, possibly empty, or drop the row."
                    )
            row = Row(
                dataset=dataset,
                index=index,
                text=inputs[self.inputs[0]] if inputs else "",
                text_pair=inputs.get("text_pair"),
                choices=inputs.get("choices"),
                image=picture,
                picture_size=self._size(picture, (dataset, index)),
            )
            for task, value in labels.items():
                label = self._read_label(task, value, row)
                if label is not None:
                    row.labels[task] = label
            rows.append(row)
        return rows

    def _spare_text(self, labels: Mapping[str, Any]) -> bool:
        """Return whether a row with these labels needs no text beside its picture."""
        return "text_pair" not in self.inputs and all(self.heads[task].reads in _WITH_PICTURES for task in labels)

    def _size(self, picture: Any, place: tuple[str, int]) -> tuple[int, int] | None:
        """Return the size of a row's picture, where a task needs it."""
        if picture is None or not any(head.labels_objects for head in self.heads.values()):
            return None
        try:
            return picture_size(picture)
        except PictureError as error:
            raise self._mistake(place, f": {error}") from None

    def _read_label(self, task: str, value: Any, row: Row) -> Any:
        try:
            return self.heads[task].read_label(self._tasks[task], value, row)
        except LabelError as error:
            raise self._mistake((row.dataset, row.index), f", task {task!r}: {error}") from None

    def _mistake(self, place: tuple[str, int], message: str) -> DataError:
        dataset, index = place
        # Else it is a row of another dataset of the same kind.
        return self.mistake(index, message) if dataset == self.name else DataError(dataset, index, index, message)

    def _row_to_mask(self, dataset: str, index: int, labels: dict[str, Any]) -> Row:
        task = next(name for name in self._masked if name in labels)
        if len(labels) > 1:
            others = [name for name in labels if name != task]
            raise self._mistake(
                (dataset, index),
                f": its text is masked for task {task!r}, and {listed(others)} would learn from what is left of it. "
                "Put the texts to mask into a separate dataset, or into separate rows.",
            )
        return Row(dataset, index, labels[task], labels=labels)

    def labels(self, task: str) -> Iterator[tuple[int, Any]]:
        """Yield the number of each row that a task labels, and the label; they are read as they are needed.

        Raises:
            ValueError: If a label cannot be read; the message names dataset, row and task.
        """
        column = self.data[task]
        for start in range(0, len(self), _BLOCK):
            for i, value in enumerate(column[start : start + _BLOCK], start):
                label = self._label(task, value, (self.name, i))
                if label is not None:
                    yield i, label

    def read_value(self, task: str, value: Any) -> Any:
        """Return the label of a cell, see `LabelReader.read`.

        Raises:
            LabelError: If it cannot be read.
        """
        return self._readers[task].read(value)

    def _label(self, task: str, value: Any, place: tuple[str, int]) -> Any:
        try:
            return self._readers[task].read(value)
        except LabelError as error:
            raise self._mistake(place, f", task {task!r}: {error}") from None
