"""Types and labels read off the data in Python, as a recipe reads them."""

import datetime
import math
import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, List, Value

from hf_mtl import MultiTaskModel, TaskConfig, infer_tasks
from hf_mtl.data import InferenceError, LabelledDataset, LabelReader, check_rows
from hf_mtl.heads import RegressionHead, head_class
from tests.encoders import tiny_encoder

ROWS = 24


def frame(column):
    return pd.DataFrame({"text": [f"text {i}" for i in range(ROWS)], "y": column})


def test_a_task_needs_no_more_than_its_name_beside_a_dataset():
    data = Dataset.from_dict({"text": ["a", "b", "c"], "emotion": ["joy", "anger", "joy"]})
    (task,) = infer_tasks(data, [TaskConfig("emotion", weight=2.0)])
    assert task == TaskConfig("emotion", "sequence-classification", labels=["anger", "joy"], weight=2.0)
    assert list(MultiTaskModel.from_encoder(tiny_encoder(), [task]).task_heads) == ["emotion"]


def test_a_model_of_a_task_without_a_type_is_refused():
    with pytest.raises(ValueError, match=r"Task 'emotion' has no type. Give it one, or let hf_mtl.infer_tasks"):
        MultiTaskModel.from_encoder(tiny_encoder(), [TaskConfig("emotion")])


def test_without_tasks_each_column_that_is_no_input_is_one():
    data = Dataset.from_dict({"tokens": [["a", "b"]] * 2, "intent": ["x", "y"], "slots": [["O", "B-z"]] * 2})
    assert [(task.name, task.type) for task in infer_tasks({"d": data})] == [
        ("intent", "sequence-classification"),
        ("slots", "token-classification"),
    ]


def test_labels_of_evaluation_rows_come_last():
    train = Dataset.from_dict({"text": ["a", "b"], "y": ["m", "n"]})
    late = Dataset.from_dict({"text": ["a"], "y": ["a"]})
    assert infer_tasks(train, eval_datasets=late)[0].labels == ("m", "n", "a")
    assert infer_tasks(DatasetDict(train=train, test=late))[0].labels == ("m", "n", "a")


def test_numbers_of_evaluation_rows_are_the_labels_that_they_are_as_texts():
    train = Dataset.from_dict({"text": ["a", "b"], "y": ["0", "1"]})
    late = Dataset.from_dict({"text": ["a", "b"], "y": [1.0, 2.0]})
    assert infer_tasks(train, eval_datasets=late)[0].labels == ("0", "1", "2")


def test_a_frame_of_very_many_columns_is_refused():
    wide = pd.DataFrame(np.zeros((2, 10_001)), columns=[f"c{i}" for i in range(10_001)])
    with pytest.raises(ValueError, match=r"Dataset 'data': 10,001 columns, and at most 10,000 are read. Pass those"):
        infer_tasks(wide, [TaskConfig("c1")])


@pytest.mark.parametrize(
    "cell", ["x" * 10_000_000, "[" + "'a'," * 3_000_000 + "]", "[" * 50_000, "[" * 50_000 + "]" * 50_000]
)
def test_a_very_long_cell_ends_in_one_line(cell):
    with pytest.raises(InferenceError) as caught:
        infer_tasks(pd.DataFrame({"text": ["a", "b"], "y": [cell, "['b']"]}), [TaskConfig("y")])
    assert len(str(caught.value)) < 500


def test_datasets_with_one_task_have_the_union_of_its_labels():
    first = Dataset.from_dict({"text": ["a", "b"], "y": ["m", "n"]})
    second = Dataset.from_dict({"text": ["a"], "y": [0]}).cast_column("y", ClassLabel(names=["n", "z"]))
    assert infer_tasks({"a": first, "b": second})[0].labels == ("m", "n", "z")


def test_a_task_without_a_column_is_named_with_the_nearest():
    data = Dataset.from_dict({"text": ["a"], "emotoin": ["joy"]})
    with pytest.raises(ValueError, match=r"Task 'emotion': no dataset has such a column. Did you mean 'emotoin'"):
        infer_tasks(data, [TaskConfig("emotion")])
    given = TaskConfig("emotion", "sequence-classification", labels=["joy", "anger"])
    assert infer_tasks(data, [given]) == [given]


