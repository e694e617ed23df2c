"""Which rows hold the same text, whatever dataset they lie in and however it was written."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from datasets import Dataset, Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["normalised", "text_units"]

#: Rows that are read at a time.
_BLOCK = 2_000


def normalised(text: str) -> str:
    """Return what a text has in common with the same text in other spaces, letters or widths.

    Spaces are left out altogether, so that a text and its words are the same.

    >>> normalised("Caf\u00e9  now .") == normalised("cafe\u0301 NOW.")
    True
    """
    return "".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).split())


def text_units(
    datasets: Mapping[str, Dataset], texts: Mapping[str, Sequence[str]], group_by: Mapping[str, str], largest: float
) -> tuple[np.ndarray, list[str]]:
    """Return numbers of what must stay together: rows with a text or a picture in common, and rows of one group.

    Where so many pairs are joined by their texts that more than ``largest`` of all rows would be one unit, a pair
    counts as one text.

    Args:
        datasets: The datasets by name.
        texts: For each dataset the columns that hold a text of a row, or its words.
        group_by: For each dataset that has one, the column that names a row's group; null is no group.
        largest: The part of all rows that a unit may hold before pairs count as a whole.

    Returns:
        The unit of each row, all datasets one after the other, [rows] int64, numbered by first appearance; and the
        datasets whose pairs count as a whole.
    """
    whole: list[str] = []
    units = _joined(datasets, texts, group_by, whole)
    paired = [name for name, columns in texts.items() if len(columns) > 1]
    if paired and len(units) and np.bincount(units).max() > largest * len(units):
        whole = paired
        units = _joined(datasets, texts, group_by, whole)
    return units, whole


def _joined(
    datasets: Mapping[str, Dataset],
    texts: Mapping[str, Sequence[str]],
    group_by: Mapping[str, str],
    whole: Sequence[str],
) -> np.ndarray:
    rows: list[int] = []
    keys: list[int] = []
    known: dict[bytes, int] = {}
    start = 0
    for name, data in datasets.items():
        for row, key in _keys(data, texts[name], group_by.get(name), name in whole):
            rows.append(start + row)
            keys.append(known.setdefault(key, len(known)))
        start += len(data)
    # Rows and keys are the two sides of a graph, whose components are the units.
    size = start + len(known)
    graph = coo_array((np.ones(len(rows), np.int8), (rows, [start + key for key in keys])), shape=(size, size))
    _, labels = connected_components(graph, directed=False)
    _, first, units = np.unique(labels[:start], return_index=True, return_inverse=True)
    order = np.empty(len(first), np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    found: np.ndarray = order[units]
    return found


def _keys(data: Dataset, columns: Sequence[str], group: str | None, is_whole: bool) -> Iterator[tuple[int, bytes]]:
    """Yield the number of each row with the hash of each of its texts, of its picture's file, and of its group."""
    pictures = _pictures(data)
    wanted = [*columns, *([group] if group and group not in columns else [])]
    plain = data.with_format(None).select_columns(wanted)
    for start in range(0, len(data), _BLOCK):
        # Selected rows of no column cannot be read.
        block = plain[start : start + _BLOCK] if wanted else {}
        for i in range(min(_BLOCK, len(data) - start)):
            texts = [_text(block[column][i]) for column in columns if block[column][i] is not None]
            for text in ["\0".join(sorted(texts))] if is_whole and texts else texts:
                yield start + i, xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass"))
            if group and block[group][i] is not None:
                yield start + i, b"group" + xxhash.xxh3_128_digest(repr(block[group][i]).encode())
            if pictures is not None and (content := _content(pictures[start + i]["image"])) is not None:
                yield start + i, b"image" + xxhash.xxh3_128_digest(content)


def _pictures(data: Dataset) -> Dataset | None:
    """Return the column of a dataset's pictures as it is stored, undecoded; ``None`` where there is none."""
    if "image" not in data.column_names:
        return None
    alone = data.with_format(None).select_columns(["image"])
    return alone.cast_column("image", Image(decode=False)) if isinstance(data.features["image"], Image) else alone


def _content(picture: Any) -> bytes | None:
    """Return the bytes of a picture's file; of a path that cannot be read, and of what is no picture, itself."""
    if isinstance(picture, Mapping):
        picture = picture.get("path") if picture.get("bytes") is None else picture["bytes"]
    if isinstance(picture, str):
        with suppress(OSError, ValueError):
            return Path(picture).read_bytes()
    return picture if picture is None or isinstance(picture, bytes) else repr(picture).encode()


def _text(value: Any) -> str:
    return normalised(value if isinstance(value, str) else "".join(word or "" for word in value))
