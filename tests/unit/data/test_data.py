import pandas as pd
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, List, Value

from hf_mtl import TaskConfig
from hf_mtl.data import (
    DatasetMixture,
    DrawnBatch,
    LabelledDataset,
    MixtureBatchSampler,
    MultiTaskCollator,
    as_datasets,
    longest_input,
)
from hf_mtl.heads import head_class
from hf_mtl.samplers import UniformSampler
from tests.encoders import tiny_config

TASKS = [
    TaskConfig("intent", "sequence-classification", labels=["play", "book"]),
    TaskConfig("slots", "token-classification", labels=["O", "B-city", "I-city"]),
    TaskConfig("mood", "sentiment", labels=["bad", "good"]),
    TaskConfig("similarity", "regression"),
    TaskConfig("topics", "sequence-classification", labels=["x", "y", "z"], problem_type="multi_label_classification"),
]
HEADS = {task.name: head_class(task) for task in TASKS}


def columns(data, name="d"):
    return LabelledDataset(name, data, TASKS, HEADS)


@pytest.fixture
def collator(tokenizer):
    return MultiTaskCollator(tokenizer, TASKS, HEADS, max_length=16)


def batch_of(collator, data):
    part = columns(Dataset.from_dict(data) if isinstance(data, dict) else data)
    return collator(part.read(range(len(part))))


# Sources


def test_every_form_of_input_becomes_named_datasets():
    data = Dataset.from_dict({"text": ["a"]})
    frame = pd.DataFrame({"text": ["a"]})
    assert list(as_datasets(data, "train")) == ["data"]
    assert as_datasets(frame, "train")["data"].column_names == ["text"]
    assert list(as_datasets({"one": data, "two": frame}, "train")) == ["one", "two"]
    assert as_datasets(DatasetDict(train=data), "train")["data"] is data
    assert as_datasets({"one": DatasetDict(train=data, dev=data)}, "validation")["one"] is data
    assert as_datasets(None, "train") == {}


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        ({"one": [1]}, TypeError, "Dataset 'one': expected a datasets.Dataset"),
        (DatasetDict(train=Dataset.from_dict({"text": ["a"]})), ValueError, "no split 'validation'"),
        ({"one": Dataset.from_dict({"text": []})}, ValueError, "Dataset 'one': the validation data has no rows"),
    ],
)
def test_wrong_sources_are_named(data, error, words):
    with pytest.raises(error, match=words):
        as_datasets(data, "validation")


# Columns


def test_class_label_integers_are_mapped_through_their_names(collator):
    data = Dataset.from_dict({"text": ["a", "b", "c"], "intent": [0, 1, 1]})
    other_order = data.cast_column("intent", ClassLabel(names=["book", "play"]))
    model_order = data.cast_column("intent", ClassLabel(names=["play", "book"]))
    assert batch_of(collator, other_order)["labels"]["intent"].tolist() == [1, 0, 0]
    assert batch_of(collator, model_order)["labels"]["intent"].tolist() == [0, 1, 1]


def test_tag_integers_are_mapped_through_their_names(collator):
    data = Dataset.from_dict({"tokens": [["paris", "b"]], "slots": [[1, 0]]})
    data = data.cast_column("slots", List(ClassLabel(names=["O", "B-city"])))
    assert batch_of(collator, data)["labels"]["slots"][0, 1:3].tolist() == [1, 0]


def test_null_labels_train_nothing(collator):
    batch = batch_of(collator, {"text": ["a", "b", "c"], "intent": ["play", None, "book"]})
    assert batch["rows"]["intent"].tolist() == [0, 2]
    assert batch["labels"]["intent"].tolist() == [0, 1]


def test_class_label_minus_one_is_a_null_label(collator):
    data = Dataset.from_dict({"text": ["a", "b"], "intent": [-1, 0]})
    data = data.cast_column("intent", ClassLabel(names=["play", "book"]))
    assert batch_of(collator, data)["rows"]["intent"].tolist() == [1]


def test_one_row_labels_several_tasks(collator):
    batch = batch_of(collator, {"tokens": [["in", "paris"]], "intent": ["play"], "slots": [["O", "B-city"]]})
    assert batch["labels"]["intent"].tolist() == [0]
    assert batch["labels"]["slots"].tolist() == [[-100, 0, 1, -100]]


def test_words_are_read_where_a_tagging_task_needs_them():
    data = Dataset.from_dict({"text": ["in paris"], "tokens": [["in", "paris"]], "slots": [["O", "B-city"]]})
    assert columns(data).inputs == ["tokens"]
    plain = data.rename_column("slots", "x").add_column("intent", ["play"])
    assert columns(plain).inputs == ["text"]


