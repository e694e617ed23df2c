"""Out-of-fold probabilities as a file: each row answered by the model that did not train on it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from hf_mtl.configuration import TaskConfig
from hf_mtl.data import LabelledDataset, Prediction, StoredPredictions, predictions_metadata, write_predictions
from hf_mtl.heads import head_class
from hf_mtl.inference import gives_probabilities, probabilities
from hf_mtl.model import MultiTaskModel
from hf_mtl.recipe import BuiltRecipe
from hf_mtl.trainer import with_temperature
from hf_mtl_light.outputs import written_whole

__all__ = ["HeldOut", "join_oof", "read_oof"]

#: Rows that are read at a time.
_BLOCK = 1_000


@dataclass(frozen=True)
class HeldOut:
    """The rows that a fold is scored on; called with a run's folder, it writes their probabilities there.

    Args:
        fold: The number of the fold.
        data: The rows, by dataset.
        numbers: The number of each in the training split.
        tasks: The tasks.
        max_length: The most tokens of a window.
    """

    fold: int
    data: Mapping[str, Dataset]
    numbers: Mapping[str, np.ndarray]
    tasks: Sequence[TaskConfig]
    max_length: int | None

    def __call__(self, folder: Path, built: BuiltRecipe) -> None:
        """Answer the rows with the model saved in the folder, and write ``oof.parquet`` there, whole."""
        heads = {task.name: head_class(task) for task in self.tasks}
        labels = {t.name: t.labels for t in self.tasks if gives_probabilities(heads[t.name])}
        words = [name for name in labels if heads[name].needs_words]
        write_predictions(folder / "oof.parquet", self._predictions(folder, words, built), labels, words)

    def _predictions(self, folder: Path, words: Sequence[str], built: BuiltRecipe) -> Iterator[Prediction]:
        model = MultiTaskModel.from_pretrained(folder)
        for task in model.tasks:  # temperatures and thresholds are to be fitted to what the model itself says
            model.replace_task(with_temperature(task, None))
        heads = {task.name: head_class(task) for task in self.tasks}
        # Long rows are read in windows, so that no word is left out.
        stride = None if self.max_length is not None and self.max_length < 16 else 4
        for name, data in self.data.items():
            labelled = LabelledDataset(name, data, self.tasks, heads)
            asked = [task for task in labelled.tasks if gives_probabilities(heads[task])]
            if not asked:
                continue
            given = {"image_processor": built.trainer.image_processor, "max_length": self.max_length, "stride": stride}
            found = probabilities(model, built.tokenizer, _rows(labelled), tasks=asked, **given)
            for number, answers in zip(self.numbers[name].tolist(), found, strict=True):
                for task, answer in answers.items():
                    if answer is not None:
                        values: Any = answer if task in words else answer[0]
                        yield Prediction(name, number, task, values, self.fold)


def _rows(labelled: LabelledDataset) -> Iterator[Any]:
    for start in range(0, len(labelled), _BLOCK):
        yield from labelled.read(range(start, min(start + _BLOCK, len(labelled))))


def join_oof(files: Sequence[Path], output: Path, datasets: Mapping[str, Dataset], tasks: Sequence[TaskConfig]) -> None:
    """Write one file of those of the folds: datasets, then rows, then tasks, each in their order.

    Args:
        files: The files of the folds.
        output: The file to write.
        datasets: All training rows.
        tasks: The tasks.
    """
    heads = {task.name: head_class(task) for task in tasks}
    inputs = {name: LabelledDataset(name, data, tasks, heads).input_hashes for name, data in datasets.items()}
    table = pa.concat_tables([pq.read_table(file) for file in files])
    places = {name: i for i, name in enumerate(datasets)}
    order = {task.name: i for i, task in enumerate(tasks)}
    by_dataset = np.array([places[name] for name in table["dataset"].to_pylist()], dtype=np.int64)
    by_task = np.array([order[name] for name in table["task"].to_pylist()], dtype=np.int64)
    chosen = np.lexsort((by_task, table["row"].to_numpy(), by_dataset))
    metadata = predictions_metadata(json.loads(table.schema.metadata[b"labels"]), inputs)
    with written_whole(output) as stream:
        pq.write_table(table.take(pa.array(chosen)).replace_schema_metadata(metadata), stream)


def read_oof(path: str | Path, dataset: str, task: str) -> list[Any]:
    """Return the out-of-fold probabilities of a task on a dataset, in the order of its training rows.

    Args:
        path: The ``oof.parquet`` of `cross_validate`.
        dataset: The dataset's name.
        task: The task's name.

    Returns:
        For each row the probability of each label, in the order of the task's; or the numbers; of tags a list of them
        for each word, ``None`` for a word that was not read.

    Raises:
        ValueError: If the file lacks a row.
    """
    stored = StoredPredictions(path)
    return [stored.get(dataset, row, task) for row in range(max(1, stored.rows(dataset, task)))]
