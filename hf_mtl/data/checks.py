"""Every row looked at once before anything is trained: inputs that are there, labels that fit, and how many of each."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, Value
from tqdm.auto import tqdm

from hf_mtl.configuration import TaskConfig
from hf_mtl.data.columns import LabelledDataset
from hf_mtl.heads import Head, LabelError, Objects, SequenceClassificationHead, distribution, is_soft, likeliest
from hf_mtl_light.encoding import Row
from hf_mtl_light.numerics import MOST_NUMBER

__all__ = ["MOST_CHARACTERS", "LabelCounts", "check_rows"]

logger = logging.getLogger(__name__)

#: Characters of a text: tokenizers take seconds for more, each time the row is drawn.
MOST_CHARACTERS = 1_000_000
#: Rows that are read at a time.
_BLOCK = 2_000
#: Rows that become Python objects at a time: a row may hold a photo.
_AT_ONCE = 250
_Table = Mapping[str, pa.Array]


@dataclass
class LabelCounts:
    """What the rows of a dataset say of a task.

    Args:
        rows: All rows.
        unlabelled: Those without a label of the task.
        labels: How often each label occurs, of words that of each word; empty for tasks without a list of labels.
        clipped: Boxes that reach out of their picture.
        dropped: Boxes without an area in it, which are left out.
        first_box: The first row with such a box.
    """

    rows: int = 0
    unlabelled: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    clipped: int = 0
    dropped: int = 0
    first_box: int | None = None

    @property
    def labelled(self) -> int:
        """The rows with a label."""
        return self.rows - self.unlabelled

    def add(self, other: LabelCounts) -> None:
        """Add the counts of further rows."""
        self.rows += other.rows
        self.unlabelled += other.unlabelled
        self.labels.update(other.labels)
        self.clipped += other.clipped
        self.dropped += other.dropped
        if self.first_box is None:
            self.first_box = other.first_box


def check_rows(dataset: LabelledDataset, progress: bool = False) -> dict[str, LabelCounts]:
    """Check that every input is there and every label fits its task.

    Columns are checked by Arrow, each value once, where that is enough; rows are read where a label must fit its row.

    Args:
        dataset: The dataset.
        progress: Whether to show a bar if it takes longer than a second.

    Returns:
        For each task that it labels the counts.

    Raises:
        DataError: At the first mistake; the message names dataset, row and task.
    """
    counts = {name: LabelCounts() for name in dataset.tasks}
    checks = {name: _ColumnCheck(dataset, name) for name in dataset.tasks}
    by_row = (
        dataset.has_masked_tasks or "choices" in dataset.inputs or any(not check.is_enough for check in checks.values())
    )
    with tqdm(total=len(dataset), desc=f"Checking {dataset.name}", unit=" rows", delay=1, disable=not progress) as bar:
        for start, table in _blocks(dataset):
            size = len(table[dataset.data.column_names[0]])
            found = None if by_row or not _inputs_fit(dataset, table) else _count_columns(checks, table)
            if found is None:
                # Where Arrow says that something is wrong, reading the rows says what.
                for first in range(start, start + size, _AT_ONCE):
                    rows = dataset.read(range(first, min(first + _AT_ONCE, start + size)))
                    for row in rows:
                        _check_row(dataset, row)
                    _add(counts, _count_rows(dataset, rows))
            else:
                _add(counts, found)
            bar.update(size)
    for name, count in counts.items():
        _warn_of_boxes(dataset.name, name, count)
    return counts


def _add(counts: Mapping[str, LabelCounts], found: Mapping[str, LabelCounts]) -> None:
    for name, count in found.items():
        counts[name].add(count)


def _warn_of_boxes(dataset: str, task: str, count: LabelCounts) -> None:
    """Say how many boxes are not learned as they are written."""
    if not count.clipped and not count.dropped:
        return
    message = (
        "Dataset %r, task %r: %d boxes reach out of their picture and are clipped, %d have no area in it and are left "
        "out, of %d; the first is in row %d. Correct them if they are wrong."
    )
    boxes = count.labels.total() + count.dropped
    if 2 * (count.clipped + count.dropped) > boxes:
        message += " Are they written in another format? Set the task's option box_format: coco, pascal_voc or yolo."
    logger.warning(message, dataset, task, count.clipped, count.dropped, boxes, count.first_box)


def _blocks(dataset: LabelledDataset) -> Iterator[tuple[int, dict[str, pa.Array]]]:
    start = 0
    for table in dataset.data.with_format("arrow").iter(batch_size=_BLOCK):
        yield start, {name: table[name].combine_chunks() for name in table.column_names}
        start += table.num_rows


def _inputs_fit(dataset: LabelledDataset, table: _Table) -> bool:
    """Return whether all inputs are there, and none is too long."""
    for name in dataset.inputs:
        column = table[name]
        if column.null_count:
            return False
        if name == "image":
            continue  # decoded when it is read: a look at each would take as long as a pass over them
        if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
            if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
                return False
            column = column.flatten()
            if column.null_count:
                return False
        longest = pc.max(pc.utf8_length(column)).as_py() or 0
        if longest > MOST_CHARACTERS:
            return False
    return True


def _count_columns(checks: Mapping[str, _ColumnCheck], table: _Table) -> dict[str, LabelCounts] | None:
    """Return the counts of a block; ``None`` if a label does not fit."""
    counts = {}
    for name, check in checks.items():
        found = check.count(table)
        if found is None:
            return None
        counts[name] = found
    return counts


class _ColumnCheck:
    """Checks one column of labels by its values, each once.

    Args:
        dataset: The dataset.
        name: The task.
    """

    def __init__(self, dataset: LabelledDataset, name: str) -> None:
        self._dataset, self._name = dataset, name
        self._task, self._head = dataset.task_config(name), dataset.heads[name]
        self._known: dict[Any, Counter[str] | None] = {}
        features = dataset.data.features
        column = features[name]
        self._is_list = hasattr(column, "feature")
        reads_plainly = self._head.read_label.__func__ is Head.read_label.__func__  # type: ignore[attr-defined]
        if self._head.needs_words:
            # Words with distributions are lists of lists, or of structs.
            is_flat = self._is_list and isinstance(column.feature, (Value, ClassLabel))
            fits = is_flat and hasattr(features["tokens"], "feature")
        else:
            fits = not self._is_list and not isinstance(column, Mapping)
        #: Whether values alone decide: not where a label must fit its row, or is a list that is one label as a whole.
        self.is_enough = reads_plainly and fits

    def count(self, table: _Table) -> LabelCounts | None:
        """Return the counts of a block's labels; ``None`` if one does not fit."""
        column = table[self._name]
        counts = LabelCounts(len(column), column.null_count)
        values = column if isinstance(column.type, pa.BaseExtensionType) or not self._is_list else column.flatten()
        if isinstance(values.type, pa.BaseExtensionType):
            return None  # values of several kinds, which `datasets` keeps as JSON: Arrow cannot compare them
        if self._head.needs_words:
            same = pc.equal(pc.list_value_length(column), pc.list_value_length(table["tokens"]))
            if pc.all(same).as_py() is False:
                return None
        if self._head.is_regression and pa.types.is_floating(values.type):
            fits = pc.less_equal(pc.abs(pc.cast(values, pa.float64())), MOST_NUMBER)
            return counts if pc.all(fits).as_py() is not False else None
        for item in pc.value_counts(values).to_pylist():
            value, count = item["values"], item["counts"]
            if value is None:
                continue
            if value not in self._known:
                try:
                    self._known[value] = self._read(value)
                except LabelError:
                    return None
            names = self._known[value]
            if names is None and not self._is_list:
                counts.unlabelled += count
            elif self._head.takes_labels:
                for label, times in (names or {}).items():
                    counts.labels[label] += times * count
        return counts

    def _read(self, value: Any) -> Counter[str] | None:
        """Return the labels that a value is made of, checked; ``None``: it is no label."""
        label = self._dataset.read_value(self._name, [value] if self._is_list else value)
        if label is None:
            return None
        self._head.reference(self._task, label)
        return _counted(self._task, label)


