"""Recipes as editors, keyboards and YAML spell them: read as meant, or one line that names the place."""

import json

import pytest

from hf_mtl.recipe import Recipe
from tests.hostile.judge import RIGHT

USUAL = {
    "columns": "{text: text, y: y}",
    "tasks": "y: {type: sequence-classification, labels: [no, yes]}",
    "rate": "0.001",
    "dataset": "d",
    "end": "",
}
#: What of the recipe is spelled otherwise, the file's label column and labels, and what the line says.
SPELLINGS = {
    "no and yes": ({}, ("y", "no", "yes"), RIGHT),
    "a task called no": ({"columns": "{text: text, y: no}", "tasks": "no: {type: sequence-classification}"}, (), RIGHT),
    "a column called on": ({"columns": "{text: text, on: y}"}, ("on", "no", "yes"), RIGHT),
    "labels with zeros in front": (
        {"tasks": "y: {type: sequence-classification, labels: [010, 011]}"},
        ("y", "010", "011"),
        RIGHT,
    ),
    "an exponent without a point": ({"rate": "5e-5"}, (), RIGHT),
    "a decimal comma": ({"rate": "0,001"}, (), "learning_rate: expected a number, found '0,001'"),
    "a time": ({"rate": "1:30"}, (), "learning_rate: expected a number, found '1:30'"),
    "a null for a label": ({"tasks": "y: {type: sequence-classification, labels: [null, yes]}"}, (), "y.*Quote it"),
    "a tilde for a label": ({"tasks": "y: {type: sequence-classification, labels: [~, yes]}"}, (), "y.*Quote it"),
    "a version for a label": ({"tasks": "y: {type: sequence-classification, labels: [1.10, yes]}"}, (), "y.*Quote it"),
    "a number for a label": ({"tasks": "y: {type: sequence-classification, labels: [1, 2]}"}, (), "y.*Quote it"),
    "a column in another form": (
        {"columns": "{text: text, \u00e9: y}"},
        ("e\u0301", "no", "yes"),
        "no column '\u00e9'. Did you mean 'e\u0301', whose characters are composed in another form",
    ),
    "a label in another form": (
        {"tasks": "y: {type: sequence-classification, labels: [\u00e9, yes]}"},
        ("y", "e\u0301", "yes"),
        "label 'e\u0301' is not one of.*composed in another form",
    ),
    "names in all scripts": (
        {
            "columns": "{text: text, \u65e5: \u65e5}",
            "tasks": "\u65e5: {type: sequence-classification}",
            "dataset": "\u043d\u0430",
        },
        ("\u65e5", "no", "yes"),
        RIGHT,
    ),
    "typographic quotes": ({"tasks": "y: {type: \u201csentiment\u201d}"}, (), "tasks.y.type: unknown type"),
    "a hard space in front": ({"dataset": "\u00a0d"}, (), RIGHT),
    "a comma at the end": ({"columns": "{text: text, y: y,}"}, (), RIGHT),
    "a column twice": ({"columns": "{text: text, y: y, y: z}"}, (), "line 5: the key 'y' occurs twice"),
    "a column with a space": ({"columns": "{text: text, ' y': y}"}, (), "no column ' y'. Did you mean 'y'"),
    "an anchor": ({"dataset": "d", "columns": "&c {text: text, y: y}"}, (), RIGHT),
    "an end of the document": ({"end": "...\n"}, (), RIGHT),
}
#: Encodings and line breaks of a recipe, and what the line says.
FORMS = {
    "a byte-order mark": (lambda text: text.encode("utf-8-sig"), RIGHT),
    "utf-16": (lambda text: text.encode("utf-16"), "recipe.yaml: not UTF-8 text"),
    "line breaks of Windows": (lambda text: text.replace("\n", "\r\n").encode(), RIGHT),
    "line breaks of old": (lambda text: text.replace("\n", "\r").encode(), RIGHT),
    "hard spaces for indentation": (lambda text: text.replace("  ", "\u00a0\u00a0").encode(), "recipe.yaml"),
}


def text_of(encoder, spelled=USUAL):
    of = {**USUAL, **spelled}
    return (
        f"encoder: {encoder}\ndatasets:\n  {of['dataset']}:\n    load: {{path: json, data_files: rows.jsonl}}\n"
        f"    columns: {of['columns']}\n    validation_size: 0\ntasks:\n  {of['tasks']}\n"
        f"training:\n  output_dir: run\n  max_steps: 1\n  use_cpu: true\n  learning_rate: {of['rate']}\n{of['end']}"
    )


def write(folder, recipe, column="y", first="no", second="yes"):
    rows = [{"text": f"text {i}", column: (first, second)[i % 2]} for i in range(12)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "recipe.yaml").write_bytes(recipe)


@pytest.mark.parametrize("case", SPELLINGS)
def test_a_spelling_is_read_as_meant_or_named(folder, judge, encoder_folder, case):
    spelled, file, says = SPELLINGS[case]
    write(folder, text_of(encoder_folder, spelled).encode(), *file)
    found = judge.python(lambda: Recipe.load("recipe.yaml").prepare(), says)
    if says is RIGHT:
        labels = file[1:] or ("no", "yes")
        assert (found.tasks[0].labels, found.args.learning_rate < 0.01) == (tuple(labels), True)


@pytest.mark.parametrize("case", FORMS)
def test_a_recipe_in_another_form_is_read_or_named(folder, judge, encoder_folder, case):
    change, says = FORMS[case]
    write(folder, change(text_of(encoder_folder)))
    judge.python(lambda: Recipe.load("recipe.yaml").prepare(), says)
