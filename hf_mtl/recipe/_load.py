"""A recipe's dataset, loaded: its splits, with columns selected and named after inputs and tasks."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import datasets
from datasets import Dataset, DatasetDict, Features, IterableDataset, IterableDatasetDict, Value

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import INPUT_COLUMNS
from hf_mtl.data import SPLIT_NAMES, sample_of_stream, written_stream
from hf_mtl.recipe._encodings import check_texts, wrong_encoding
from hf_mtl.recipe._headers import check_headers
from hf_mtl.recipe._missing import as_written, with_numbers
from hf_mtl.recipe._mistakes import RecipeError, blamed_on, one_line
from hf_mtl.recipe._paths import load_arguments
from hf_mtl.recipe._schema import DatasetRecipe
from hf_mtl.recipe._width import check_width
from hf_mtl_light.errors import UserError

__all__ = ["LoadedDataset", "load_source"]


@dataclass(frozen=True)
class LoadedDataset:
    """A dataset's splits.

    Args:
        splits: Rows by use: ``train``, ``validation``, ``test``, where the source has them. Of a stream the
            training rows are its first ones, and know it: see `hf_mtl.data.stream_of`.
        names: The source's own name of each split; empty where it has none.
        load: The arguments that loaded it, with the paths of files that exist.
    """

    splits: dict[str, Dataset]
    names: dict[str, str]
    load: dict[str, Any]


def load_source(name: str, source: DatasetRecipe, folder: Path, keep: str | None = None) -> LoadedDataset:
    """Load a dataset and bring its columns to inputs and tasks.

    Args:
        name: Name of the dataset.
        source: What the recipe says of it.
        folder: The recipe's folder.
        keep: A column of the source that is kept under its name, where the source has it.

    Raises:
        RecipeError: If it cannot be loaded, or lacks a split or a column.
    """
    where = f"datasets.{name}"
    load = load_arguments(source.load, folder, f"{where}.load")
    check_width(load, f"{where}.load")
    check_headers(load, f"{where}.load", source.columns)
    written = as_written(load)
    found, is_written = _read(load, written, f"{where}.load")
    columns = {**source.columns, **{_column(task): task for task in source.constants}}
    found = _with_constants(found, source.constants)
    given = {"train": source.train, "validation": source.validation, "test": source.test}
    splits: dict[str, Any] = {}
    names: dict[str, str] = {}
    if isinstance(found, Dataset | IterableDataset):
        splits["train"] = found
        for use, split in given.items():
            if split is not None:
                raise RecipeError(f"{where}.{use}", "the source has no splits, only rows. Leave it out.")
    elif isinstance(found, DatasetDict | IterableDatasetDict):
        for use, split in given.items():
            chosen = split or next((n for n in SPLIT_NAMES[use] if n in found), None)
            if chosen is not None:
                splits[use] = _split(found, chosen, f"{where}.{use}")
                names[use] = chosen
    else:
        raise RecipeError(f"{where}.load", f"gave {type(found).__name__}, not rows in splits.")
    if "train" not in splits:
        raise RecipeError(
            f"{where}.train", f"no split 'train' among {listed(found)}. Name the one to train on: train: <name>."
        )
    with _reading(load, f"{where}.load"):
        ready = {use: _rename(where, use, split, columns, keep) for use, split in splits.items()}
        if source.is_stream:
            with blamed_on(where, UserError):
                ready = {
                    use: sample_of_stream(name, split) if use == "train" else written_stream(name, split)
                    for use, split in ready.items()
                }
        elif is_written:
            ready = {
                use: with_numbers(f"Dataset {name!r} ({use})", split, source.tasks()) for use, split in ready.items()
            }
    for use, split in ready.items():
        if len(split) == 0:
            raise RecipeError(where, f"the {use} split has no rows. Leave the dataset out, or fill it.")
    return LoadedDataset(ready, names, load)


def _read(load: Mapping[str, Any], written: Mapping[str, Any] | None, where: str) -> tuple[Any, bool]:
    """Return what ``load`` gives, and whether a CSV's words for "missing" are in it as they are written."""
    if written is not None:
        try:
            return _call(written, where), True
        except RecipeError:
            pass  # such as a column of numbers whose first word comes after 10,000 of them; or the file's own mistake
    return _call(load, where), False


def _call(load: Mapping[str, Any], where: str) -> Any:
    path = Path(load["path"])
    with _reading(load, where):
        if (path / "dataset_dict.json").exists() or (path / "state.json").exists():
            if load.get("streaming"):
                raise RecipeError(
                    f"{where}.streaming",
                    f"{load['path']!r} was written by save_to_disk, and is read from the disk row by row anyway. Leave "
                    "it out.",
                )
            return datasets.load_from_disk(str(path))
        found = datasets.load_dataset(**load)
    check_texts(load, where, found)
    return found


