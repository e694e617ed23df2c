"""Stored predictions: for rows of datasets the probabilities that a model gave to each task's labels, in one file.

A Parquet file with a line for each row and task:

| column | holds |
|---|---|
| ``dataset`` (string), ``row`` (int64) | the row: its number in the training split, from 0 |
| ``task`` (string) | the task |
| ``probabilities`` (list of floats) | one a label, in the order of the metadata; or the numbers |
| ``word_probabilities`` (list of lists of floats) | of tasks of words: for each word, or null |
| ``fold`` (int64) | of cross-validation: the fold that the model did not train on; else null |

Of the two lists one is null. The metadata of the schema has the key ``labels``: the JSON of a mapping from tasks to
their labels in order, null for a task that answers numbers without names; the key ``inputs``, which may be missing,
that of a mapping from datasets to a hash of each input column, by which other rows of the same number are found.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from hf_mtl_light.errors import UserError
from hf_mtl_light.outputs import written_whole

__all__ = ["Prediction", "StoredPredictions", "predictions_metadata", "write_predictions"]

#: Lines that are written at a time.
_BLOCK = 10_000
_SCHEMA = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("probabilities", pa.list_(pa.float32())),
        pa.field("word_probabilities", pa.list_(pa.list_(pa.float32()))),
        pa.field("fold", pa.int64()),
    ]
)


class Prediction(NamedTuple):
    """What a model answered for a row and a task.

    Args:
        dataset: The row's dataset.
        row: Its number there, from 0.
        task: The task.
        probabilities: One for each label, or the numbers; of words a list of such lists, ``None`` at a word that was
            not read.
        fold: Of cross-validation: the fold that the row lies in.
    """

    dataset: str
    row: int
    task: str
    probabilities: Sequence[float] | Sequence[Sequence[float] | None]
    fold: int | None = None


def write_predictions(
    path: Path,
    predictions: Iterable[Prediction],
    labels: Mapping[str, Sequence[str] | None],
    word_tasks: Iterable[str],
    inputs: Mapping[str, Mapping[str, str]] | None = None,
) -> int:
    """Write predictions into a file that appears whole or not at all.

    Args:
        path: The Parquet file.
        predictions: They are read as they are written.
        labels: For each task its labels in the order of the probabilities; ``None`` for a number without a name.
        word_tasks: The tasks that answer words.
        inputs: For each dataset whose rows these are, whole and in order, `LabelledDataset.input_hashes`.

    Returns:
        How many were written.
    """
    of_words = set(word_tasks)
    named = {task: None if names is None else list(names) for task, names in labels.items()}
    schema = _SCHEMA.with_metadata(predictions_metadata(named, inputs))
    rest, count = iter(predictions), 0
    with written_whole(path) as target, pq.ParquetWriter(target, schema) as writer:
        while block := list(islice(rest, _BLOCK)):
            is_words = [prediction.task in of_words for prediction in block]
            both = [
                [p.probabilities if words == wanted else None for p, words in zip(block, is_words, strict=True)]
                for wanted in (False, True)
            ]
            columns = [[p.dataset for p in block], [p.row for p in block], [p.task for p in block], *both]
            columns.append([p.fold for p in block])
            writer.write_table(
                pa.table([pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema)
            )
            count += len(block)
    return count


def predictions_metadata(
    labels: Mapping[str, Sequence[str] | None], inputs: Mapping[str, Mapping[str, str]] | None = None
) -> dict[str, str]:
    """Return the metadata of the schema: see `write_predictions`."""
    found = {"labels": json.dumps(labels, ensure_ascii=False)}
    return found if inputs is None else {**found, "inputs": json.dumps(inputs, ensure_ascii=False)}


class StoredPredictions:
    """Predictions in a file, found by dataset, row and task.

    Args:
        path: The Parquet file.

    Raises:
        UserError: If it is none of stored predictions, or holds two for one row and task.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        try:
            table = pq.read_table(self.path, memory_map=True)
        except (OSError, pa.ArrowInvalid) as error:
            raise UserError(f"{self.path}: no Parquet file that can be read: {error}") from error
        missing = [name for name in ("dataset", "row", "task", "probabilities") if name not in table.column_names]
        labels = (table.schema.metadata or {}).get(b"labels")
        if missing or labels is None:
            what = (
                f"the columns {', '.join(missing)}" if missing else "the labels of its tasks in the schema's metadata"
            )
            raise UserError(
                f"{self.path}: lacks {what}, so it holds no stored predictions. Write it with hf-mtl distill, or with "
                "hf_mtl.data.write_predictions."
            )
        #: For each task its labels, in the order of the probabilities; ``None`` for a number without a name.
        self.labels: dict[str, list[str] | None] = json.loads(labels)
        #: For each dataset a hash of each input column; empty where the file does not say it.
        self.inputs: dict[str, dict[str, str]] = json.loads((table.schema.metadata or {}).get(b"inputs", b"{}"))
        self._values = [
            table[name].combine_chunks()
            for name in ("probabilities", "word_probabilities")
            if name in table.column_names
        ]
        keys = [table[name].combine_chunks() for name in ("dataset", "task", "row")]
        self._places: dict[tuple[str, str], dict[int, int]] = {}
        for place, (dataset, task, row) in enumerate(zip(*(column.to_pylist() for column in keys), strict=True)):
            known = self._places.setdefault((dataset, task), {})
            if row in known:
                raise UserError(f"{self.path}: two predictions for dataset {dataset!r}, row {row}, task {task!r}.")
            known[row] = place

    @property
    def tasks(self) -> list[str]:
        """The tasks that it answers, in order of first appearance."""
        return list(dict.fromkeys(task for _, task in self._places))

    def rows(self, dataset: str, task: str) -> int:
        """Return how many rows of a dataset it answers."""
        return len(self._places.get((dataset, task), ()))

    def last_row(self, dataset: str, task: str) -> int:
        """Return the largest number of a row of a dataset that it answers; -1 if it answers none."""
        return max(self._places.get((dataset, task), ()), default=-1)

    def check_inputs(self, dataset: str, hashes: Mapping[str, str]) -> None:
        """Check that a dataset's rows are those that were answered, as far as the file says it.

        Args:
            dataset: The dataset's name.
            hashes: Its `LabelledDataset.input_hashes`.

        Raises:
            UserError: If a column holds other values, or the same in another order.
        """
        for column, answered in self.inputs.get(dataset, {}).items():
            if hashes.get(column, answered) != answered:
                raise UserError(
                    f"Dataset {dataset!r}: its column {column!r} differs from that of the rows that {self.path} has "
                    "predictions for; rows were changed, or lie in another order. Store the predictions of this split."
                )

    def check(self, dataset: str, row: int, task: str) -> None:
        """Check that there are probabilities.

        Raises:
            UserError: If there are none; the message names dataset, row and task.
        """
        if row not in self._places.get((dataset, task), ()):
            raise UserError(
                f"Dataset {dataset!r}, row {row}, task {task!r}: {self.path} has no prediction for it. Store those of "
                "all training rows, in the order of the training split."
            )

    def get(self, dataset: str, row: int, task: str) -> Any:
        """Return the probabilities, one a label, or a list of them for each word.

        Raises:
            UserError: If there are none; the message names dataset, row and task.
        """
        self.check(dataset, row, task)
        place = self._places[dataset, task][row]
        return next((column[place].as_py() for column in self._values if column[place].is_valid), None)
