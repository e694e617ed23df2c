"""Errors name the row and the line of the file, after holding out, slicing, and over several files."""

import json

import pandas as pd
import pytest

from hf_mtl.recipe import Recipe, RecipeError

GOOD = {"text": "a b", "y": "m"}
OTHER = {"text": "a b", "y": "n"}
BAD = {"text": "a b", "y": "wrong"}


def rows(bad, count=20):
    return [BAD if i == bad else (GOOD, OTHER)[i % 2] for i in range(count)]


def recipe(values, kind, files, **dataset):
    load = {"path": kind, "data_files": files, **dataset.pop("load", {})}
    source = {"load": load, "columns": {"text": "text", "y": "y"}, **dataset}
    return {**values, "datasets": {"d": source}, "tasks": {"y": {"labels": ["m", "n"]}}}


def message(values, split=None):
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict(values).prepare()
    return str(caught.value)


def write(folder, name, lines):
    (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return name


def json_lines(some):
    return [json.dumps(row) for row in some]


@pytest.mark.parametrize("bad", [0, 7, 19])
@pytest.mark.parametrize("dataset", [{}, {"validation_size": 0.5}, {"test_size": 0.3}, {"validation_size": 0}])
def test_a_row_is_named_by_its_line_wherever_it_is_held_out(values, folder, bad, dataset):
    write(folder, "d.jsonl", ["", *json_lines(rows(bad))])
    found = message(recipe(values, "json", "d.jsonl", **dataset))
    assert f"row {bad} (line {bad + 2} of 'd.jsonl'), task 'y': label 'wrong'" in found


@pytest.mark.parametrize(("train", "bad"), [("train[5:]", 7), ("train[50%:]", 12), ("train[:2]+train[10:]", 15)])
def test_a_slice_keeps_the_numbers_of_its_split(values, folder, train, bad):
    write(folder, "d.jsonl", json_lines(rows(bad)))
    values = recipe(values, "json", {"train": "d.jsonl"}, train=train, validation_size=0)
    assert f"row {bad} (line {bad + 1} of 'd.jsonl')" in message(values)


def test_an_unknown_slice_is_named(values, folder):
    write(folder, "d.jsonl", json_lines(rows(None)))
    values = recipe(values, "json", {"train": "d.jsonl"}, train="trian[5:]")
    assert "datasets.d.train: no such slice 'trian[5:]'" in message(values)


def test_a_csv_counts_its_header_and_rows_of_several_lines(values, folder):
    lines = ["text,y", '"one\ntwo\nthree",m', "", "a b,n", "a b,wrong", *["a b,m", "a b,n"] * 4]
    write(folder, "d.csv", lines)
    assert "row 2 (line 7 of 'd.csv'), task 'y'" in message(recipe(values, "csv", "d.csv"))


def test_other_separators_are_minded(values, folder):
    write(folder, "d.csv", ["text;y", '"a;b";m', "a,b;n", "c;wrong", *["a b;m", "a b;n"] * 4])
    assert "row 2 (line 4 of 'd.csv')" in message(recipe(values, "csv", "d.csv", load={"sep": ";"}))


def test_of_several_files_the_right_one_is_named(values, folder):
    write(folder, "a.jsonl", json_lines(rows(None)))
    write(folder, "b.jsonl", json_lines(rows(3)))
    for files in (["a.jsonl", "b.jsonl"], "?.jsonl"):
        assert "row 23 (line 4 of 'b.jsonl')" in message(recipe(values, "json", files))


def test_a_parquet_file_has_rows(values, folder):
    pd.DataFrame(rows(3)).to_parquet("b.parquet")
    assert "row 3 (row 3 of 'b.parquet'), task 'y'" in message(recipe(values, "parquet", "b.parquet"))


def test_a_very_long_text_is_refused_by_its_line(values, folder):
    write(folder, "d.jsonl", json_lines([*rows(None), {"text": "x" * 10_000_000, "y": "m"}]))
    found = message(recipe(values, "json", "d.jsonl"))
    assert "row 20 (line 21 of 'd.jsonl'): a text of 10,000,000 characters, and at most 1,000,000 are read." in found
    write(folder, "e.jsonl", json_lines([*rows(None), {"text": "x", "y": "m" * 10_000_000}]))
    found = message(recipe(values, "json", "e.jsonl"))
    assert "row 20 (line 21 of 'e.jsonl'), task 'y': label 'mmm" in found
    assert len(found) < 500