@contextmanager
def _reading(load: Mapping[str, Any], where: str) -> Iterator[None]:
    """Say what the files are that cannot be read."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # builders raise whatever their file readers do
        raise wrong_encoding(load, where, error) or RecipeError(where, _reason(load, error)) from error


def _reason(load: Mapping[str, Any], error: Exception) -> str:
    """Say in one line why ``load_dataset`` failed."""
    if isinstance(error, TypeError) and (match := re.search(r"unexpected keyword argument '(\w+)'", str(error))):
        valid = [name for name in inspect.signature(datasets.load_dataset).parameters if "kwargs" not in name]
        return f"unknown argument {match[1]!r} of the format {load['path']!r}.{nearest(match[1], valid)}"
    if isinstance(error, StopIteration) or "corresponds to no data" in str(error):
        return "there are no rows. Leave the dataset out, or fill it."
    # "An error occurred while generating the dataset" hides what happened.
    cause = error.__cause__ if isinstance(error, datasets.exceptions.DatasetGenerationError) else None
    if isinstance(cause or error, OverflowError):
        return (
            f"cannot load {load['path']!r}: a whole number has more than 64 bits. Where it is an id, load the other "
            "columns alone, such as load: {usecols: [...]}."
        )
    return f"cannot load {load['path']!r}: {one_line(cause or error)}"


def _split(found: Any, name: str, where: str) -> Any:
    if name in found:
        return found[name]
    if "[" in name and isinstance(found, IterableDatasetDict):
        raise RecipeError(
            where, f"{name!r} is a slice, and rows of a stream have no numbers. Name a split: {listed(found)}."
        )
    if "[" in name:
        return _slice(found, name, where)
    raise RecipeError(where, f"no split {name!r}.{nearest(name, found)} Splits: {listed(found)}.")


def _slice(found: DatasetDict, name: str, where: str) -> Dataset:
    """Return rows of a slice such as ``train[:100]``, which know their numbers in the split."""
    try:
        spans = datasets.ReadInstruction.from_spec(name).to_absolute({key: len(rows) for key, rows in found.items()})
    except (ValueError, KeyError, AssertionError) as error:
        raise RecipeError(where, f"no such slice {name!r}: {one_line(error)} Splits: {listed(found)}.") from error
    slices = []
    for split in dict.fromkeys(span.splitname for span in spans):
        rows = found[split]
        chosen = [row for span in spans if span.splitname == split for row in range(span.from_, span.to)]
        # Reversed and back: rows that were moved know their numbers in the split, those of a bare slice do not.
        backwards = range(len(rows) - 1, -1, -1)
        slices.append(rows.select(backwards).select(backwards).select(chosen))
    return slices[0] if len(slices) == 1 else datasets.concatenate_datasets(slices)


def _column(task: str) -> str:
    """Return the column that a constant is put into, beside one of the file's that may have the task's name."""
    return f"{task} (constant)"


def _with_constants(found: Any, constants: Mapping[str, Any]) -> Any:
    """Return rows with a column for each constant; before a slice, since an added column loses a row's number."""
    if isinstance(found, DatasetDict | IterableDatasetDict):
        return type(found)({name: _with_constants(rows, constants) for name, rows in found.items()})
    if isinstance(found, IterableDataset) and constants:
        added = {_column(task): label for task, label in constants.items()}
        kinds = {
            name: Value({str: "string", int: "int64"}.get(type(label), "float64")) for name, label in added.items()
        }
        features = None if found.features is None else Features({**found.features, **kinds})
        return found.map(partial(_add, added), features=features)
    if isinstance(found, Dataset):
        for task, label in constants.items():
            found = found.add_column(_column(task), [label] * len(found))
    return found


def _add(added: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, **added}


def _names(data: Any) -> list[str]:
    """Return the columns of rows; of a stream without a description those of its first row."""
    return list(data.column_names or next(iter(data), {}))


def _rename(where: str, use: str, data: Any, columns: Mapping[str, str], keep: str | None = None) -> Any:
    present = {}
    names = _names(data)
    if keep in names and keep not in columns:
        if keep in columns.values():
            raise RecipeError(f"{where}.columns", f"a column is named {keep!r}, and so is the input or task {keep!r}.")
        present[keep] = keep
    for column, name in columns.items():
        if column in names:
            present[column] = name
        elif use != "test" or name in INPUT_COLUMNS:
            # A test split may come without labels: it is then not scored.
            raise RecipeError(
                f"{where}.columns",
                f"the {use} split has no column {column!r}.{nearest(column, names)} Columns: {listed(names)}.",
            )
    return data.select_columns(list(present)).rename_columns({c: n for c, n in present.items() if c != n})
