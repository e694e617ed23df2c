"""What a look at the data finds, and what it remarks on."""

import re

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from hf_mtl import TaskConfig
from hf_mtl.data import LabelledDataset, check_rows, look_at, remarks_on
from hf_mtl.heads import head_class
from tests.conftest import make_tokenizer

TASKS = [
    TaskConfig("mood", "sentiment", labels=["bad", "good"]),
    TaskConfig("slots", "token-classification", labels=["O", "B-city"]),
    TaskConfig("similarity", "regression"),
]
HEADS = {task.name: head_class(task) for task in TASKS}
TOKENIZER = make_tokenizer()


def looked(max_length=64, name="d", **splits):
    parts = {use: LabelledDataset(name, Dataset.from_dict(rows), TASKS, HEADS) for use, rows in splits.items()}
    return look_at(name, parts, {use: check_rows(part) for use, part in parts.items()}, TOKENIZER, max_length)


def films(count, text="film {}", mood=("bad", "good")):
    letters = [" ".join("abcdefghij"[int(digit)] for digit in str(i)) for i in range(count)]
    return {"text": [text.format(letter) for letter in letters], "mood": [mood[i % len(mood)] for i in range(count)]}


def test_nothing_is_remarked_on_rows_without_fault():
    look = looked(train=films(40), validation=films(20, "song {}"))
    assert remarks_on(look, TASKS) == []
    assert look.splits["train"].unknown == look.splits["validation"].in_train == 0


@pytest.mark.parametrize(
    ("splits", "max_length", "words"),
    [
        ({"train": films(40, "电影 {}")}, 64, "the tokenizer does not know 53% of the tokens. Choose an encoder"),
        ({"train": films(40)}, 3, "100% of the rows have more tokens than a row may"),
        (
            {"train": {key: 2 * values for key, values in films(20).items()}},
            64,
            "20 of 40 rows have the input of an earlier",
        ),
        ({"train": films(40), "test": films(20)}, 64, r"'d \(test\)': 20 of 20 rows have the input of a training row"),
        (
            {"train": {"text": [*films(40)["text"], "film a"], "mood": [*films(40)["mood"], "good"]}},
            64,
            "task 'mood': 2 of 41 rows have the input of another row and another label",
        ),
        (
            {"train": films(40), "test": films(20, "song {}", mood=("bad",))},
            64,
            r"'d \(test\)', task 'mood': 1 of 2 labels have no row, 'good'",
        ),
        (
            {"train": films(40, mood=("bad",) * 39 + ("good",))},
            64,
            "task 'mood': 1 labels have fewer than 5 rows, 'good'",
        ),
        ({"train": films(40, mood=("bad", "good", None, None, None))}, 64, "24 of 40 rows have no label"),
    ],
)
def test_what_is_above_its_bound_is_remarked_on(splits, max_length, words):
    remarks = remarks_on(looked(max_length, **splits), TASKS)
    found = [remark for remark in remarks if remark.startswith("Dataset 'd ")]
    assert found == remarks
    assert re.search(words, " ".join(remarks)), remarks


@given(st.lists(st.sampled_from(["a", "b", "a b", "c", "d e"]), min_size=1, max_size=15), st.data())
def test_duplicates_and_overlap_are_those_of_sets(train, data):
    test = data.draw(st.lists(st.sampled_from(["a", "b", "a b", "c"]), min_size=1, max_size=9))
    rows = {
        use: {"tokens": [text.split() for text in texts], "slots": [["O"] * len(text.split()) for text in texts]}
        for use, texts in (("train", train), ("test", test))
    }
    look = looked(**rows).splits
    assert look["train"].duplicates == len(train) - len(set(train))
    assert look["test"].in_train == sum(text in train for text in test)


def test_pairs_differ_by_either_text():
    rows = {"text": ["a", "a", "a"], "text_pair": ["b", "c", "b"], "similarity": [1.0, 2.0, 3.0]}
    look = looked(train=rows).splits["train"]
    assert (look.duplicates, look.contradicting) == (1, {})
    assert look.lengths.tolist() == [len(TOKENIZER("a", "b")["input_ids"])] * 3


def test_of_many_rows_some_are_tokenised_from_all_over_the_split():
    look = looked(train=films(3000)).splits["train"]
    assert (look.rows, look.sampled, len(look.lengths)) == (3000, 1000, 1000)
    assert set(np.unique(look.lengths)) == {4, 5, 6, 7}


def test_names_may_hold_anything():
    look = looked(name="{0} %s [red]", train=films(40, mood=("bad",) * 39 + ("good",)))
    assert remarks_on(look, TASKS)[0].startswith("Dataset '{0} %s [red] (train)', task 'mood'")