def _check_row(dataset: LabelledDataset, row: Row) -> None:
    for text in (row.text, row.text_pair, *(row.choices or ())):
        if isinstance(text, str) and len(text) > MOST_CHARACTERS:
            raise dataset.mistake(
                row.index,
                f": a text of {len(text):,} characters, and at most {MOST_CHARACTERS:,} are read. Cut it, or make rows "
                "of its parts.",
            )
    for name, label in row.labels.items():
        head, task = dataset.heads[name], dataset.task_config(name)
        if head.level == "mask":
            continue  # any text will do
        where = f", task {name!r}"
        if head.needs_words and isinstance(label, list) and len(label) != len(row.text):
            what = "tag" if head.takes_labels else "label"
            kind = "Token classification" if head.takes_labels else f"A task of the type {task.type!r}"
            raise dataset.mistake(
                row.index,
                f"{where}: {len(label)} {what}s for {len(row.text)} tokens. {kind} needs one {what} per token.",
            )
        try:
            head.reference(task, label)
        except LabelError as error:
            raise dataset.mistake(row.index, f"{where}: {error}") from None


def _count_rows(dataset: LabelledDataset, rows: Collection[Row]) -> dict[str, LabelCounts]:
    counts = {}
    for name in dataset.tasks:
        head, task = dataset.heads[name], dataset.task_config(name)
        labels = [row.labels[name] for row in rows if name in row.labels]
        counts[name] = LabelCounts(len(rows), len(rows) - len(labels))
        if head.takes_labels and head.level != "mask":
            for label in labels:
                counts[name].labels.update(_counted(task, label))
            objects = [(row.index, row.labels[name]) for row in rows if isinstance(row.labels.get(name), Objects)]
            for index, label in objects:
                counts[name].clipped += label.clipped
                counts[name].dropped += label.dropped
                if counts[name].first_box is None and label.clipped + label.dropped:
                    counts[name].first_box = dataset.source_row(index)
    return counts


def _counted(task: TaskConfig, label: Any) -> Counter[str]:
    """Return the labels that one label is made of, and how often each is there.

    Of a distribution the likeliest counts, or those that probably hold; what else is possible counts 0 times.
    """
    labels = task.labels or ()
    if isinstance(label, str):
        return Counter((label,))
    if isinstance(label, Objects):
        return Counter(label.labels)
    if is_soft(label):
        try:
            if task.is_multi_label:
                flags = SequenceClassificationHead.reference(task, label)
                return Counter(dict(zip(labels, flags, strict=True)))
            probabilities = distribution(task, label, 0)
        except LabelError:
            return Counter()  # a type of a user's own, whose numbers mean something else
        chosen = likeliest(probabilities)
        return Counter({labels[i]: int(i == chosen) for i, value in enumerate(probabilities) if value > 0})
    found: Counter[str] = Counter()
    for item in label if isinstance(label, (list, tuple)) else ():
        found.update(_counted(task, item))
    return found
