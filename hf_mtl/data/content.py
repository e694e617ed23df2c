"""What a column holds, as one number: the same for the same values, however they are stored."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from datasets import Dataset

from hf_mtl_light.pictures import path_of_url

__all__ = ["content_hashes"]

#: Rows that are hashed at a time. Blocks begin at the same rows for any storage.
_BLOCK = 65536
#: The column whose paths stand for the files that they lead to.
_PICTURES = "image"
#: Bytes that are read of a large file at its beginning, in its middle and at its end.
_SAMPLE = 32768


def content_hashes(data: Dataset) -> dict[str, str]:
    """Return a hash of each column's values, in the order of the rows.

    It depends on the values and, of columns of class ids, on the names of the classes; not on the file format, on
    cached or chunked tables, on a selection that leads to the same rows, or on other columns. Three million short rows
    take a few seconds.

    In a column ``image`` a path counts as the file that it leads to, wherever that lies: its size and its bytes; of
    more than 96 KiB those at its beginning, in its middle and at its end.

    Args:
        data: The dataset.

    Returns:
        For each column 32 hexadecimal digits.

    >>> small = Dataset.from_dict({"text": ["a", "b", "c"]})
    >>> content_hashes(small.select([1, 2])) == content_hashes(Dataset.from_dict({"text": ["b", "c"]}))
    True
    """
    sums = {name: xxhash.xxh3_128() for name in data.column_names}
    for name, feature in data.features.items():
        sums[name].update(_named(feature).encode())
    # Not by the dataset's own reader: it gathers selected rows one by one, which takes minutes for millions.
    table, indices = data.data.table, data._indices
    for start in range(0, len(data), _BLOCK):
        chosen = None if indices is None else indices.column(0).slice(start, _BLOCK)
        for name, total in sums.items():
            column = table.column(name)
            values = column.slice(start, _BLOCK) if chosen is None else column.take(chosen)
            found = values.combine_chunks()
            _add(total, _with_files(found) if name == _PICTURES else found)
    return {name: total.hexdigest() for name, total in sums.items()}


def _named(feature: Any) -> str:
    """Return the names of classes that a feature holds: its ids mean nothing without them."""
    if isinstance(feature, dict):
        return "|".join(f"{key}:{_named(value)}" for key, value in sorted(feature.items()))
    names = getattr(feature, "names", None)
    if names is not None:
        return repr(list(names))
    return _named(feature.feature) if hasattr(feature, "feature") else ""


def _add(total: Any, array: Any) -> None:
    """Add an array's values to a hash: which are null, lengths, and bytes without what lies outside of the array."""
    if isinstance(array, pa.ChunkedArray):  # older pyarrow: several chunks of an extension type stay several
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = array.type
    if pa.types.is_dictionary(kind):
        array = array.dictionary_decode()
        kind = array.type
    if kind in _VIEWS:
        array = array.cast(pa.large_binary())
        kind = array.type
    total.update(len(array).to_bytes(8, "little"))
    if array.null_count:
        total.update(np.packbits(array.is_null().to_numpy(zero_copy_only=False)).tobytes())
        array = array.drop_null()
    if pa.types.is_null(kind):
        return
    if pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind):
        array = array.cast(pa.large_binary())
    if pa.types.is_large_binary(array.type):
        offsets = _offsets(array, np.int64)
        total.update(np.diff(offsets).tobytes())
        if len(offsets) and offsets[-1] > offsets[0]:
            total.update(memoryview(array.buffers()[2])[offsets[0] : offsets[-1]])
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        total.update(array.value_lengths().cast(pa.int64()).to_numpy(zero_copy_only=False).tobytes())
        _add(total, array.flatten())
    elif pa.types.is_fixed_size_list(kind):
        total.update(kind.list_size.to_bytes(8, "little"))
        _add(total, array.flatten())
    elif pa.types.is_struct(kind):
        for number in sorted(range(kind.num_fields), key=lambda i: kind.field(i).name):
            total.update(kind.field(number).name.encode())
            _add(total, array.field(number) if array.offset == 0 else array.flatten()[number])
    elif pa.types.is_boolean(kind):
        total.update(np.packbits(array.to_numpy(zero_copy_only=False)).tobytes())
    elif pa.types.is_integer(kind):
        total.update(array.cast(pa.int64(), safe=False).to_numpy().tobytes())
    elif pa.types.is_floating(kind):
        total.update(array.cast(pa.float64()).to_numpy().tobytes())
    else:  # dates, decimals and the like
        total.update("\0".join(map(str, array.to_pylist())).encode())


_VIEWS = (pa.string_view(), pa.binary_view())


def _offsets(array: Any, kind: type[np.int64]) -> Any:
    """Return where an array's texts begin and end in its bytes, [rows + 1]."""
    buffer = array.buffers()[1]
    if buffer is None or len(array) == 0:
        return np.zeros(1, kind)
    return np.frombuffer(buffer, kind)[array.offset : array.offset + len(array) + 1]


def _with_files(array: Any) -> Any:
    """Return a column of pictures with what identifies a file in the place of its path, where there are no bytes."""
    if isinstance(array, (pa.ChunkedArray, pa.ExtensionArray)):
        return array
    kind = array.type
    if pa.types.is_struct(kind):
        names = [kind.field(number).name for number in range(kind.num_fields)]
        fields = dict(zip(names, array.flatten(), strict=True))
        if "path" not in fields:
            return array
        paths = fields["path"].to_pylist()
        has_bytes = fields["bytes"].is_valid().to_pylist() if "bytes" in fields else [False] * len(paths)
        fields["path"] = _identified([None if has else path for path, has in zip(paths, has_bytes, strict=True)], paths)
        return pa.StructArray.from_arrays([fields[name] for name in names], names, mask=array.is_null())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        paths = array.to_pylist()
        return _identified(paths, paths)
    return array


def _identified(files: list[str | None], others: list[str | None]) -> Any:
    """Return texts: of each file what identifies its content, of what is none the other value."""
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(_identity, files))
    return pa.array([other if new is None else new for new, other in zip(found, others, strict=True)], pa.string())


def _identity(path: str | None) -> str | None:
    """Return a file's size and a hash of its bytes; ``None`` where no file can be read."""
    if path is None:
        return None
    try:
        where = path_of_url(path) if path[:5].lower() == "file:" else path
        if where is None or not stat.S_ISREG(os.stat(where).st_mode):
            return None
        with open(where, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            total = xxhash.xxh3_128()
            if size <= 3 * _SAMPLE:
                total.update(file.read())
            else:
                for start in (0, (size - _SAMPLE) // 2, size - _SAMPLE):
                    file.seek(start)
                    total.update(file.read(_SAMPLE))
    except (OSError, ValueError):
        return None
    return f"{size} bytes {total.hexdigest()}"
