"""Means of several models: matched by name, refused where weights would mean different things, greedy by score."""

import copy
import dataclasses
import math
import random

import pytest
import torch

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.surgery import (
    average_models,
    change_labels,
    drop_head,
    greedy_soup,
    interpolate_encoder,
    rename_head,
    reorder_heads,
)
from hf_mtl.trainer import with_temperature
from tests.encoders import tiny_encoder

INPUTS = {
    "input_ids": torch.tensor([[2, 7, 9, 3], [2, 5, 3, 0]]),
    "attention_mask": torch.tensor([[1] * 4, [1, 1, 1, 0]]),
}
TASKS = [
    TaskConfig("intent", "sequence-classification", labels=["play", "book", "none"], branch="sentences"),
    TaskConfig("slots", "crf-tagging", labels=["O", "B-city", "I-city"]),
    TaskConfig("places", "crf-tagging", labels=["O", "B-city", "I-city"], tied_to="slots"),
    TaskConfig("genres", "multi-label-classification", labels=["jazz", "rock", "folk"], thresholds=[0.2, 0.4, 0.6]),
    TaskConfig("mood", "regression", labels=["joy", "anger"], target_mean=[1.0, 2.0], target_std=[1.0, 3.0]),
    TaskConfig("stars", "regression", target_mean=2.0, target_std=1.0),
]


def make_model(seed=0, tasks=TASKS, branches=None, **kwargs):
    torch.manual_seed(seed)
    model = MultiTaskModel.from_encoder(tiny_encoder(seed=seed, **kwargs), tasks, branches=branches or {"sentences": 1})
    with torch.no_grad():
        for parameter in model.parameters():  # new biases and transitions are 0: permuted or not they would be equal
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def retask(model, name, **fields):
    model = copy.deepcopy(model)
    model.replace_task(dataclasses.replace(model.config.task(name), **fields))
    return model


def logits(model):
    model.eval()
    with torch.no_grad():
        return dict(model(**INPUTS).logits)


def shuffled(model, seed):
    """Return a copy of a model with its tasks and their labels in another order; it answers the same."""
    model, rng = copy.deepcopy(model), random.Random(seed)
    for task in model.tasks:
        if task.labels and task.tied_to is None:
            change_labels(model, task.name, rng.sample(list(task.labels), len(task.labels)))
    reorder_heads(model, rng.sample(list(model.task_heads), len(model.task_heads)))
    return model


@pytest.mark.parametrize("seed", range(3))
def test_another_order_of_tasks_and_labels_gives_the_same_average(seed):
    one, two = make_model(1), make_model(2)
    two = retask(two, "genres", thresholds=[0.4, 0.4, 0.8])
    two = retask(two, "mood", target_mean=[1.5, 2.5], target_std=[2.0, 3.0])
    other = shuffled(two, seed)
    assert [(t.name, t.labels) for t in other.tasks] != [(t.name, t.labels) for t in one.tasks]
    before, state = copy.deepcopy(other.state_dict()), torch.random.get_rng_state()
    expected, found = average_models([one, two]), average_models([one, other])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [task.to_dict() for task in found.tasks] == [task.to_dict() for task in expected.tasks]
    for name, value in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name
    for name, value in logits(expected).items():
        assert torch.equal(logits(found)[name], value), name
    for name, value in other.state_dict().items():
        assert torch.equal(value, before[name]), f"{name} of a model that was given changed"


def test_temperatures_fit_one_model_alone():
    one, two = make_model(1), make_model(2)
    task = with_temperature(one.config.task("genres"), 2.0)
    one.replace_task(task)
    for changed in (average_models([one, two]), interpolate_encoder(one, one.encoder, 0.5)):
        assert changed.config.task("genres").calibration_temperature is None
        assert changed.config.task("genres").thresholds == pytest.approx((0.2, 0.4, 0.6))
    assert interpolate_encoder(one, one.encoder, 1).config.task("genres") == task


def test_thresholds_and_scales_of_numbers_are_averaged_like_weights():
    one = make_model(1)
    two = retask(retask(one, "genres", thresholds=None), "stars", target_mean=2.5, target_std=1.5)
    found = average_models([one, two], [3, 1])
    assert found.config.task("genres").thresholds == pytest.approx((0.275, 0.425, 0.575))
    assert (found.config.task("stars").target_mean, found.config.task("stars").target_std) == (2.125, 1.125)
    assert found.config.task("mood").target_mean == (1.0, 2.0)


def test_the_average_of_equal_models_is_the_model():
    model = make_model(1)
    found = average_models([model, shuffled(model, 5), copy.deepcopy(model)])
    for name, value in logits(model).items():
        torch.testing.assert_close(logits(found)[name], value)
    assert [task.to_dict() for task in found.tasks] == [task.to_dict() for task in model.tasks]


def _with_nan(model):
    with torch.no_grad():
        next(model.branches.parameters())[0, 0] = math.nan
    return model


def _changed(change, *args):
    def apply(model):
        change(model, *args)
        return model

    return apply


