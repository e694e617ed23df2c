"""Labels as people write them into files: read as meant, or refused in words that lead to what works."""

import json
import logging

import pytest

from hf_mtl import TaskConfig
from hf_mtl.heads._labels import LabelError, label_index
from hf_mtl.recipe import Recipe, RecipeError
from tests.unit.recipe.recipe_files import write_recipe

TEXTS = [f"text {i}" for i in range(12)]


def of_csv(values, cells, task=None, header="text,y", load=None):
    lines = [f"{text},{cells[i % len(cells)]}" for i, text in enumerate(TEXTS)]
    with open("d.csv", "w", encoding="utf-8") as file:
        file.write("\n".join([header, *lines]) + "\n")
    load = {"path": "csv", "data_files": "d.csv", **(load or {})}
    datasets = {"d": {"load": load, "columns": {"text": "text", "y": "y"}, "validation_size": 0}}
    return {**values, "datasets": datasets, "tasks": {"y": task} if task else {}}


def of_json(values, rows, task=None, columns=None):
    with open("d.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(rows[i % len(rows)]) + "\n" for i in range(12))
    columns = columns or {"text": "text", "y": "y"}
    load = {"path": "json", "data_files": "d.jsonl"}
    datasets = {"d": {"load": load, "columns": columns, "validation_size": 0}}
    return {**values, "datasets": datasets, "tasks": {"y": task} if task else {}}


def read(values):
    """Return the task, and the labels of the first rows as the trainer would encode them."""
    built = Recipe.from_dict(values).prepare().build()
    dataset = next(iter(built.trainer._train_datasets.values()))
    return built.prepared.tasks[0], [row.labels.get("y") for row in dataset.read(range(4))]


TWO = "sequence-classification"
MANY = {"problem_type": "multi_label_classification"}


@pytest.mark.parametrize("word", ["NA", "None", "null", "nan", "n/a"])
def test_words_that_pandas_takes_for_missing_are_classes(values, word):
    task, labels = read(of_csv(values, [word, "some"]))
    assert task.labels == tuple(sorted([word, "some"]))
    assert labels == [word, "some"] * 2


def test_an_empty_cell_is_no_label(values):
    assert read(of_csv(values, ["a", "", "b", " "]))[1] == ["a", None, "b", None]


def test_words_among_numbers_are_missing_and_said_to_be(values, caplog):
    with caplog.at_level(logging.WARNING, "hf_mtl"):
        task, labels = read(of_csv(values, ["1.5", "NA", "2.5", "3"]))
    assert task.type == "regression"
    assert labels == [1.5, None, 2.5, 3.0]
    assert "the column 'y' holds numbers, so 'NA' in 3 of its rows is read as missing" in caplog.text


def test_a_csv_that_says_itself_what_is_missing_is_obeyed(values):
    assert read(of_csv(values, ["NA", "a", "b"], load={"keep_default_na": True}))[1] == [None, "a", "b", None]


@pytest.mark.parametrize(
    ("cells", "task", "labels", "found"),
    [
        (["0", "1"], {"labels": {0: "neg", 1: "pos"}}, ("neg", "pos"), ["neg", "pos"] * 2),
        (["1", "0"], {"type": "sentiment", "labels": {0: "neg", 1: "pos"}}, ("neg", "pos"), ["pos", "neg"] * 2),
        # Pandas makes floats of them.
        (["0", "1", ""], {"labels": {0: "neg", 1: "pos"}}, ("neg", "pos"), ["neg", "pos", None, "neg"]),
        (["1.0", "0.0"], {"labels": {0: "neg", 1: "pos"}}, ("neg", "pos"), ["pos", "neg"] * 2),
        (["1", "2", "3"], {"labels": {1: "bad", 2: "bad", 3: "good"}}, ("bad", "good"), ["bad", "bad", "good", "bad"]),
        (["0", "1"], {"labels": ["0", "1"]}, ("0", "1"), ["0", "1"] * 2),
        (["a ", "b", " a"], None, ("a", "b"), ["a", "b", "a", "a"]),
        (["True", "False"], None, ("False", "True"), ["True", "False"] * 2),
        (["True", "False"], {"labels": ["false", "true"]}, ("false", "true"), ["true", "false"] * 2),
        (["yes", "no"], {"labels": {"yes": "ja", "no": "nein"}}, ("ja", "nein"), ["ja", "nein"] * 2),
        ([""""['a','b']\"""", """['b']""", "[]"], None, ("a", "b"), [["a", "b"], ["b"], [], ["a", "b"]]),
        (['"[""a"", ""b""]"', '"[""a""]"'], None, ("a", "b"), [["a", "b"], ["a"]] * 2),
        (['"[1, 0, 1]"', '"[0, 0, 1]"'], {**MANY, "type": TWO, "labels": ["a", "b", "c"]}, ("a", "b", "c"), None),
        (["1.5", "2.5"], None, None, [1.5, 2.5] * 2),
        (['"1,5"', '"2,5"'], {"type": "regression"}, None, "Write decimals with a point; .* decimal=','"),
        (['"1,5"', '"2,5"'], None, None, r"tasks\.y\.type: .*holds numbers as texts, such as '1,5'.*decimal: ','"),
        (["0", "1"], None, None, r"tasks\.y: .*integers without names. Name them, labels: {0: ..., 1: ...}"),
        (
            ["0", "1", ""],
            None,
            None,
            r"0\.0, 1\.0 alone, which may be classes or amounts. Name the classes, labels: {0",
        ),
        (["\"['a' 'b']\"", "['b']"], {"type": "multi-label-classification"}, None, "a cell without a list"),
        (["['a']", "b"], None, None, "a cell that holds a list, .* beside others that are one label"),
        (['"a,b"', "b"], {"type": "multi-label-classification"}, None, r"Write the labels of a row as JSON"),
        (["x" * 300, "b"], None, None, "a label of 300 characters, .* Is it a column of texts"),
    ],
)
def test_cells_of_a_csv(values, folder, cells, task, labels, found):
    recipe = of_csv(values, cells, task)
    if isinstance(found, str):
        with pytest.raises(RecipeError, match=found):
            Recipe.from_dict(recipe).prepare()
        return
    # Through the file: YAML's keys are numbers.
    read_recipe = Recipe.load(write_recipe(folder, recipe))
    built = read_recipe.prepare().build()
    dataset = next(iter(built.trainer._train_datasets.values()))
    assert built.prepared.tasks[0].labels == labels
    if found is None:
        found = [[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]] * 2
    assert [row.labels.get("y") for row in dataset.read(range(4))] == found


@pytest.mark.parametrize(
    ("rows", "task", "expected", "found"),
    [
        ([{"y": [1, 0, 1]}, {"y": [0, 0, 0]}], {"labels": ["a", "b", "c"]}, "multi", [1.0, 0.0, 1.0]),
        ([{"y": [True, False]}], {"labels": ["a", "b"]}, "multi", [1.0, 0.0]),
        ([{"y": [1.0, 0.0]}], {"labels": ["a", "b"]}, "multi", [1.0, 0.0]),
        ([{"y": [1, 0]}, {"y": [2]}], {"labels": {0: "a", 1: "b", 2: "c"}}, "multi", ["b", "a"]),
        (
            [{"y": [1, 0, 1]}],
            None,
            r"3 numbers a row, each 0 or 1. Name what they stand for, .* \[\.\.\.\], 3 texts",
            None,
        ),
        (
            [{"y": [1, 0]}],
            {"labels": ["a", "b", "c"]},
            "found 2 numbers. A multi-hot label has a 0 or a 1 for each",
            None,
        ),
        ([{"y": "1"}, {"y": "0"}], {"labels": {0: "neg", 1: "pos"}}, "single", "pos"),
        ([{"y": "1"}, {"y": "0"}], None, "single", "1"),
        ([{"y": "b"}, {"y": "B"}, {"y": "c"}], None, "single", "b"),
    ],
)
def test_cells_of_json(values, rows, task, expected, found):
    recipe = of_json(values, [{"text": "a b", **row} for row in rows], task)
    if expected not in ("multi", "single"):
        with pytest.raises(RecipeError, match=expected):
            Recipe.from_dict(recipe).prepare()
        return
    made, labels = read(recipe)
    assert made.is_multi_label == (expected == "multi")
    assert labels[0] == found


@pytest.mark.parametrize(
    ("words", "tags"),
    [
        (["in", "paris"], "O B-city"),
        ("in paris", "O B-city"),
        ("['in', 'paris']", "['O', 'B-city']"),
        ('["in", "paris"]', '["O", "B-city"]'),
    ],
)
def test_words_and_tags_in_one_text_are_tagging(values, words, tags):
    recipe = of_json(values, [{"w": words, "t": tags}], columns={"w": "tokens", "t": "y"})
    task, labels = read(recipe)
    assert task == TaskConfig("y", "token-classification", labels=["B-city", "O"])
    assert labels[0] == ["O", "B-city"]


def test_ids_are_no_classes(values):
    rows = [{"text": "a", "y": f"user-{i}"} for i in range(60)]
    with open("d.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    recipe = of_json(values, rows)
    with open("d.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    with pytest.raises(RecipeError, match=r"tasks\.y\.labels: .*60 different labels in 60.* Is it a column of ids"):
        Recipe.from_dict(recipe).prepare()


def test_labels_that_look_alike_are_named(values, caplog):
    with caplog.at_level(logging.WARNING, "hf_mtl"):
        task, _ = read(of_json(values, [{"text": "a", "y": label} for label in ("Good", "good", "bad")]))
    assert task.labels == ("Good", "bad", "good")
    assert "differ in case, spaces or form of their characters alone: 'Good', 'good'" in caplog.text


def test_whole_floats_are_amounts_with_a_notice(values, caplog):
    with caplog.at_level(logging.WARNING, "hf_mtl"):
        task, _ = read(of_csv(values, ["1.0", "2.0", "3.0", "4.0"]))
    assert task.type == "regression"
    assert "4 whole numbers (1.0, 2.0, 3.0, 4.0 ...), which are read as amounts" in caplog.text


def test_names_of_values_can_be_given_on_the_command_line(values, folder):
    path = write_recipe(folder, of_csv(values, ["0", "1"]))
    prepared = Recipe.load(path, ["tasks.y.labels={0: neg, 1: pos}"]).prepare()
    assert prepared.tasks[0].label_values == {"0": "neg", "1": "pos"}


def test_a_trained_model_reads_the_values_that_it_was_given_names_for(values, folder):
    prepared = Recipe.from_dict(of_csv(values, ["0", "1"], {"labels": {0: "neg", 1: "pos"}})).prepare()
    saved = TaskConfig.from_dict(prepared.tasks[0].to_dict())
    assert saved == prepared.tasks[0]
    recipe = of_csv(values, ["0", "1"])
    recipe["datasets"]["d"]["test_size"] = 4
    assert len(Recipe.from_dict(recipe).prepare_for([saved], "test")["d"]) == 4
    written = Recipe.load(prepared.write(folder)).prepare()
    assert written.tasks == prepared.tasks


def test_labels_that_a_file_turned_into_numbers_are_named_with_the_mapping_that_loads_them():
    task = TaskConfig("code", "sequence-classification", labels=["01", "02"])
    with pytest.raises(LabelError, match=r"label 1 .*'01', '02'.*labels=\{1: '01', 2: '02'\}"):
        label_index(task, 1, 0)
    with pytest.raises(LabelError, match=r"labels=\{7: '...', ...\}"):
        label_index(task, 7, 0)