def test_the_callers_dataset_is_left_as_it_was():
    data = Dataset.from_dict({"text": ["a"], "intent": ["play"], "other": [1]}).with_format("torch")
    columns(data).read([0])
    assert data.column_names == ["text", "intent", "other"]
    assert data.format["type"] == "torch"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"text": ["a"], "label": ["play"]}, "no column is named after a task.*rename_column\\('label'"),
        ({"sentence": ["a"], "intent": ["play"]}, "no input column"),
        ({"text": [3], "intent": ["play"]}, "column 'text' must hold strings"),
        ({"tokens": [3], "slots": [["O"]]}, "column 'tokens' must hold a list of strings"),
        ({"text": ["in paris"], "slots": [["O", "O"]]}, "task 'slots': token classification needs a column 'tokens'"),
    ],
)
def test_datasets_that_do_not_fit_are_named(data, words):
    with pytest.raises(ValueError, match=f"Dataset 'd'.*{words}"):
        columns(Dataset.from_dict(data))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"text": ["a", None], "intent": ["play", "play"]}, "row 1: column 'text' is null"),
        ({"tokens": [["a", None]], "slots": [["O", "O"]]}, "row 0: column 'tokens' holds null in place 1 of its list"),
        ({"text": ["a", "b"], "intent": ["play", "boook"]}, "row 1, task 'intent': label 'boook'.*mean 'book'"),
        ({"text": ["a", "b"], "intent": [0, 1]}, "row 0, task 'intent': label 0.*ClassLabel"),
        ({"tokens": [["a", "b"]], "slots": [["O"]]}, "row 0, task 'slots': 1 tags for 2 tokens"),
        ({"tokens": [["a"]], "slots": [["B-town"]]}, "row 0, task 'slots': label 'B-town'"),
        ({"text": ["a"], "similarity": ["high"]}, "row 0, task 'similarity': label 'high' is not a finite number"),
        ({"text": ["a"], "similarity": [float("nan")]}, "row 0, task 'similarity': label nan"),
        ({"text": ["a", "b"], "similarity": [1.0, -1e300]}, r"row 1, task 'similarity': label -1e\+300 lies beyond 1e"),
        ({"text": ["a"], "similarity": ["1" + 400 * "0"]}, "row 0, task 'similarity': label '1000"),
        ({"text": ["a"], "topics": ["x"]}, "row 0, task 'topics': found 'x'. A multi-label task needs a list"),
        ({"text": ["a"], "topics": [["q"]]}, "row 0, task 'topics': label 'q'"),
    ],
)
def test_bad_rows_name_dataset_row_and_task(collator, data, words):
    with pytest.raises(ValueError, match=f"Dataset 'd', {words}"):
        batch_of(collator, data)


# Collator


def test_mixed_kinds_of_rows_become_one_padded_batch(collator, tokenizer):
    parts = [
        columns(Dataset.from_dict({"tokens": [["in", "paris"]], "slots": [["O", "B-city"]]}), "words"),
        columns(Dataset.from_dict({"text": ["good film !"], "mood": ["good"]}), "texts"),
        columns(Dataset.from_dict({"text": ["a b"], "text_pair": ["c"], "similarity": [2.5]}), "pairs"),
    ]
    batch = collator(DatasetMixture(parts).__getitems__([2, 0, 1]))
    for i, expected in enumerate(
        [tokenizer("a b", "c"), tokenizer(["in", "paris"], is_split_into_words=True), tokenizer("good film !")]
    ):
        length = len(expected["input_ids"])
        assert batch["input_ids"][i, :length].tolist() == expected["input_ids"]
        assert batch["token_type_ids"][i, :length].tolist() == expected["token_type_ids"]
        assert batch["attention_mask"][i].sum() == length
        assert set(batch["input_ids"][i, length:].tolist()) <= {tokenizer.pad_token_id}
    assert {name: rows.tolist() for name, rows in batch["rows"].items()} == {
        "slots": [1],
        "mood": [2],
        "similarity": [0],
    }


def test_rows_are_padded_on_the_right_whatever_the_tokenizer_says(collator, tokenizer):
    rows = columns(
        Dataset.from_dict(
            {"tokens": [["in", "paris"], ["the", "good", "film", "!"]], "slots": [["O", "B-city"], ["O"] * 4]}
        )
    ).read([0, 1])
    collator.tokenizer.padding_side, before = "left", collator.tokenizer.padding_side
    try:
        batch = collator(rows)
    finally:
        collator.tokenizer.padding_side = before
    assert batch["attention_mask"][0].tolist() == [1, 1, 1, 1, 0, 0]
    assert batch["labels"]["slots"][0].tolist() == [-100, 0, 1, -100, -100, -100]


def test_words_without_a_token_and_truncated_words_train_nothing(collator):
    words = ["\ufffd", "paris", *["in"] * 30]
    batch = batch_of(collator, {"tokens": [words], "slots": [["B-city", "B-city", *["O"] * 30]]})
    labels = batch["labels"]["slots"][0]
    assert batch["input_ids"].shape == (1, 16)
    # [CLS] paris in in ... [SEP]: the lone U+FFFD left no token behind.
    assert labels[:3].tolist() == [-100, 1, 0]
    assert labels.ne(-100).sum() == 14


