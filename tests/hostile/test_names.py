"""Tasks, datasets and labels of any name: right everywhere, or refused in one line."""

import json

import pytest

from hf_mtl import MultiTaskModel, TaskConfig
from tests.encoders import tiny_encoder
from tests.hostile.judge import RIGHT
from tests.unit.recipe.recipe_files import write_recipe, write_rows

NAMES = {
    "dots": "a.b.c",
    "a slash": "a/b",
    "two dots": "..",
    "up and out": "../../etc/passwd",
    "a backslash": "C:\\x",
    "a bracket": "a[b",
    "brackets of rich": "[red]a[/red]",
    "parentheses": "score (0-5)",
    "a space": " a b ",
    "a quote": 'it\'s "so"',
    "a comma": "a,b",
    "an equals sign": "a=b",
    "a colon": "a: b",
    "a percent sign": "%s %d {0}",
    "HTML": "<script>alert(1)</script>",
    "Markdown": "| a | [b](http://c) `d`",
    "an emoji": "\U0001f600",
    "Chinese": "\u60c5\u611f",
    "right to left": "\u202eabc",
    "combined letters": "e\u0301",
    "an escape sequence": "a\x1b[2Jb",
    "a line break": "a\nb",
    "a tab": "a\tb",
    "a NUL": "a\0b",
    "a number": "7",
    "a method of modules": "forward",
    "an attribute": "__class__",
    "a keyword": "class",
    "true": "true",
    "null": "null",
    "long": "x" * 200,
    "a formula": "=1+1",
    "a device": "CON",
    "a question mark": "a?b*c",
}


@pytest.mark.parametrize("case", NAMES)
def test_a_task_of_any_name_is_saved_loaded_and_answered(folder, judge, tokenizer, case):
    name = NAMES[case]
    if "\0" in name:
        judge.python(lambda: MultiTaskModel.from_encoder(tiny_encoder(), [TaskConfig(name, "regression")]), "null char")
        return
    model = MultiTaskModel.from_encoder(
        tiny_encoder(), [TaskConfig(name, "sequence-classification", labels=["a", "b"]), TaskConfig("x", "regression")]
    )
    model.save_pretrained("named")
    tokenizer.save_pretrained("named")
    write_rows(folder / "in.jsonl", [{"text": "a good film"}] * 2)
    judge.command(["predict", "named", "in.jsonl", "-o", "out.jsonl"], RIGHT, written=["out.jsonl"])
    answers = [json.loads(line) for line in (folder / "out.jsonl").read_text("utf-8").splitlines()]
    assert all(answer[name]["label"] in ("a", "b") for answer in answers)


@pytest.mark.parametrize("case", NAMES)
def test_a_head_is_renamed_to_any_name(folder, judge, case):
    args = ["heads", "model", "rename", "intent", NAMES[case], "-o", "out"]
    if "\0" in NAMES[case]:
        judge.command(args, "null character")
        return
    printed = judge.command(args, RIGHT, written=["out"])
    assert not set(printed) & set("\0\x1b")
    loaded = MultiTaskModel.from_pretrained("out")
    assert [task.name for task in loaded.tasks][1] == NAMES[case]


@pytest.mark.parametrize("case", NAMES)
def test_labels_of_any_name_are_answered(folder, judge, tokenizer, case):
    labels = [NAMES[case], "other"]
    model = MultiTaskModel.from_encoder(tiny_encoder(), [TaskConfig("y", "sequence-classification", labels=labels)])
    model.save_pretrained("named")
    tokenizer.save_pretrained("named")
    printed = judge.command(["predict", "named", "a good film"], RIGHT)
    assert not set(printed) & set("\0\x1b")


@pytest.mark.parametrize("case", NAMES)
def test_datasets_of_any_name_are_prepared_or_refused(folder, judge, values, case):
    values["datasets"] = {NAMES[case]: values["datasets"]["films"]}
    write_recipe(folder, values)
    printed = judge.command(["train", "recipe.yaml", "--dry-run"], RIGHT)
    assert not set(printed) & set("\0\x1b")
