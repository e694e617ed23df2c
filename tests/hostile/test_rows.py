"""Rows of every kind of wrong value, for every type of task, before a training."""

import json

import pytest

from hf_mtl.recipe import Recipe
from tests.hostile.judge import RIGHT
from tests.unit.recipe.recipe_files import write_recipe, write_rows

GOOD = {
    "sequence-classification": ["book", "play"],
    "sentiment": ["neg", "pos"],
    "multi-label-classification": [["art"], ["art", "city"]],
    "regression": [0.5, 1.5],
    "token-classification": [["O", "B-x"], ["O", "O"]],
}
LABELS = {
    "sequence-classification": ["book", "play"],
    "sentiment": ["neg", "pos"],
    "multi-label-classification": ["art", "city"],
    "token-classification": ["O", "B-x"],
}
#: JSON as text, so that what Python's json cannot write can be tried, too.
BAD = {
    "an unknown name": '"nobody"',
    "a space at the end": '"book "',
    "empty text": '""',
    "a number too large": "1e400",
    "NaN": "NaN",
    "minus infinity": "-Infinity",
    "a whole number": "7",
    "a negative number": "-1",
    "a number of 400 digits": "1" * 400,
    "true": "true",
    "an object": '{"a": 1}',
    "a list in a list": "[[[1]]]",
    "a list of nulls": "[null, null]",
    "an empty list": "[]",
    "a list of empty texts": '["", ""]',
    "a list of numbers": "[3.5, -7.25]",
    "a list of many": json.dumps(["O"] * 1000),
    "a NUL": '"\\u0000"',
    "half a surrogate": '"\\ud800"',
    "a date": '"2020-01-01T00:00:00"',
    "a text of a megabyte": json.dumps("x" * 1_000_000),
}
#: Unlabelled rows: null, or read as null by `datasets`. Their number is shown.
UNLABELLED = {
    *((task, "empty text") for task in GOOD),
    *((task, name) for task in GOOD if task != "regression" for name in ("NaN", "minus infinity")),
    *((task, "a number too large") for task in ("multi-label-classification", "token-classification")),
    *((task, "half a surrogate") for task in ("multi-label-classification", "token-classification")),
}
#: What is right although it looks wrong.
FINE = {
    *UNLABELLED,
    ("regression", "a whole number"),
    ("regression", "a negative number"),
    ("multi-label-classification", "an empty list"),
    ("sequence-classification", "a space at the end"),  # read without it
    ("token-classification", "a list of nulls"),
    ("token-classification", "a list of empty texts"),
}
CASES = {f"{task}: {name}": (task, name) for task in GOOD for name in BAD}


def _recipe(encoder, tasks, columns):
    return {
        "encoder": str(encoder),
        "datasets": {"rows": {"load": {"path": "json", "data_files": "rows.jsonl"}, "columns": columns}},
        "tasks": tasks,
        "training": {"output_dir": "run", "max_steps": 1, "use_cpu": True, "precision": "float32"},
    }


def _prepare(folder, encoder, lines, task):
    (folder / "rows.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    config = {"type": task} | ({"labels": LABELS[task]} if task in LABELS else {})
    write_recipe(folder, _recipe(encoder, {"y": config}, {"x": "tokens" if "token" in task else "text", "y": "y"}))


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_label_is_named(folder, judge, encoder_folder, case):
    task, name = CASES[case]
    good = [json.dumps(label) for label in GOOD[task]]
    labels = [*good * 6, BAD[name], *good]
    text = '["a", "film"]' if "token" in task else '"a film"'
    _prepare(folder, encoder_folder, [f'{{"x": {text}, "y": {label}}}' for label in labels], task)
    says = RIGHT if (task, name) in FINE else r"recipe\.yaml: datasets\.rows|'rows|rows\.jsonl|tasks\.y"
    printed = judge.command(["train", "recipe.yaml", "--dry-run"], says)
    if (task, name) in UNLABELLED:
        assert "unlabelled" in printed


INPUTS = {
    "null": "null",
    "a number": "3",
    "true": "true",
    "a list": "[]",
    "an object": '{"a": 1}',
    "NaN": "NaN",
    "a list of numbers": "[1, 2]",
    "a list with null": '["a", null]',
}


@pytest.mark.parametrize("column", ["text", "tokens"])
@pytest.mark.parametrize("case", INPUTS)
def test_a_wrong_input_is_named(folder, judge, encoder_folder, case, column):
    good = '["a", "film"]' if column == "tokens" else '"a film"'
    label = '["O", "O"]' if column == "tokens" else '"book"'
    texts = [good] * 8 + [INPUTS[case]] + [good] * 2
    task = "token-classification" if column == "tokens" else "sequence-classification"
    lines = [f'{{"x": {text}, "y": {label}}}' for text in texts]
    _prepare(folder, encoder_folder, lines, task)
    judge.command(["train", "recipe.yaml", "--dry-run"], r"'rows|datasets\.rows|rows\.jsonl")


FILES = {
    "nothing": b"",
    "a byte": b"\xff",
    "spaces": b"   \n\n  ",
    "a list": b"[]",
    "a number": b"3\n",
    "lines of numbers": b"1\n2\n3\n",
    "cut off": b'{"x": "a", "y": "bo',
    "latin-1": '{"x": "caf\u00e9", "y": "book"}\n'.encode("latin-1") * 5,
    "utf-16": ('{"x": "a", "y": "book"}\n' * 5).encode("utf-16"),
    "a nested bomb": b'{"x": ' + b"[" * 100_000,
    "a parquet's beginning": b"PAR1" + bytes(100),
    "NULs": bytes(1000),
}


#: `datasets` builds Arrow strings of bytes that are no UTF-8, and reading the first row fails.


@pytest.mark.parametrize("kind", ["json", "csv", "parquet"])
@pytest.mark.parametrize("case", FILES)
def test_a_file_that_holds_no_rows_is_named(folder, judge, encoder_folder, case, kind):
    (folder / "rows").write_bytes(FILES[case])
    recipe = _recipe(encoder_folder, {"y": {"labels": ["book", "play"]}}, {"x": "text", "y": "y"})
    recipe["datasets"]["rows"]["load"] = {"path": kind, "data_files": "rows"}
    write_recipe(folder, recipe)
    says = r"datasets\.rows|'rows"
    if case == "latin-1" and kind != "parquet":
        says = r"datasets\.rows\.load: 'rows' is not text in utf-8 .* encoding: latin-1"
    judge.python(lambda: Recipe.load("recipe.yaml").prepare(), says)


def test_rows_that_the_model_was_not_made_for_are_named(folder, judge, values):
    write_rows(folder / "films.jsonl", [{"sentence": "a", "label": "sideways"}] * 4)
    values["datasets"]["films"]["validation_size"] = 0.5
    write_recipe(folder, values)
    judge.command(["evaluate", "model", "recipe.yaml", "-o", "scores.json"], "sideways.*'neg', 'pos'")
