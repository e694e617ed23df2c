"""Laws that every balancer of the table obeys, alone and in trainings."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_mtl import TaskConfig
from hf_mtl.balancers import BALANCERS, TaskFacts, make_balancer
from tests.balancing import OPTIONS, Driven, drive, facts, gradients, trained
from tests.trainers import TASKS, make_data, model_without_dropout

SCALAR = [name for name in BALANCERS if name != "gradient"]
ALL = [*SCALAR, "gradient"]
NAMES = ("a", "b", "c")


def started(method, tasks=None, seed=3):
    return Driven(make_balancer(method, OPTIONS.get(method)), tasks or facts(*NAMES, regression=("b",)), seed)


#: A loss may be exactly 0: a task that is learnt by heart.
losses = st.floats(1e-3, 1e3) | st.floats(0.0, 1e-3)
#: Steps of all three tasks, or of some.
steps = st.lists(st.dictionaries(st.sampled_from(NAMES), losses, min_size=1), min_size=1, max_size=12)


@pytest.mark.parametrize("method", SCALAR)
@given(series=steps)
def test_weights_are_finite_and_at_least_0_and_of_the_tasks_in_the_step(method, series):
    for step, weights in zip(series, drive(started(method), series), strict=True):
        assert set(weights) == set(step)
        assert all(math.isfinite(weight) and weight >= 0 for weight in weights.values())


@pytest.mark.parametrize("method", SCALAR)
@given(series=steps)
def test_the_same_seed_repeats(method, series):
    assert drive(started(method), series) == drive(started(method), series)


@pytest.mark.parametrize("method", SCALAR)
@given(series=steps, stop=st.integers(0, 12))
def test_state_is_json_and_going_on_from_it_equals_not_stopping(method, series, stop):
    unbroken = drive(started(method), series)
    first, second = started(method), started(method)
    drive(first, series[:stop])
    second.state = json.loads(json.dumps(first.state, allow_nan=False))
    assert second.state == first.state
    assert drive(second, series[stop:], first=min(stop, len(series))) == unbroken[stop:]


@pytest.mark.parametrize("method", SCALAR)
@given(series=steps)
def test_other_names_change_nothing_but_names(method, series):
    other = {"a": "zz", "b": "yy", "c": "xx"}
    renamed = started(method, facts(*other.values(), regression=("yy",)))
    found = drive(renamed, [{other[name]: loss for name, loss in step.items()} for step in series])
    for new, old in zip(found, drive(started(method), series), strict=True):
        assert new == pytest.approx({other[name]: weight for name, weight in old.items()}, rel=1e-9)


@pytest.mark.parametrize("method", SCALAR)
@given(series=steps)
def test_another_order_of_the_tasks_changes_nothing(method, series):
    turned = started(method, facts(*NAMES[::-1], regression=("b",)))
    for one, two in zip(drive(turned, series), drive(started(method), series), strict=True):
        if method == "random":  # which task gets which of the numbers drawn is a matter of order
            one, two = {"sum": sum(one.values())}, {"sum": sum(two.values())}
            if len(one) < len(NAMES):
                continue
        assert one == pytest.approx(two, rel=1e-9)


@pytest.mark.parametrize("method", SCALAR)
def test_a_task_without_rows_learns_nothing(method):
    # An epoch is longer than the series, so DWA does not close a period on the way.
    balancer = Driven(make_balancer(method, {"learning_rate": 0.2} if method == "uncertainty" else None), facts(*NAMES))
    drive(balancer, [{"a": 2.0, "b": 1.0, "c": 0.5}] * 3, per_epoch=99)
    before = json.dumps(balancer.state)
    drive(balancer, [{"a": 2.0, "b": 1.0}] * 4, first=3, per_epoch=99)
    for old, new in zip(of_task("c", json.loads(before)), of_task("c", balancer.state), strict=True):
        assert old == new
    if method in ("uncertainty", "dwa", "famo"):
        assert json.dumps(balancer.state) != before


def of_task(name, state):
    """Return all values that a state holds under a task's name."""
    for key, value in state.items():
        if key == name:
            yield value
        elif isinstance(value, dict):
            yield from of_task(name, value)


