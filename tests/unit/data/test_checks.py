"""Rows are checked once, by columns where that is enough: the same verdict and counts as row by row."""

from collections import Counter

import pytest
from datasets import ClassLabel, Dataset, List
from hypothesis import given
from hypothesis import strategies as st

from hf_mtl import TaskConfig
from hf_mtl.data import DataError, LabelledDataset, check_rows
from hf_mtl.heads import LabelError, head_class

TASKS = [
    TaskConfig("intent", "sequence-classification", labels=["play", "book"]),
    TaskConfig("slots", "token-classification", labels=["O", "B-city"]),
    TaskConfig("similarity", "regression"),
    TaskConfig("topics", "multi-label-classification", labels=["x", "y", "z"]),
    TaskConfig("mood", "sentiment", labels={0: "bad", 1: "good"}),
    TaskConfig("pick", "multiple-choice"),
]
HEADS = {task.name: head_class(task) for task in TASKS}


def part(data, name="d"):
    return LabelledDataset(name, data if isinstance(data, Dataset) else Dataset.from_dict(data), TASKS, HEADS)


def row_by_row(part):
    """Return for each task how many rows have no label, and its labels; or the first mistake."""
    unlabelled, labels = Counter(), {name: Counter() for name in part.tasks}
    for index in range(len(part)):
        (row,) = part.read([index])
        for name in part.tasks:
            task, head = part.task_config(name), part.heads[name]
            if name not in row.labels:
                unlabelled[name] += 1
                continue
            label = row.labels[name]
            if head.needs_words and len(label) != len(row.text):
                raise part.mistake(index, ": lengths")
            head.reference(task, label)
            if head.takes_labels:
                named = label if isinstance(label, list) else [label]
                if any(isinstance(item, float) for item in named):
                    named = [label for label, flag in zip(task.labels, named, strict=True) if flag]
                labels[name].update(item for item in named if item is not None)
    return unlabelled, labels


VALUES = {
    "intent": st.sampled_from(["play", "book", " book", "", None, "boook"]),
    "similarity": st.sampled_from([0.5, 1.0, None, float("inf")]),
    "mood": st.sampled_from(["0", "1", "good", "2", None]),
    "topics": st.sampled_from([["x"], ["y", "z"], [], None, ["q"]]),
    "slots": st.sampled_from([["O", "B-city"], ["O", None], None, ["O"], ["O", "B-town"]]),
}


@given(st.data(), st.sampled_from(sorted(VALUES)), st.booleans())
def test_columns_give_the_verdict_and_the_counts_of_rows(data, task, moved):
    cells = data.draw(st.lists(VALUES[task], min_size=1, max_size=12))
    rows = Dataset.from_dict({"tokens": [["in", "paris"]] * len(cells), task: cells})
    if any(cell is None for cell in cells) and all(cell is None for cell in cells):
        return
    if moved:
        rows = rows.select(range(len(rows) - 1, -1, -1))
    found = part(rows)
    try:
        unlabelled, labels = row_by_row(found)
    except (DataError, LabelError):
        with pytest.raises(DataError, match=f"Dataset 'd', row .*task '{task}'"):
            check_rows(found)
        return
    counts = check_rows(found)[task]
    assert (counts.rows, counts.unlabelled) == (len(cells), unlabelled[task])
    assert +counts.labels == +labels[task]


def test_class_integers_are_counted_by_their_names():
    data = Dataset.from_dict({"text": ["a"] * 4, "intent": [0, 1, -1, 1]})
    counts = check_rows(part(data.cast_column("intent", ClassLabel(names=["book", "play"]))))["intent"]
    assert (counts.labels, counts.unlabelled, counts.labelled) == ({"book": 1, "play": 2}, 1, 3)
    data = Dataset.from_dict({"tokens": [["a", "b"]] * 2, "slots": [[0, 1], [1, 1]]})
    counts = check_rows(part(data.cast_column("slots", List(ClassLabel(names=["B-city", "O"])))))["slots"]
    assert counts.labels == {"B-city": 1, "O": 3}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"text": ["a", None], "intent": ["play", "book"]}, "row 1: column 'text' is null"),
        ({"tokens": [["a"], ["b", None]], "intent": ["play", "book"]}, "row 1: column 'tokens' holds null in place 1"),
        ({"text": ["a"], "text_pair": [None], "intent": ["play"]}, "row 0: column 'text_pair' is null"),
        ({"text": ["a", "b" * 1_000_001], "intent": ["play"] * 2}, "row 1: a text of 1,000,001 characters"),
        ({"text": ["a", "a"], "choices": [["x", "y"]] * 2, "pick": [0, 2]}, "row 1, task 'pick': label 2"),
        ({"tokens": ["a b", "c"], "slots": ["O O", "O O"]}, "row 1, task 'slots': 2 tags for 1 tokens"),
    ],
)
def test_the_first_mistake_is_named(data, words):
    with pytest.raises(DataError) as caught:
        check_rows(part(data))
    assert str(caught.value).startswith(f"Dataset 'd', {words}")


@pytest.mark.parametrize("how", ["shuffle", "select", "split", "filter", "reverse"])
def test_rows_are_named_by_their_number_where_they_come_from(how):
    labels = ["play"] * 19 + ["wrong"]
    rows = Dataset.from_dict({"text": [f"text {i}" for i in range(20)], "intent": labels})
    rows = {
        "shuffle": lambda: rows.shuffle(seed=4),
        "select": lambda: rows.select([3, 19, 4]),
        "split": lambda: rows.train_test_split(5, seed=2),
        "filter": lambda: rows.filter(lambda row: row["text"] not in ("text 0", "text 5"), load_from_cache_file=False),
        "reverse": lambda: rows.select(range(19, -1, -1)),
    }[how]()
    parts = rows.values() if isinstance(rows, dict) else [rows]
    (bad,) = (some for some in parts if "wrong" in some["intent"])
    with pytest.raises(
        DataError, match=r"Dataset 'd', row 19 \(number \d+ of those selected\), task 'intent'"
    ) as caught:
        check_rows(part(bad))
    assert caught.value.row == 19
