"""A column's hash is that of its values: whatever stores them, selects them or lies beside them."""

import datetime
import os

import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, Features, Image, List, Value, concatenate_datasets, load_dataset
from hypothesis import given
from hypothesis import strategies as st

from hf_mtl.data import content_hashes

VALUES = {
    "texts": st.one_of(st.none(), st.text(max_size=5)),
    "numbers": st.one_of(st.none(), st.integers(-5, 5)),
    "floats": st.one_of(st.none(), st.floats(allow_nan=False, width=32)),
    "flags": st.one_of(st.none(), st.booleans()),
    "lists": st.one_of(st.none(), st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=3)),
    "structs": st.one_of(st.none(), st.fixed_dictionaries({"a": st.integers(0, 3), "b": st.text(max_size=2)})),
}
FEATURES = Features(
    texts=Value("string"),
    numbers=Value("int64"),
    floats=Value("float64"),
    flags=Value("bool"),
    lists=List(Value("string")),
    structs={"a": Value("int64"), "b": Value("string")},
)
ROWS = st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=12)


def dataset(rows):
    return Dataset.from_list(rows, features=FEATURES)


@given(ROWS, st.randoms(use_true_random=False))
def test_selections_chunks_and_columns_change_nothing(rows, random):
    expected = content_hashes(dataset(rows))
    order = list(range(len(rows)))
    random.shuffle(order)
    back = [order.index(i) for i in range(len(rows))]
    assert content_hashes(dataset([rows[i] for i in order]).select(back)) == expected
    padded = dataset([rows[0], rows[-1], *rows, rows[0]])
    assert content_hashes(padded.select(range(2, 2 + len(rows)))) == expected
    cut = random.randrange(len(rows) + 1)
    parts = [dataset(part) for part in (rows[:cut], rows[cut:]) if part]
    assert content_hashes(concatenate_datasets(parts)) == expected
    names = random.sample(sorted(VALUES), len(VALUES))
    assert content_hashes(dataset(rows).select_columns(names)) == expected


@given(ROWS, st.data())
def test_another_value_is_another_hash_of_its_column_alone(rows, data):
    row, name = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.sampled_from(sorted(VALUES)))
    other = data.draw(VALUES[name].filter(lambda value: value != rows[row][name]))
    changed = [dict(r) for r in rows]
    changed[row][name] = other
    before, after = content_hashes(dataset(rows)), content_hashes(dataset(changed))
    assert {n for n in before if before[n] != after[n]} == {name}


@given(st.lists(st.text(max_size=3), min_size=2, max_size=6))
def test_where_one_text_ends_and_the_next_begins_counts(texts):
    joined = [texts[0] + texts[1], "", *texts[2:]]
    same = joined == texts
    assert (content_hashes(Dataset.from_dict({"x": texts})) == content_hashes(Dataset.from_dict({"x": joined}))) == same


def test_order_of_rows_and_names_of_classes_count():
    data = Dataset.from_dict({"x": [0, 1]}, features=Features(x=ClassLabel(names=["bad", "good"])))
    renamed = Dataset.from_dict({"x": [0, 1]}, features=Features(x=ClassLabel(names=["good", "bad"])))
    assert len({str(content_hashes(d)) for d in (data, renamed, data.select([1, 0]))}) == 3


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_file_formats_change_nothing(tmp_path, kind):
    rows = {"text": [f"row {i}" for i in range(50)], "label": [i % 3 for i in range(50)]}
    data = Dataset.from_dict(rows)
    path = tmp_path / f"rows.{kind}"
    getattr(data, f"to_{kind}")(path)
    read = load_dataset(kind, data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert content_hashes(read) == content_hashes(data)


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_ways_to_store_texts_change_nothing(kind):
    texts = ["a", None, "bc", ""]
    data = Dataset(pa.table({"x": pa.array(texts).cast(kind)}))
    assert content_hashes(data) == content_hashes(Dataset.from_dict({"x": texts}))


def test_dates_are_hashed():
    data = Dataset.from_dict({"x": [datetime.date(2020, 1, day) for day in (1, 2)]})
    assert content_hashes(data) != content_hashes(data.select([1, 0]))


def in_forms(folder):
    """Return the files of a folder as columns of pictures hold them."""
    paths = sorted(map(str, folder.iterdir()))
    stored = [{"bytes": None, "path": path} for path in paths]
    return {
        "paths": Dataset.from_dict({"image": paths}),
        "URLs": Dataset.from_dict({"image": [f"file://{path}" for path in paths]}),
        "pictures": Dataset.from_dict({"image": paths}).cast_column("image", Image()),
        "mappings": Dataset.from_dict({"image": stored}),
        "selected": Dataset.from_dict({"image": [*stored, None]}).select(range(len(paths))),
    }


@pytest.mark.parametrize("place", [0, 40_000, 65_536, 130_000])
def test_pictures_kept_as_paths_count_by_what_their_files_hold(tmp_path, place):
    """Of a file of 131,072 bytes the middle is read from 49,152 on: a change at 40,000 comes with another size."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "small.png").write_bytes(b"small")
        (tmp_path / name / "large.png").write_bytes(bytes(131_072))
    before = {form: content_hashes(data) for form, data in in_forms(tmp_path / "here").items()}
    assert {form: content_hashes(data) for form, data in in_forms(tmp_path / "there").items()} == before
    changed = bytearray((tmp_path / "here" / "large.png").read_bytes())
    changed[place : place + 1] = b"xy" if place == 40_000 else b"x"
    (tmp_path / "here" / "large.png").write_bytes(changed)
    after = {form: content_hashes(data) for form, data in in_forms(tmp_path / "here").items()}
    assert all(after[form] != before[form] for form in before)


def test_paths_that_lead_nowhere_count_as_texts(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    values = ["gone.png", str(tmp_path), str(tmp_path / "pipe"), "a\0b", "file://elsewhere/a.png", None]
    data = Dataset.from_dict({"image": values})
    assert content_hashes(data)["image"] == content_hashes(data.rename_column("image", "x"))["x"]
