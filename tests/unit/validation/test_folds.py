"""Folds: every row in one, no text in two, and labels spread evenly."""

from dataclasses import replace

import numpy as np
import pytest
from datasets import Dataset, Image
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, KFold, LeaveOneOut, ShuffleSplit, StratifiedKFold, TimeSeriesSplit

from hf_mtl import TaskConfig
from hf_mtl.validation import IterativeStratifiedKFold, make_folds, normalised
from tests.image_encoders import colours, squares
from tests.trainers import TASKS, make_data

MOOD = TaskConfig("mood", "sentiment", labels=["bad", "good"])
SLOTS = TaskConfig("slots", "token-classification", labels=["O", "B-city", "I-city"])
TOPICS = TaskConfig("topics", "multi-label-classification", labels=["a", "b", "c"])
SCORE = TaskConfig("score", "regression")

texts = st.sampled_from(
    ["Good film", "good  FILM", "goodfilm", "bad", "Bad ", "a b", "\uff41b", "straße", "STRASSE", ""]
)


@st.composite
def some_datasets(draw):
    """Three datasets that share texts, as words, as texts and in pairs."""
    tagged = draw(st.lists(texts, min_size=2, max_size=12))
    paired = draw(st.lists(st.tuples(texts, texts), min_size=2, max_size=12))
    alone = [*draw(st.lists(texts, max_size=6)), *(f"only {i}" for i in range(8))]
    words = [text.split() for text in tagged]
    return {
        "tagged": Dataset.from_dict(
            {
                "tokens": [*words, ["x1"], ["x2"], ["x3"], ["x4"]],
                "slots": [*([draw(st.sampled_from(["O", "B-city", None])) for _ in w] for w in words), *[["O"]] * 4],
            }
        ),
        "paired": Dataset.from_dict(
            {
                "text": [*(a for a, _ in paired), "p1", "p2", "p3", "p4"],
                "text_pair": [*(b for _, b in paired), "q1", "q2", "q3", "q4"],
                "score": [draw(st.sampled_from([None, 0.5, 3.0])) for _ in range(len(paired) + 4)],
                "topics": [draw(st.lists(st.sampled_from("abc"), unique=True)) for _ in range(len(paired) + 4)],
            }
        ),
        "alone": Dataset.from_dict(
            {
                "text": alone,
                "mood": draw(
                    st.lists(st.sampled_from(["good", None, "bad"]), min_size=len(alone), max_size=len(alone))
                ),
            }
        ),
    }


def texts_of(row):
    if "tokens" in row:
        return ["".join(row["tokens"])]
    return [row["text"], *([row["text_pair"]] if "text_pair" in row else [])]


@given(some_datasets(), st.integers(2, 4), st.integers(0, 3))
def test_no_text_lies_in_two_folds_and_each_row_in_one(data, folds, seed):
    found = make_folds(data, [MOOD, SLOTS, TOPICS, SCORE], folds, seed=seed)
    pairs_are_whole, places = {}, {}
    for name, rows in data.items():
        assert found[name].shape == (len(rows),)
        assert set(found[name].tolist()) <= set(range(folds))
        for row, fold in zip(rows, found[name].tolist(), strict=True):
            own = [normalised(text) for text in texts_of(row)]
            places.setdefault(tuple(sorted(own)), set()).add(fold)
            for text in own:
                pairs_are_whole.setdefault(text, set()).add(fold)
    assert all(len(where) == 1 for where in places.values())
    # A text of a pair may lie in two folds only where pairs hang together to more than a fold.
    if any(len(where) > 1 for where in pairs_are_whole.values()):
        alone = [text for name in ("tagged", "alone") for row in data[name] for text in texts_of(row)]
        assert all(len(places[(normalised(text),)]) == 1 for text in alone)
    again = make_folds(data, [MOOD, SLOTS, TOPICS, SCORE], folds, seed=seed)
    assert all((again[name] == found[name]).all() for name in found)