def _with_vocabulary(model, mark):
    model.config.vocabulary = mark
    return model


#: Fault -> (the second model, what the message says).
FAULTS = {
    "another task": (_changed(rename_head, "stars", "points"), r"only 'a' has 'stars', only 'b' has 'points'"),
    "no task": (_changed(drop_head, "stars"), r"only 'a' has 'stars'\. An average"),
    "another label": (_changed(change_labels, "intent", ["play", "stop", "none"]), "'intent'.*labels.*'book'.*'stop'"),
    "another type": (
        lambda m: make_model(2, [dataclasses.replace(TASKS[0], type="sentiment"), *TASKS[1:]]),
        "'intent'.*type.*sentiment",
    ),
    "another pooling": (
        lambda m: make_model(2, [dataclasses.replace(TASKS[0], pooling="mean"), *TASKS[1:]]),
        "pooling",
    ),
    "no tie": (
        lambda m: make_model(2, [*TASKS[:2], dataclasses.replace(TASKS[2], tied_to=None), *TASKS[3:]]),
        "'places'.*tied_to",
    ),
    "other branches": (lambda m: make_model(2, branches={"sentences": 2}), r"branches: \{'sentences': 1\} and"),
    "another branch of a task": (
        lambda m: make_model(2, [dataclasses.replace(TASKS[0], branch=None), *TASKS[1:]]),
        "'intent'.*branch",
    ),
    "another vocabulary": (lambda m: _with_vocabulary(m, "other"), "different vocabularies"),
    "another family": (lambda m: make_model(2, family="roberta"), "model_type is 'bert' and 'roberta'"),
    "another activation": (lambda m: make_model(2, hidden_act="relu"), "hidden_act is 'gelu' and 'relu'"),
    "other heads of attention": (lambda m: make_model(2, num_attention_heads=2), "num_attention_heads is 4 and 2"),
    "another size": (lambda m: make_model(2, vocab_size=130), "vocab_size is 120 and 130"),
    "no number": (_with_nan, "'b': weights are infinite or not a number: 'branches"),
    "another unit": (
        lambda m: retask(m, "stars", target_mean=200.0, target_std=100.0),
        "'stars'.*different scales.*2 and 200",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_models_whose_weights_mean_different_things_are_refused(fault):
    change, words = FAULTS[fault]
    one = _with_vocabulary(make_model(1), "one")
    other = change(make_model(2))
    with pytest.raises(ValueError, match=words) as caught:
        average_models([one, other], names=["a", "b"])
    assert "'b'" in str(caught.value)


def test_an_ordinal_scale_in_another_order_is_refused():
    scale = TaskConfig("mood", "sentiment", labels=["bad", "so", "good"], options={"loss": "ordinal"})
    one, two = make_model(1, [scale]), make_model(2, [dataclasses.replace(scale, labels=["good", "so", "bad"])])
    with pytest.raises(ValueError, match=r"'mood'.*model 1 and model 2.*different orders"):
        average_models([one, two])


def test_dropout_of_the_encoder_may_differ():
    average_models([make_model(1), make_model(2, hidden_dropout_prob=0.3)])


# Greedy


def closeness(target):
    goal = torch.nn.utils.parameters_to_vector(target.parameters())

    def score(model):
        return -float((torch.nn.utils.parameters_to_vector(model.parameters()) - goal).norm().detach())

    return score


def moved(model, distance, seed):
    model = copy.deepcopy(model)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * distance)
    return model


def test_greedy_soup_is_at_least_as_good_as_the_best_and_leaves_out_what_harms():
    target = make_model(0)
    score = closeness(target)
    models = [moved(target, 5.0, 1), moved(target, 0.1, 2), moved(target, 0.11, 3), shuffled(moved(target, 0.1, 4), 1)]
    soup, table = greedy_soup(models, score, names=["far", "near", "close", "next"])
    assert [line.name for line in table][-1] == "far"
    assert {line.name: line.kept for line in table} == {"near": True, "close": True, "next": True, "far": False}
    assert [line.score for line in table] == sorted((line.score for line in table), reverse=True)
    kept = [line.soup for line in table if line.kept]
    assert kept == sorted(kept)
    assert score(soup) == kept[-1] > table[0].score


def test_greedy_soup_of_one_model_that_wins_is_that_model():
    target = make_model(0)
    models = [moved(target, 3.0, 1), target, moved(target, 3.0, 2)]
    soup, table = greedy_soup(models, closeness(target))
    assert [line.kept for line in table] == [True, False, False]
    for name, value in target.state_dict().items():
        assert torch.equal(soup.state_dict()[name], value), name


def test_a_score_that_is_no_number_is_never_kept():
    target = make_model(0)
    broken = moved(target, 0.0, 1)
    score = closeness(target)
    _, table = greedy_soup([broken, target, target], lambda m: math.nan if m is broken else score(m))
    assert [line.name for line in table] == ["model 2", "model 3", "model 1"]