def test_further_sub_words_train_only_if_asked(tokenizer):
    tasks = [
        TaskConfig("slots", "token-classification", labels=["O", "B-x", "I-x"], options={"label_all_tokens": True})
    ]
    heads = {"slots": head_class(tasks[0])}
    data = Dataset.from_dict({"tokens": [["xyz", "in"]], "slots": [["B-x", "O"]]})
    every = MultiTaskCollator(tokenizer, tasks, heads)(LabelledDataset("d", data, tasks, heads).read([0]))
    assert every["labels"]["slots"].tolist() == [[-100, 1, 2, 2, 0, -100]]


def test_empty_texts_and_empty_rows_of_words_are_rows_like_others(collator):
    batch = batch_of(collator, {"tokens": [[], ["in"]], "slots": [[], ["O"]]})
    assert batch["attention_mask"].sum(1).tolist() == [2, 3]
    assert batch["labels"]["slots"][0].tolist() == [-100, -100, -100]
    assert batch_of(collator, {"text": [""], "intent": ["play"]})["labels"]["intent"].tolist() == [0]


def test_null_tags_inside_a_row_train_nothing(collator):
    batch = batch_of(collator, {"tokens": [["in", "paris"]], "slots": [[None, "B-city"]]})
    assert batch["labels"]["slots"].tolist() == [[-100, -100, 1, -100]]


def test_multi_label_rows_are_lists_of_names_or_multi_hot(collator):
    batch = batch_of(collator, {"text": ["a", "b"], "topics": [["z", "x"], []]})
    assert batch["labels"]["topics"].tolist() == [[1, 0, 1], [0, 0, 0]]
    data = Dataset.from_dict({"text": ["a"], "topics": [[0.0, 1.0, 0.0]]})
    assert batch_of(collator, data)["labels"]["topics"].tolist() == [[0, 1, 0]]


def test_length_is_rounded_up_to_the_multiple(tokenizer):
    collator = MultiTaskCollator(tokenizer, TASKS, HEADS, pad_to_multiple_of=8)
    assert batch_of(collator, {"text": ["a b c"], "intent": ["play"]})["input_ids"].shape == (1, 8)


def test_longest_input_leaves_room_for_robertas_padding_offset(tokenizer):
    assert longest_input(tokenizer, tiny_config("bert", max_position_embeddings=40)) == 40
    assert longest_input(tokenizer, tiny_config("roberta", pad_token_id=1, max_position_embeddings=42)) == 40
    assert longest_input(tokenizer, tiny_config("bert")) == tokenizer.model_max_length


def test_slow_tokenizer_and_missing_padding_token_are_refused(tokenizer):
    class Slow:
        is_fast = False

    with pytest.raises(ValueError, match="not a fast tokenizer"):
        MultiTaskCollator(Slow(), TASKS, HEADS)


def test_filler_rows_carry_no_labels():
    mixture = DatasetMixture([columns(Dataset.from_dict({"text": ["a", "b"], "intent": ["play", "book"]}))])
    filler, row = mixture.__getitems__([-2, 1])
    assert (filler.text, filler.labels) == ("b", {})
    assert row.labels == {"intent": "book"}


def test_float_columns_keep_their_precision(collator):
    data = Dataset.from_dict({"text": ["a"], "similarity": [2.3]}).cast_column("similarity", Value("float64"))
    assert batch_of(collator, data)["labels"]["similarity"].tolist() == [2.3]
    assert batch_of(collator, data)["labels"]["similarity"].dtype == torch.float64


@pytest.mark.parametrize("batching", ["mixed", "homogeneous"])
def test_dataset_row_and_pass_name_every_draw_once(batching):
    sizes = {"a": 5, "b": 3}
    sampler = MixtureBatchSampler(sizes, UniformSampler(), 4, seed=3, batching=batching)
    drawn = [
        (row, number)
        for epoch in range(3)
        for step in range(len(sampler))
        for row, number in zip(*(lambda b: (b, b.passes))(sampler.batch(epoch, step)), strict=True)
    ]
    assert len(set(drawn)) == len(drawn)
    # The smaller dataset is gone through more often under even shares; passes have no gaps.
    for rows in (range(5), range(5, 8)):
        passes = sorted({number for row, number in drawn if row in rows})
        assert passes == list(range(len(passes)))


def test_rows_read_for_training_know_their_pass():
    mixture = DatasetMixture([columns(Dataset.from_dict({"text": ["a", "b", "c"], "mood": ["bad", "good", "bad"]}))])
    assert [row.drawn for row in mixture.__getitems__(DrawnBatch([2, -3, 0], [4, 0, 5]))] == [4, None, 5]
    assert [row.drawn for row in mixture.__getitems__([2, 0])] == [None, None]


@pytest.mark.parametrize("name", ["validation", "dev", "val", "valid"])
def test_a_validation_split_has_any_of_its_usual_names(name):
    split = Dataset.from_dict({"text": ["good"]})
    assert as_datasets(DatasetDict({"train": split, name: split}), "validation")["data"] is split