def test_a_text_and_its_words_are_the_same_in_any_writing():
    data = {
        "a": Dataset.from_dict({"text": ["Paris is nice.", "b", "c", "d"], "mood": ["good", "bad"] * 2}),
        "b": Dataset.from_dict(
            {"tokens": [["PARIS", "is", "nice", "."], ["e"], ["f"]], "slots": [["B-city", "O", "O", "O"], ["O"], ["O"]]}
        ),
    }
    for seed in range(5):
        found = make_folds(data, [MOOD, SLOTS], 3, seed=seed)
        assert found["a"][0] == found["b"][0]


def test_texts_of_pairs_hold_rows_together_unless_all_would_hang_together():
    pairs = [(f"a{i}", f"b{i}") for i in range(10)] + [("a0", "c"), ("d", "b0")]
    rows = Dataset.from_dict({"text": [a for a, _ in pairs], "text_pair": [b for _, b in pairs], "score": [1.0] * 12})
    found = make_folds({"x": rows}, [SCORE], 3)["x"]
    assert found[0] == found[10] == found[11]
    chain = Dataset.from_dict(
        {"text": [f"t{i}" for i in range(12)], "text_pair": [f"t{i + 1}" for i in range(12)], "score": [1.0] * 12}
    )
    found = make_folds({"x": chain}, [SCORE], 3)["x"]
    assert sorted(np.bincount(found)) == [4, 4, 4]


@pytest.mark.parametrize("task", ["single", "imbalanced", "numbers"])
def test_labels_and_numbers_are_spread_evenly(task):
    generator = np.random.default_rng(0)
    if task == "numbers":
        values = generator.exponential(size=200).tolist()
        folds = make_folds(
            {"x": Dataset.from_dict({"text": [f"t{i}" for i in range(200)], "score": values})}, [SCORE], 5
        )["x"]
        means = [np.mean([v for v, f in zip(values, folds, strict=True) if f == k]) for k in range(5)]
        assert max(means) - min(means) < 0.35
        return
    labels = ["good"] * (190 if task == "imbalanced" else 100) + ["bad"] * (10 if task == "imbalanced" else 100)
    folds = make_folds({"x": Dataset.from_dict({"text": [f"t{i}" for i in range(200)], "mood": labels})}, [MOOD], 5)[
        "x"
    ]
    for label in set(labels):
        counts = np.bincount([f for f, own in zip(folds, labels, strict=True) if own == label], minlength=5)
        assert counts.max() - counts.min() <= 1


def test_many_labels_and_entity_types_are_spread_evenly_at_once():
    generator = np.random.default_rng(1)
    flags = generator.random((300, 3)) < [0.5, 0.1, 0.02]
    slots = [["B-city" if generator.random() < 0.1 else "O"] for _ in range(300)]
    rows = Dataset.from_dict(
        {
            "tokens": [[f"w{i}"] for i in range(300)],
            "topics": [[t for t, is_set in zip("abc", own, strict=True) if is_set] for own in flags],
            "slots": slots,
        }
    )
    folds = make_folds({"x": rows}, [TOPICS, SLOTS], 5)["x"]
    counts = np.array([flags[folds == k].sum(0) for k in range(5)])
    assert (counts.max(0) - counts.min(0) <= 1).all()
    cities = [sum(slots[i] == ["B-city"] for i in np.flatnonzero(folds == k)) for k in range(5)]
    assert max(cities) - min(cities) <= 1
    assert np.bincount(folds).max() - np.bincount(folds).min() <= 6


@given(st.integers(2, 5), st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=5, max_size=40))
def test_iterative_stratification_deals_out_each_unit_once(folds, counts):
    splits = list(IterativeStratifiedKFold(folds).split(np.ones(len(counts), int), np.array(counts)))
    tested = np.concatenate([test for _, test in splits])
    assert sorted(tested.tolist()) == list(range(len(counts)))
    assert all(sorted([*train.tolist(), *test.tolist()]) == list(range(len(counts))) for train, test in splits)