@pytest.mark.parametrize(
    ("column", "given", "expected"),
    [
        (pd.Categorical(["a", None, "c"] * 8), {}, ("a", "c")),
        (pd.array([0, 1, None] * 8, dtype="Int64"), {"labels": {0: "n", 1: "y"}}, ("n", "y")),
        (pd.array([True, False, None] * 8, dtype="boolean"), {}, ("False", "True")),
        (pd.array(["x", "y", None] * 8, dtype="string"), {}, ("x", "y")),
        ([("a", "b"), ("a",), ()] * 8, {}, ("a", "b")),
        ([{"a"}, {"b"}, set()] * 8, {}, ("a", "b")),
        (["a\u00a0", "a", "b"] * 8, {}, ("a", "b")),
        ([np.array([1, 0, 1]), np.array([0, 0, 1]), np.array([1, 1, 1])] * 8, {}, "3 numbers a row, each 0 or 1"),
        (pd.array([0, 1, None] * 8, dtype="Int64"), {}, "integers without names. Name them, labels: {0: ..., 1: ...}"),
        ([0.0, 1.0, None] * 8, {}, "0.0, 1.0 alone, which may be classes or amounts"),
        ([datetime.date(2020, 1, 1 + i % 3) for i in range(ROWS)], {}, "shows no type: Value('date32')"),
        (["a", 1, "b"] * 8, {}, "column 'y' mixes types: 'int', 'str'"),
        ([None] * ROWS, {}, "no row of dataset 'data' has a label"),
        (["1,5", "2,5", "3"] * 8, {}, "numbers as texts, such as '1,5'"),
        (["7", "1,250,000", "3"] * 8, {}, "such as '7'. For amounts load them with thousands: ','; for classes list"),
        ([f"id-{i}" for i in range(ROWS)], {}, "24 different labels in 24"),
    ],
)
def test_frames(column, given, expected):
    if isinstance(expected, tuple):
        assert infer_tasks(frame(column), [TaskConfig("y", **given)])[0].labels == expected
        return
    with pytest.raises(ValueError, match=re.escape(expected)) as caught:
        infer_tasks(frame(column), [TaskConfig("y", **given)])
    assert "'y'" in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["Good", "good", "bad"] * 8, "'Good', 'good'"),
        (["caf\u00e9", "cafe\u0301", "bad"] * 8, "differ in case, spaces or form"),
        (["a\u200b", "a", "bad"] * 8, "differ in case, spaces or form"),
        (
            ["10%", "20%", " 55% ", None] * 6,
            "the 3 different texts of dataset 'data', such as '10%', '20%', '55%'",
        ),
        (["12:30", "13:00", "9:15"] * 8, "look like dates or times. For amounts write them as numbers. If classes are"),
        (["a|b", "a", "b"] * 8, "labels such as 'a|b' join others"),
        ([1.0, 2.0, 3.0] * 8, "3 whole numbers (1.0, 2.0, 3.0 ...), which are read as amounts"),
        ([f"id-{i % 9}" for i in range(ROWS)], "9 different labels in 24: fewer than 5 of each"),
    ],
)
def test_what_may_not_be_meant_is_said(labels, words, caplog):
    infer_tasks(frame(labels), [TaskConfig("y")])
    assert words in caplog.text


def test_an_inference_error_names_the_field_that_settles_it():
    with pytest.raises(InferenceError) as caught:
        infer_tasks(frame(["bad", "good", "bad"] * 8), [TaskConfig("y", "sentiment")])
    assert (caught.value.task, caught.value.field) == ("y", "labels")


SINGLE = TaskConfig("y", "sequence-classification", labels=["0", "b", "true"])
NAMED = TaskConfig("y", "sequence-classification", labels={0: "neg", 1: "pos"})
MULTI = TaskConfig("y", "multi-label-classification", labels=["a", "b", "c"])
TAGS = TaskConfig("y", "token-classification", labels=["O", "B-x"])
AMOUNT = TaskConfig("y", "regression")


