"""The type of a task, read off its column."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from datasets import ClassLabel, Dataset, Value

from hf_mtl._names import listed
from hf_mtl.configuration import INPUT_COLUMNS
from hf_mtl.data._quantities import number_advice, quantity_remark
from hf_mtl.data._values import count_values
from hf_mtl.data.labels import list_in, words_in
from hf_mtl.heads import BOXES, LABELS, is_soft
from hf_mtl_light.errors import InferenceError

__all__ = ["InferenceError", "infer_type"]

logger = logging.getLogger(__name__)

_TEXTS = ("string", "large_string", "string_view")
#: Cells that are looked at to find what a column of texts holds.
_LOOK = 200
#: The types that tasks get where their rows have pictures alone.
_OF_PICTURES = {"sequence-classification": "image-classification", "regression": "image-regression"}
#: Different texts of a column after which it is clear enough what they are.
_MANY = 1_000
#: Whole numbers of a column of floats that may be classes, not amounts.
_FEW = 20


def infer_type(name: str, given: Mapping[str, Any], data: Mapping[str, Dataset]) -> dict[str, Any]:
    """Return a task's ``type``, and its ``problem_type`` where it has one.

    Args:
        name: Name of the task.
        given: The fields of the task that are given, by name.
        data: The training rows of the datasets that label it, by name.

    Raises:
        InferenceError: If a column does not show a type, or two show different ones.
    """
    found = {dataset: _observed(name, given, dataset, rows) for dataset, rows in data.items()}
    kinds = list(dict.fromkeys(found.values()))
    if len(kinds) > 1:
        said = ", ".join(f"{dataset!r}: {kind}" for dataset, (kind, _) in found.items())
        raise InferenceError(name, "type", f"the datasets show different types ({said}). Give the type.")
    kind, is_multi = kinds[0]
    if kind in _OF_PICTURES and not given.get("type") and _are_of_pictures(data):
        kind = _OF_PICTURES[kind]
    result = {"type": kind}
    problem_type = given.get("problem_type", "multi_label_classification" if is_multi else None)
    if problem_type is not None:
        result["problem_type"] = problem_type
    return result


def _are_of_pictures(data: Mapping[str, Dataset]) -> bool:
    """Return whether datasets have pictures as their only input."""
    return all("image" in rows.column_names and not {"text", "tokens"} & {*rows.column_names} for rows in data.values())


def _observed(name: str, given: Mapping[str, Any], dataset: str, rows: Dataset) -> tuple[str, bool]:
    """Return the type that a column shows, and whether its rows may have several labels."""
    feature = rows.features[name]
    inner = getattr(feature, "feature", None)
    holds_lists = inner is not None or (_is_text(feature) and _cells_are_lists(rows, name))
    if given.get("type"):
        is_multi = given["type"] in ("sequence-classification", "image-classification") and holds_lists
        return given["type"], is_multi and not _are_distributions(rows, name)
    if _holds_objects(feature):
        return "object-detection", False
    if _is_squad(feature):
        return "question-answering", False
    if _chooses(name, rows):
        return "multiple-choice", False
    tagged = "tokens" in rows.column_names
    if inner is not None and _is_label(inner, given):
        return ("token-classification", False) if tagged else ("sequence-classification", True)
    if inner is None and _is_text(feature):
        if holds_lists and not tagged:
            return "sequence-classification", True
        if tagged and _are_tags(rows, name):
            return "token-classification", False
        if not given.get("labels"):
            _question_texts(name, dataset, rows)
        return "sequence-classification", False
    if inner is None and _is_label(feature, given):
        return "sequence-classification", False
    if _is_amounts(feature):
        if isinstance(feature, Value):
            _question_whole(name, dataset, rows)
        return "regression", False
    integers = inner if inner is not None else feature
    if isinstance(integers, Value) and integers.dtype.startswith(("int", "uint")):
        _refuse_integers(name, dataset, rows, inner is not None)
    if getattr(integers, "dtype", None) == "null":
        raise InferenceError(name, "", f"no row of dataset {dataset!r} has a label. Leave the task out, or label some.")
    raise InferenceError(
        name,
        "",
        f"the column of dataset {dataset!r} shows no type: {str(feature)[:200]}. Expected texts, ClassLabel, numbers, "
        "lists of labels, or answers as in SQuAD; or give type and labels.",
    )


def _refuse_integers(name: str, dataset: str, rows: Dataset, are_lists: bool) -> None:
    values = sorted(count_values(rows, name, most=1000).counts)
    lengths = {len(cell) for cell in _cells(rows, name)} if are_lists else set()
    if are_lists and set(values) <= {0, 1} and len(lengths) == 1:
        count = lengths.pop()
        raise InferenceError(
            name,
            "",
            f"dataset {dataset!r} labels it with {count} numbers a row, each 0 or 1. Name what they stand for, in "
            f"their order: labels: [...], {count} texts.",
        )
    first = ", ".join(f"{value}: ..." for value in values[:3])
    raise InferenceError(
        name,
        "",
        f"dataset {dataset!r} labels it with integers without names. Name them, labels: {{{first}}}; or give type: "
        "regression if they are amounts.",
    )


def _question_texts(name: str, dataset: str, rows: Dataset) -> None:
    """Refuse texts that are numbers with decimals or thousands, and say that other amounts are read as classes."""
    found = count_values(rows, name, most=_MANY).counts
    texts = list(dict.fromkeys(text for value in found if (text := value.strip())))
    advice = number_advice(texts)
    if advice is not None:
        raise InferenceError(
            name,
            "type",
            f"the column of dataset {dataset!r} holds numbers as texts, such as {texts[0]!r}. For amounts load them "
            f"{advice}; for classes list the labels.",
        )
    if remark := quantity_remark(texts):
        logger.warning(
            "Task %r: the %s%d different texts of dataset %r, such as %s, are read as classes, and look like %s. If "
            "classes are meant, list the labels.",
            *(name, "at least " if len(found) > _MANY else "", len(texts), dataset, listed(texts[:3]), remark),
        )


def _question_whole(name: str, dataset: str, rows: Dataset) -> None:
    """Ask whether floats that are 0.0 and 1.0 are classes; say that others are taken for amounts.

    Pandas makes floats of integers where a cell is empty.
    """
    found = [value for value in count_values(rows, name, most=_FEW).counts if value == value]
    if not found or len(found) > _FEW or not all(float(value).is_integer() for value in found):
        return
    shown = ", ".join(f"{value:.1f}" for value in sorted(found)[:5])
    names = ", ".join(f"{value:.0f}: ..." for value in sorted(found)[:3])
    if len(found) <= 2:
        raise InferenceError(
            name,
            "",
            f"dataset {dataset!r} labels it with {shown} alone, which may be classes or amounts. Name the classes, "
            f"labels: {{{names}}}; or give type: regression.",
        )
    logger.warning(
        "Task %r: dataset %r has %d whole numbers (%s ...), which are read as amounts. If they are classes, name "
        "them: labels: {%s, ...}.",
        *(name, dataset, len(found), shown, names),
    )


def _cells(rows: Dataset, name: str) -> Iterator[Any]:
    """Yield the first cells that are not null."""
    column = rows.with_format(None).select_columns([name])
    found = (value for batch in column.iter(batch_size=_LOOK) for value in batch[name] if value is not None)
    return islice(found, _LOOK)


def _cells_are_lists(rows: Dataset, name: str) -> bool:
    cells = [cell.strip() for cell in _cells(rows, name) if cell.strip()]
    return bool(cells) and all(isinstance(list_in(cell), list) for cell in cells)


def _are_distributions(rows: Dataset, name: str) -> bool:
    """Return whether cells are numbers with the sum 1, or votes: one label a row, however sure; not zeros and ones."""
    cells = [list_in(cell.strip()) if isinstance(cell, str) else cell for cell in _cells(rows, name) if cell != ""]
    numbers = [cell for cell in cells if isinstance(cell, list) and is_soft(cell) and None not in cell]
    if not cells or len(numbers) < len(cells) or all(number in (0, 1) for cell in numbers for number in cell):
        return False
    return all(math.isclose(sum(cell), 1, abs_tol=1e-3) for cell in numbers) or any(max(cell) > 1 for cell in numbers)


def _are_tags(rows: Dataset, name: str) -> bool:
    """Return whether cells of text hold one tag for each token, and more than one where there are more tokens."""
    sample = rows.with_format(None).select_columns(["tokens", name])
    pairs = [
        (words_in(tokens) if isinstance(tokens, str) else tokens, words_in(cell))
        for tokens, cell in zip(*(islice(sample[column], _LOOK) for column in ("tokens", name)), strict=True)
        if tokens is not None and cell is not None
    ]
    return any(len(tags) > 1 for _, tags in pairs) and all(len(tokens) == len(tags) for tokens, tags in pairs)


def _is_text(feature: Any) -> bool:
    return getattr(feature, "dtype", None) in _TEXTS


def _is_squad(feature: Any) -> bool:
    """Return whether a column holds answers with their starts: a struct of lists, or a list of structs."""
    fields = getattr(feature, "feature", feature)
    return isinstance(fields, Mapping) and {"text", "answer_start"} <= fields.keys()


def _holds_objects(feature: Any) -> bool:
    """Return whether a column holds objects of pictures: a struct of lists, or a list of structs."""
    fields = getattr(feature, "feature", feature)
    return isinstance(fields, Mapping) and {BOXES, LABELS} <= fields.keys()


def _chooses(name: str, rows: Dataset) -> bool:
    """Return whether a column can only be the choice: there are choices, and nothing else that could choose."""
    if "choices" not in rows.column_names:
        return False
    feature = rows.features[name]
    if isinstance(feature, Value) and feature.dtype.startswith(("int", "uint")):
        return True
    others = [column for column in rows.column_names if column not in (*INPUT_COLUMNS, name)]
    return not others and (isinstance(feature, ClassLabel) or _is_text(feature))


def _is_label(feature: Any, given: Mapping[str, Any]) -> bool:
    if isinstance(feature, ClassLabel):
        return True
    if not isinstance(feature, Value):
        return False
    return feature.dtype in (*_TEXTS, "bool") or bool(given.get("labels"))


def _is_amounts(feature: Any) -> bool:
    """Return whether a column holds amounts: one, a list, or some by name."""
    if isinstance(feature, Mapping):
        return all(
            isinstance(f, Value) and f.dtype.startswith(("float", "decimal", "int", "uint")) for f in feature.values()
        )
    inner = getattr(feature, "feature", feature)
    return isinstance(inner, Value) and inner.dtype.startswith(("float", "decimal"))
