"""Predictions and references as rows of tags, one tag per word."""

from collections.abc import Iterable
from typing import Any

import numpy.typing as npt

from hf_mtl_light.errors import UserError

TagRow = list[str]


def paired_tag_rows(
    predictions: npt.ArrayLike, references: npt.ArrayLike, *, metric: str, first_row: int
) -> list[tuple[TagRow, TagRow]]:
    """Return (predicted tags, true tags) of each row, both of one length.

    Args:
        predictions: R rows of tag strings.
        references: R rows of tag strings.
        metric: Name for error messages.
        first_row: Number of the first row in error messages, counted from 0.

    Returns:
        R pairs of lists.

    Raises:
        ValueError: If an input is not a list of lists of non-empty strings, or lengths differ.

    >>> paired_tag_rows([["O", "B-PER"]], [["O", "O"]], metric="seqeval", first_row=0)
    [(['O', 'B-PER'], ['O', 'O'])]
    """
    predicted_rows = _tag_rows(predictions, "predictions", metric=metric, first_row=first_row)
    true_rows = _tag_rows(references, "references", metric=metric, first_row=first_row)
    if len(predicted_rows) != len(true_rows):
        raise UserError(
            f"Metric {metric!r}: expected one row of predictions per row of references, found {len(predicted_rows)} "
            f"for {len(true_rows)}. Pass the same rows in both."
        )
    pairs = list(zip(predicted_rows, true_rows, strict=True))
    for row, (predicted, true) in enumerate(pairs, first_row):
        if len(predicted) != len(true):
            raise UserError(
                f"Metric {metric!r}, row {row}: {len(predicted)} predicted tags for {len(true)} references. Tagging "
                "needs one tag per word on both sides; drop the tags of special tokens and later word pieces."
            )
    return pairs


def _tag_rows(rows: npt.ArrayLike, name: str, *, metric: str, first_row: int) -> list[TagRow]:
    if isinstance(rows, str) or not isinstance(rows, Iterable):
        raise UserError(
            f"Metric {metric!r}: expected {name} as a list of rows, found {type(rows).__name__} {rows!r}. Pass a list "
            "with one list of tags per row."
        )
    checked: list[TagRow] = []
    for row, tags in enumerate(rows, first_row):
        if isinstance(tags, str) or not isinstance(tags, Iterable):
            raise UserError(
                f"Metric {metric!r}, row {row}: expected a list of tags in {name}, found {type(tags).__name__} "
                f"{tags!r}. Pass a list with one list of tags per row."
            )
        tag_row: list[Any] = list(tags)
        # One look at the set of types is several times faster than one at each tag, and nearly always enough.
        if set(map(type, tag_row)) - {str} or "" in tag_row:
            for tag in tag_row:
                if not isinstance(tag, str) or not tag:
                    raise UserError(
                        f"Metric {metric!r}, row {row}: expected tags as non-empty strings in {name}, found {tag!r}. "
                        "Map label ids to their names, and drop positions without a label."
                    )
        checked.append(tag_row)
    return checked
