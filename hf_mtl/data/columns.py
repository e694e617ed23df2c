"""A dataset as the tasks see it: its input columns, and one column for each task that it labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from datasets import ClassLabel, Dataset, Value

from hf_mtl._names import listed
from hf_mtl.configuration import INPUT_COLUMNS, TaskConfig
from hf_mtl.heads import Head
from hf_mtl_light.encoding import Row

__all__ = ["TaskColumns", "class_label"]

#: Rows whose labels are read at a time.
_BLOCK = 1000


def class_label(feature: Any) -> ClassLabel | None:
    """Return the `ClassLabel` that a column, or a column of lists, is made of."""
    inner = getattr(feature, "feature", feature)
    return inner if isinstance(inner, ClassLabel) else None


class TaskColumns:
    """Reads rows of one dataset: its input and the labels of the tasks whose columns it has.

    The input is the column ``tokens`` (words) or ``text``, with ``text_pair`` for pairs. Of a dataset that has both,
    the words are read if it labels a tagging task.

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
        columns = list(data.column_names)
        self.tasks = [task.name for task in tasks if task.name in columns]
        if needs_labels and not self.tasks:
            raise ValueError(
                f"Dataset {name!r}: no column is named after a task. Columns: {listed(columns)}; tasks: "
                f"{listed([task.name for task in tasks])}. Rename the label column: "
                f"data.rename_column({next((c for c in columns if c not in INPUT_COLUMNS), 'label')!r}, "
                f"{(tasks[0].name if tasks else 'task')!r})."
            )
        tagging = any(heads[task].level == "token" for task in self.tasks)
        self.inputs = self._input_columns(columns, tagging)
        if tagging and self.inputs[0] != "tokens":
            task = next(task for task in self.tasks if heads[task].level == "token")
            raise ValueError(
                f"Dataset {name!r}, task {task!r}: token classification needs a column 'tokens', a list of words with "
                f"one tag each. Columns: {listed(columns)}."
            )
        for column in self.inputs:
            self._check_input(column, data.features[column])
        self._names = {task: class_label(data.features[task]) for task in self.tasks}
        wanted = [*self.inputs, *self.tasks]
        # Each of the two copies the dataset's description: a thousand datasets would wait seconds for it.
        if columns != wanted:
            data = data.select_columns(wanted)
        self.data: Dataset = data if data.format["type"] is None else data.with_format(None)

    def _input_columns(self, columns: Sequence[str], tagging: bool) -> list[str]:
        if "tokens" in columns and (tagging or "text" not in columns):
            return ["tokens"]
        if "text" in columns:
            return ["text", "text_pair"] if "text_pair" in columns else ["text"]
        raise ValueError(
            f"Dataset {self.name!r}: no input column. Expected 'text', 'text' and 'text_pair', or 'tokens'; found "
            f"{listed(columns)}. Rename the column that holds the input."
        )

    def _check_input(self, column: str, feature: Any) -> None:
        inner = getattr(feature, "feature", None) if column == "tokens" else feature
        if not (isinstance(inner, Value) and inner.dtype in ("string", "large_string", "string_view", "null")):
            wanted = "a list of strings" if column == "tokens" else "strings"
            raise ValueError(f"Dataset {self.name!r}: column {column!r} must hold {wanted}, found {feature}.")

    def __len__(self) -> int:
        return len(self.data)

    def read(self, indices: Sequence[int]) -> list[Row]:
        """Return rows by number, in the order asked for.

        Raises:
            ValueError: If an input is null; the message names the dataset and the row.
        """
        return self.rows(self.data[list(indices)], [(self.name, index) for index in indices])

    @property
    def kind(self) -> tuple[Any, ...]:
        """What datasets have in common whose rows one reader can read: inputs, tasks and features."""
        return tuple(self.inputs), tuple(self.tasks), str([self.data.features[c] for c in (*self.inputs, *self.tasks)])

    def rows(self, batch: Mapping[str, Sequence[Any]], places: Sequence[tuple[str, int]]) -> list[Row]:
        """Return rows that were read from this dataset or one of its `kind`.

        Args:
            batch: Column -> values.
            places: For each row the name of its dataset and its number there.

        Raises:
            ValueError: If an input is null; the message names the dataset and the row.
        """
        labels = {task: self._with_names(task, batch[task]) for task in self.tasks}
        rows = []
        for position, (dataset, index) in enumerate(places):
            for column in self.inputs:
                value = batch[column][position]
                if value is None or (column == "tokens" and None in value):
                    raise ValueError(
                        f"Dataset {dataset!r}, row {index}: column {column!r} is null. Give a text, possibly empty, "
                        "or drop the row."
                    )
            rows.append(
                Row(
                    dataset=dataset,
                    index=index,
                    text=batch[self.inputs[0]][position],
                    text_pair=batch["text_pair"][position] if "text_pair" in self.inputs else None,
                    labels={task: values[position] for task, values in labels.items() if values[position] is not None},
                )
            )
        return rows

    def labels(self, task: str) -> Iterator[tuple[int, Any]]:
        """Yield the number of each row that a task labels, and the label; they are read as they are needed."""
        column = self.data[task]
        for start in range(0, len(self), _BLOCK):
            block = self._with_names(task, column[start : start + _BLOCK])
            yield from ((start + i, value) for i, value in enumerate(block) if value is not None)

    def _with_names(self, task: str, values: Sequence[Any]) -> list[Any]:
        """Turn class integers into their names: their order in this dataset need not be the model's."""
        feature = self._names[task]
        if feature is None:
            return list(values)

        def name(value: Any) -> Any:
            if isinstance(value, list):
                return [name(item) for item in value]
            # datasets writes -1 for "no label" in test splits of benchmarks
            return None if value is None or value == -1 else feature.names[value]

        return [name(value) for value in values]