@pytest.mark.parametrize("method", SCALAR)
@given(series=st.lists(losses, min_size=1, max_size=8))
def test_one_task_alone_is_trained_plainly(method, series):
    balancer = started(method, [TaskFacts("a", weight=2.0)])
    found = [weights["a"] for weights in drive(balancer, [{"a": loss} for loss in series])]
    assert found[0] == pytest.approx(2.0)
    if method != "uncertainty":  # there the factor follows the task's own noise
        assert found == pytest.approx([2.0] * len(series))


@pytest.mark.parametrize("method", SCALAR)
def test_a_task_of_twice_the_weight_counts_twice(method):
    series = [{"a": 2.0, "b": 1.0, "c": 0.5}] * 3
    plain = drive(started(method), series)
    heavy = drive(started(method, [TaskFacts("a", weight=2.0), TaskFacts("b", True), TaskFacts("c")]), series)
    for one, two in zip(plain, heavy, strict=True):
        assert two == pytest.approx({**one, "a": 2 * one["a"]})


# In trainings


@pytest.mark.parametrize("method", ALL)
def test_three_steps_are_the_same_however_they_are_cut(method, tmp_path):
    kwargs = {"balancing": method, "balancing_options": OPTIONS.get(method)}
    whole, cut = gradients(tmp_path, 24, 1, **kwargs), gradients(tmp_path, 6, 4, **kwargs)
    assert len(whole) == len(cut) == 3
    # Steps after the first have weights that the first taught, on parameters that Adam moved: rounding grows a little.
    for number, (one, two) in enumerate(zip(whole, cut, strict=True)):
        assert set(one) == set(two)
        for name, expected in one.items():
            error = float((two[name] - expected).norm() / expected.norm().clamp(min=1e-12))
            assert error <= 1e-6 or expected.norm() < 1e-10, (number, name, error)


@pytest.mark.parametrize("method", ALL)
def test_resuming_equals_not_stopping(method, tmp_path):
    # With dropout: passes that only measure losses must not disturb the random numbers of the others.
    def with_dropout():
        model = model_without_dropout()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.1
        return model

    kwargs = {"balancing": method, "balancing_options": OPTIONS.get(method), "max_steps": 5, "save_steps": 1}
    kwargs |= {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 8, "learning_rate": 1e-3}
    _, unbroken = trained(tmp_path, model=with_dropout(), save_strategy="steps", **kwargs)
    for stop in (1, 3, 4):  # of three steps an epoch
        checkpoint = str(tmp_path / "out" / f"checkpoint-{stop}")
        _, found = trained(tmp_path, checkpoint, model=with_dropout(), save_strategy="no", **kwargs)
        assert sorted(found.weights) == list(range(stop + 1, 6))
        for step, weights in found.weights.items():
            assert all(map(torch.equal, weights, unbroken.weights[step])), (stop, step)


@pytest.mark.parametrize("method", ALL)
def test_a_head_without_rows_gets_no_gradient(method, tmp_path):
    ghost = TaskConfig("ghost", "sequence-classification", labels=["x", "y"])
    model = model_without_dropout([*TASKS, ghost])
    _, keeper = trained(tmp_path, model=model, max_steps=1, balancing=method, per_device_train_batch_size=24)
    assert any("mood" in name for name in keeper.found[0])
    assert not any("ghost" in name for name in keeper.found[0])


@pytest.mark.parametrize("method", ALL)
def test_one_task_alone_gets_the_gradient_of_plain_training(method, tmp_path):
    def step(balancing):
        torch.manual_seed(1)
        data = {"sst": make_data()["sst"]}
        kwargs = {"model": model_without_dropout(TASKS[2:3]).double(), "max_steps": 1, "max_grad_norm": 0.0}
        return trained(tmp_path, data=data, balancing=balancing, batching="homogeneous", **kwargs)[1].found[0]

    plain, found = step("fixed"), step(method)
    for name, expected in plain.items():
        torch.testing.assert_close(found[name], expected, rtol=1e-9, atol=1e-12)


def test_a_step_knows_its_tasks_only():
    driven = started("uncertainty")
    with pytest.raises(KeyError):
        driven.balancer.weights(driven.step(0, 0, {"unknown": 1.0}))
