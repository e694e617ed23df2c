"""Mixup: its loss beside a loop written by hand, what is drawn by the row alone, and what is refused."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Dataset

from hf_mtl import MultiTaskModel, MultiTaskTrainer, TaskConfig
from hf_mtl.data import LabelledDataset, MultiTaskCollator
from hf_mtl.encoder import PaddedStates
from hf_mtl.training_methods import TrainingStart, make_methods
from tests.conftest import make_tokenizer
from tests.encoders import tiny_encoder
from tests.ranks import arguments
from tests.trainers import TASKS, make_data
from tests.training_methods import gradients, micro_batch

TASKS_OF_TEXTS = [
    TaskConfig("topic", "sequence-classification", labels=["a", "b", "c"], class_weights=[1.0, 2.0, 0.5]),
    TaskConfig("mood", "sentiment", labels=["bad", "so", "good"], options={"loss": "ordinal"}),
    TaskConfig("themes", "multi-label-classification", labels=["x", "y"], pooling="mean"),
    TaskConfig("value", "regression", target_mean=1.0, target_std=2.0, pooling="attention", layers=1),
    TaskConfig("again", "sequence-classification", labels=["a", "b", "c"], tied_to="topic", class_weights=[1, 2, 0.5]),
]
ROWS = {
    "text": ["a good film", "bad", "the book in rome", "play a song"],
    "topic": ["a", "b", None, "c"],
    "mood": ["good", "bad", "so", "bad"],
    "themes": [["x"], [], ["x", "y"], ["y"]],
    "value": [1.0, 5.0, -2.0, 0.5],
    "again": ["c", "b", "a", "a"],
}


def started(model, rows=ROWS, alpha=0.7):
    heads = {name: type(head) for name, head in model.task_heads.items()}
    part = LabelledDataset("rows", Dataset.from_dict(rows), model.tasks, heads)
    start = TrainingStart(model.task_heads, {"rows": part}, make_tokenizer(), None, 32, torch.device("cpu"), 10)
    method = make_methods({"mixup": {"alpha": alpha}})["mixup"]
    method.check("mixup", model.task_heads)
    return method.begin(start), part


def model_of_texts(family="bert", unpad="auto"):
    torch.manual_seed(1)
    model = MultiTaskModel.from_encoder(tiny_encoder(family), TASKS_OF_TEXTS, unpad=unpad)
    for parameter in model.heads.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.double().eval()


def batch_of(model, part, numbers, tasks=None):
    """Return a micro-batch of rows of a dataset."""
    names = [task.name for task in model.tasks if tasks is None or task.name in tasks]
    heads = {name: type(model.task_heads[name]) for name in names}
    collator = MultiTaskCollator(make_tokenizer(), [model.config.task(name) for name in names], heads, 32)
    found = collator(part.read(numbers))
    labels, rows = found.pop("labels"), found.pop("rows")
    items = {name: torch.tensor(4.0).double() for name in labels}
    inputs = {**found, "labels": labels, "rows": rows, "num_items": items}
    inputs["loss_weights"] = {name: torch.tensor(1.0) for name in labels}
    base = micro_batch(MultiTaskModel.from_encoder(tiny_encoder(), TASKS[:1]), tasks=[])
    return replace(
        base,
        model=model,
        heads={name: model.task_heads[name] for name in labels},
        first=model(**inputs, return_judged=True),
        weights=dict.fromkeys(labels, 1.0),
        num_items=items,
        inputs=inputs,
        forward=lambda given: model(**given),
    )


def by_hand(model, part, number, name, alpha=0.7, step=3, seed=7):
    """Return what a row adds, from single passes over single texts."""
    tokenizer, head = make_tokenizer(), model.task_heads[name]

    def vector(text):
        encoded = tokenizer(text, return_tensors="pt")
        states, layers, _ = model.encode(
            {"input_ids": encoded["input_ids"]}, encoded["attention_mask"], head.reads_layers, model.encoder
        )
        read = head.read(states, layers)
        return encoded["input_ids"], (read.first() if head.pooling is None else head.pooling(read))

    row = part.read([number])[0]
    ids, own = vector(row.text)
    key = f"mixup/{seed}/{step}/{name}/".encode() + ids.numpy().astype(np.int64).tobytes()
    rng = np.random.default_rng(int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "big"))
    factor, other = rng.beta(alpha, alpha), part.read([int(rng.integers(len(part)))])[0]
    if name not in other.labels:
        return 0.0

    def loss(vector, value):
        labels = type(head).encode_labels(head.task, [value], [None])
        return head.loss_sum(head(PaddedStates(vector, torch.ones(1, 1, dtype=torch.long))), labels)

    mixed = factor * own + (1 - factor) * vector(other.text)[1]
    label = row.labels[name]
    parts = factor * loss(mixed, label) + (1 - factor) * loss(mixed, other.labels[name]) - loss(own, label)
    return float(parts.detach()) / 4


@pytest.mark.parametrize("unpad", [True, False])
def test_losses_are_those_of_a_loop_over_single_texts(unpad):
    model = model_of_texts(unpad=unpad)
    method, part = started(model)
    added = method.added_losses(batch_of(model, part, [0, 1, 2, 3]))
    assert set(added) == set(model.task_heads)
    for name, value in added.items():
        labelled = [i for i in range(4) if ROWS[name][i] is not None]
        expected = sum(by_hand(model, part, i, name) for i in labelled)
        assert float(value.detach()) == pytest.approx(expected, rel=1e-5, abs=1e-7), name
    assert not any(head.classifier._forward_pre_hooks for head in model.task_heads.values())


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert", "gpt2", "deberta-v2", "t5"])
def test_losses_of_a_batch_are_the_sums_over_its_rows(family):
    model = model_of_texts(family)
    method, part = started(model)
    whole = method.added_losses(batch_of(model, part, [0, 1, 2, 3]))
    single = [method.added_losses(batch_of(model, part, [i])) for i in range(4)]
    for name, value in whole.items():
        total = sum(found[name] for found in single if name in found)
        torch.testing.assert_close(total, value, rtol=1e-6, atol=1e-9)
        assert value != 0


@pytest.mark.parametrize("family", ["bert", "modernbert", "gpt2"])
def test_a_text_mixed_with_itself_adds_nothing(family):
    model = model_of_texts(family)
    rows = {name: values[:1] for name, values in ROWS.items()}
    method, part = started(model, rows)
    for name, value in method.added_losses(batch_of(model, part, [0])).items():
        assert float(value.detach()) == pytest.approx(0.0, abs=1e-6), name


def test_draws_depend_on_seed_step_and_row(tmp_path):
    def first(**kwargs):
        return gradients(tmp_path, 32, 1, methods={"mixup": {}}, max_steps=1, data_seed=1, **kwargs)[0]

    one, two, other = first(seed=1), first(seed=1), first(seed=2)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_tasks_without_a_vector_of_a_text_learn_as_without_it_or_are_refused_by_name(tmp_path):
    plain = gradients(tmp_path, 32, 1, max_steps=1)[0]
    found = gradients(tmp_path, 32, 1, max_steps=1, methods={"mixup": {"alpha": 1.0}})[0]
    changed = {k.split(".")[1] for k in plain if k.startswith("heads.") and not torch.equal(found[k], plain[k])}
    assert changed == {"intent", "mood", "similarity"}
    slots = TaskConfig("slots", "token-classification", labels=["O", "B-city", "I-city"])
    data = {"snips": make_data()["snips"].remove_columns("intent")}
    for tasks, given, words in (
        (TASKS, {"tasks": ["slots"]}, "'mixup', task 'slots': tasks of the type 'token-classification'"),
        ([slots], {}, "'mixup' is for tasks that answer once a text, and there is none among 'slots'"),
        (TASKS, {"alpha": -1}, "alpha must be"),
        (TASKS, {"tasks": ["moods"]}, "Did you mean 'mood'"),
    ):
        model = MultiTaskModel.from_encoder(tiny_encoder(), tasks)
        args = {"methods": {"mixup": given}}
        rows = data if tasks == [slots] else make_data()
        with pytest.raises(ValueError, match=words):
            MultiTaskTrainer(model, arguments(tmp_path, **args), rows, None, make_tokenizer())