def test_groups_stay_together_across_datasets():
    data = make_data()
    data["snips"] = data["snips"].add_column("author", [i // 3 for i in range(24)])
    data["sst"] = data["sst"].add_column("author", [*range(15), None])
    found = make_folds(data, TASKS, 3, group_by="author")
    folds = {}
    for name in ("snips", "sst"):
        for author, fold in zip(data[name]["author"], found[name].tolist(), strict=True):
            if author is not None:
                folds.setdefault(author, set()).add(fold)
    assert all(len(own) == 1 for own in folds.values())
    with pytest.raises(ValueError, match=r"no dataset has a column 'autor'. Did you mean 'author'"):
        make_folds(data, TASKS, 3, group_by="autor")


@pytest.mark.parametrize(
    "splitter",
    [KFold(3), KFold(3, shuffle=True, random_state=1), StratifiedKFold(3), GroupKFold(3), LeaveOneOut()],
    ids=repr,
)
def test_splitters_of_scikit_learn_are_taken_as_they_are(splitter):
    rows = Dataset.from_dict({"text": ["a", "b", "c", "A", "d", "e", "f"], "mood": ["good", "bad"] * 3 + ["good"]})
    found = make_folds({"x": rows}, [MOOD], splitter)["x"]
    assert found[0] == found[3]
    assert len(set(found.tolist())) == (6 if isinstance(splitter, LeaveOneOut) else 3)


@pytest.mark.parametrize("splitter", [ShuffleSplit(3), TimeSeriesSplit(3)], ids=repr)
def test_a_splitter_that_does_not_score_each_row_once_is_refused(splitter):
    rows = Dataset.from_dict({"text": list("abcdefgh"), "mood": ["good", "bad"] * 4})
    with pytest.raises(ValueError, match="each must be scored once"):
        make_folds({"x": rows}, [MOOD], splitter)


@pytest.mark.parametrize(
    ("texts", "folds", "message"),
    [
        (["a", "A", "b"], 3, "there are 2. Ask for fewer"),
        (["a", "b"], 1, "at least 2"),
        (["a", "b"], "five", "a number, or a splitter"),
        (["a", "b"], KFold(5), "cannot split 2 texts"),
    ],
)
def test_folds_that_cannot_be_are_refused(texts, folds, message):
    rows = Dataset.from_dict({"text": texts, "mood": ["good"] * len(texts)})
    with pytest.raises((ValueError, TypeError), match=message):
        make_folds({"x": rows}, [MOOD], folds)


def test_a_dataset_whose_rows_all_lie_in_one_fold_is_refused():
    data = {
        "one": Dataset.from_dict({"text": ["same", "Same"], "mood": ["good", "bad"]}),
        "many": Dataset.from_dict({"text": list("abcdef"), "mood": ["good", "bad"] * 3}),
    }
    with pytest.raises(ValueError, match="'one': all its 2 rows lie in one fold"):
        make_folds(data, [MOOD], 3)


def test_pictures_without_objects_are_in_every_fold():
    shapes = TaskConfig("shapes", "object-detection", labels=["red", "blue"])
    rows = squares(15)
    found = make_folds({"photos": rows}, [shapes], 3)["photos"]
    empty = [not row["bbox"] for row in rows["shapes"]]
    assert sorted(found[empty].tolist()) == [0, 1, 2]


@pytest.mark.parametrize("form", ["decoded", "bytes", "paths"])
def test_rows_with_the_same_picture_lie_in_one_fold(form, tmp_path):
    colour = TaskConfig("colour", "image-classification", labels=["red", "green", "blue"])
    rows = colours(12).cast_column("image", Image(decode=False))
    twice = rows.select([*range(12), *range(12)])
    if form == "decoded":
        twice = twice.cast_column("image", Image())
    if form == "paths":
        names = [tmp_path / f"{number}.png" for number in range(24)]
        for name, row in zip(names, twice, strict=True):
            name.write_bytes(row["image"]["bytes"])
        twice = Dataset.from_dict({"image": [str(name) for name in names], "colour": twice["colour"]})
        colour = replace(colour, label_values={"0": "red", "1": "green", "2": "blue"})
    found = make_folds({"photos": twice}, [colour], 3)["photos"]
    assert (found[:12] == found[12:]).all()
    assert set(found.tolist()) == {0, 1, 2}