@pytest.mark.parametrize(
    ("task", "value", "expected"),
    [
        (SINGLE, " b\n", "b"),
        (SINGLE, 0, "0"),
        (SINGLE, 0.0, "0"),
        (SINGLE, True, "true"),
        (SINGLE, "", None),
        (SINGLE, float("nan"), None),
        (SINGLE, "c ", "c "),
        (SINGLE, 7, 7),
        (NAMED, "1", "pos"),
        (NAMED, False, "neg"),
        (NAMED, "neg", "neg"),
        (NAMED, -1, None),
        (NAMED, 2, 2),
        (MULTI, [1, 0, 1], [1.0, 0.0, 1.0]),
        (MULTI, "[1, 0, 1]", [1.0, 0.0, 1.0]),
        (MULTI, "['a ', \"b\"]", ["a", "b"]),
        (MULTI, "", None),
        (MULTI, "a", "a"),
        (MULTI, [1, 0], [1, 0]),
        (TAGS, "O B-x", ["O", "B-x"]),
        (TAGS, '["O", null]', ["O", None]),
        (TAGS, ["O ", None], ["O", None]),
        (AMOUNT, " 2.5 ", 2.5),
        (AMOUNT, Decimal("2.5"), 2.5),
        (NAMED, Decimal("1.00"), "pos"),
        (MULTI, [Decimal(1), Decimal(0), Decimal(1)], [1.0, 0.0, 1.0]),
        (AMOUNT, "", None),
        (AMOUNT, "2,5", "2,5"),
    ],
)
def test_a_cell_is_read_as_meant(task, value, expected):
    found = LabelReader(task, head_class(task), Value("string")).read(value)
    assert found == expected
    assert type(found) is type(expected)


def test_zeros_and_ones_of_a_class_label_that_name_a_label_twice_are_refused():
    reader = LabelReader(MULTI, head_class(MULTI), List(ClassLabel(names=["a", "b", "c"])))
    assert reader.read([0, 1]) == ["a", "b"]
    with pytest.raises(ValueError, match=r"names a label twice\. For one number a label, 0 or 1, cast"):
        reader.read([1, 0, 1])


DECIMALS = [Decimal("1.5"), Decimal("2"), Decimal("1E+29"), None]
#: Numbers at the ends of what is computed with: a column, and words of the error; none where it is taken.
ENDS = {
    "float64": ([1.0, 2.0, 1e300], "row 2, task 'y': label 1e+300 lies beyond 1e+30"),
    "infinite": ([1.0, math.inf, 2.0], "row 1, task 'y': label inf is not a finite number"),
    "float32": (np.array([1, -3e38, 2], dtype=np.float32), "row 1, task 'y': label -3"),
    "float16": (np.array([1, 2, 6e4], dtype=np.float16), None),
    "int64": ([1, 2**62, 3], None),
    "uint64": (np.array([1, 2**64 - 1, 3], dtype=np.uint64), None),
    "texts": (["1", "2", "-1e31"], "row 2, task 'y': label -1e+31 lies beyond"),
    "decimals": (DECIMALS, None),
    "large decimals": ([*DECIMALS, Decimal("1e31")], "row 4, task 'y': label 1"),
    "lists": ([[1.0, 2.0], [1e300, 2.0]], "row 1, task 'y': label 1e+300"),
    "alike": ([1e-300, 2e-300], "its labels differ by less than 1e-30"),
}


@pytest.mark.parametrize("name", ENDS)
def test_numbers_too_large_or_too_alike_to_compute_with_are_refused_by_row(name):
    column, words = ENDS[name]
    data = Dataset.from_pandas(pd.DataFrame({"text": ["a"] * len(column), "y": list(column)}))
    if isinstance(column, np.ndarray):
        data = data.cast_column("y", Value(str(column.dtype)))
    task = TaskConfig("y", "regression", labels=["a", "b"] if name == "lists" else None)

    def learn():
        labelled = LabelledDataset("d", data, [task], {"y": RegressionHead})
        check_rows(labelled)
        learned = RegressionHead.learn(task, (label for _, label in labelled.labels("y")))
        return np.isfinite([learned.target_mean, learned.target_std]).all()

    if words is None:
        assert learn()
        return
    with pytest.raises(ValueError, match=re.escape(words)):
        learn()


@pytest.mark.parametrize("field", ["weight", "class_weights"])
def test_a_weight_too_large_to_compute_with_is_refused(field):
    value = 1e300 if field == "weight" else [1e300, 1.0]
    with pytest.raises(ValueError, match=rf"Task 'y': {field} must .*1e\+30.*found 1e\+300"):
        TaskConfig("y", "sequence-classification", labels=["a", "b"], **{field: value})


def test_a_number_that_is_always_the_same_is_said(caplog):
    tasks = TaskConfig("y", "regression"), TaskConfig("z", "regression", labels=["a", "b"])
    RegressionHead.learn(tasks[0], [5.5, 5.5, 5.5])
    RegressionHead.learn(tasks[1], [[1.0, 2.0], [3.0, 2.0]])
    RegressionHead.learn(tasks[0], [5.5])
    assert [record.getMessage() for record in caplog.records] == [
        "Task 'y': all 3 training labels are 5.5, so there is nothing to learn.",
        "Task 'z', 'b': all 2 training labels are 2, so there is nothing to learn.",
    ]
