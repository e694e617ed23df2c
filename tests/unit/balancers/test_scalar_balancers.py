"""Scalar balancers against independent references, on a recorded series of losses and on a toy problem."""

import math
from dataclasses import replace

import pytest
import torch

from hf_mtl.balancers import make_balancer
from tests.balancing import Driven, facts

# fmt: off
#: Losses of three tasks ("b" is a regression) in six steps, two an epoch: made up, falling at different speeds.
RECORDED = [
    (2.30, 1.02, 0.69), (2.11, 0.80, 0.66), (1.74, 0.71, 0.52), (1.50, 0.75, 0.61), (1.33, 0.44, 0.35), (1.2, 0.5, 0.3)
]
#: The same after each step, on the same rows.
AFTER = [
    (2.20, 0.95, 0.68), (1.90, 0.79, 0.60), (1.70, 0.60, 0.50), (1.31, 0.70, 0.60), (1.30, 0.40, 0.30), (1.1, 0.4, 0.3)
]
# fmt: on
NAMES = ("a", "b", "c")
#: Training rows of each task.
ROWS = (400, 100, 25)


def weights_of(method, options=None):
    balancer = make_balancer(method, options)
    tasks = [replace(task, rows=rows) for task, rows in zip(facts(*NAMES, regression=("b",)), ROWS, strict=True)]
    driven = Driven(balancer, tasks, seed=4)
    found = []
    for number, (losses, after) in enumerate(zip(RECORDED, AFTER, strict=True)):
        named, named_after = dict(zip(NAMES, losses, strict=True)), dict(zip(NAMES, after, strict=True))
        step = driven.step(number, number // 2, {"a": 0.5, "b": 0.25, "c": 0.25}, named, named_after)
        found.append([balancer.weights(step)[name] for name in NAMES])
        driven.learn(step)
    return found


# The references below are written from the papers' objectives: weights are what autograd finds for the derivative of
# the objective by the losses, and learned quantities are moved by torch's own Adam. Papers' sums are divided by T = 3.


def by_autograd(objective, losses):
    leaves = torch.tensor(losses, dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(objective(leaves), leaves)[0].tolist()


def reference_fixed():
    return [[0.5, 0.25, 0.25]] * 6


def reference_equal():
    return [[1 / 3] * 3] * 6


def reference_geometric():
    return [by_autograd(lambda x: x.prod() ** (1 / 3), losses) for losses in RECORDED]


def reference_random():
    found = []
    for number in range(6):
        generator = torch.Generator().manual_seed((4 * 0x9E3779B97F4A7C15 + number) % 2**63)
        drawn = torch.randn(3, generator=generator, dtype=torch.float64)
        found.append((drawn.exp() / drawn.exp().sum()).tolist())
    return found


def reference_uncertainty():
    s = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([s], lr=0.01)

    def objective(losses):
        a, b, c = losses
        regression = b / (2 * s[1].exp()) + s[1] / 2
        return a / s[0].exp() + s[0] / 2 + regression + c / s[2].exp() + s[2] / 2

    found = []
    for losses in RECORDED:
        found.append(by_autograd(lambda x: objective(x) / 3, losses))
        adam.zero_grad()
        objective(torch.tensor(losses, dtype=torch.float64)).backward()
        adam.step()
    return found


def reference_dwa():
    epochs = torch.tensor(RECORDED, dtype=torch.float64).view(3, 2, 3).mean(1)
    ones = torch.ones(3, dtype=torch.float64)
    by_epoch = [((rate / 2).exp() / (rate / 2).exp().sum()).tolist() for rate in (ones, ones, epochs[1] / epochs[0])]
    return [weights for weights in by_epoch for _ in range(2)]


def reference_famo():
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([logits], lr=0.025, weight_decay=1e-3)
    found = []
    for losses, after in zip(RECORDED, AFTER, strict=True):
        z = logits.softmax(0).detach()
        c = 1 / (z / torch.tensor(losses)).sum()
        found.append(by_autograd(lambda x, z=z, c=c: c * (z * (x + 1e-8).log()).sum(), losses))
        falls = torch.tensor(losses, dtype=torch.float64).log() - torch.tensor(after, dtype=torch.float64).log()
        logits.grad = torch.autograd.grad(logits.softmax(0), logits, falls)[0]
        adam.step()
    return found


#: Method -> its reference, whose name has underscores for the hyphens of the method's.
REFERENCES = {
    name.removeprefix("reference_").replace("_", "-"): reference
    for name, reference in globals().items()
    if name.startswith("reference_")
}


@pytest.mark.parametrize("method", REFERENCES)
def test_weights_are_those_of_the_reference(method):
    # 1e-6: the references of Adam add their epsilons in another order.
    for found, expected in zip(weights_of(method), REFERENCES[method](), strict=True):
        assert found == pytest.approx(expected, rel=1e-6)


#: The weights of the sixth step, as the references above gave them with torch 2.13.
GOLDEN = {
    "fixed": [0.5, 0.25, 0.25],
    "equal": [0.333333, 0.333333, 0.333333],
    "geometric": [0.156839, 0.376414, 0.627357],
    "random": [0.372384, 0.060613, 0.567003],
    "uncertainty": [0.317613, 0.170505, 0.320635],
    "dwa": [0.323957, 0.335078, 0.340966],
    "famo": [0.127768, 0.308103, 0.56413],
}


def test_every_scalar_method_has_a_reference():
    from hf_mtl.balancers import BALANCERS

    missing = (set(BALANCERS) - {"gradient"}) ^ set(REFERENCES)
    assert not missing, f"write reference_<method> for each of {sorted(missing)}"


@pytest.mark.parametrize("method", GOLDEN)
def test_weights_are_those_recorded(method):
    assert weights_of(method)[-1] == pytest.approx(GOLDEN[method], abs=1e-6)


def test_dwa_counts_periods_in_steps():
    found = weights_of("dwa", {"interval": 1, "temperature": 1.0})
    rates = torch.tensor(RECORDED[4], dtype=torch.float64) / torch.tensor(RECORDED[3], dtype=torch.float64)
    assert found[5] == pytest.approx(rates.softmax(0).tolist())


# Two quadratics of one number, of scales 100 to 1: L = 50 (x - 1)^2 + 0.5 and 0.5 (x + 1)^2 + 0.5.


def toy_losses(x):
    return {"large": 50 * (x - 1) ** 2 + 0.5, "small": 0.5 * (x + 1) ** 2 + 0.5}


def descend(method, steps=4000, rate=2e-3, **options):
    """Return where gradient descent with a falling rate ends."""
    balancer = make_balancer(method, options)
    driven = Driven(balancer, facts("large", "small", regression=("large", "small")), seed=1)
    x, even = 0.3, {"large": 0.5, "small": 0.5}
    for number in range(steps):
        step = driven.step(number, number // 100, even, toy_losses(x))
        weights = balancer.weights(step)
        falling = rate * min(1.0, 10 * (1 - number / steps))
        x -= falling * (weights["large"] * 100 * (x - 1) + weights["small"] * (x + 1))
        # FAMO compares the losses before and after; the others learn from those of the step.
        driven.learn(replace(step, losses_after=toy_losses(x)))
    return x


def least(objective):
    """Return the place of an objective's minimum on a fine grid between the tasks' own optima."""
    grid = torch.linspace(-1, 1, 200_001, dtype=torch.float64)
    return float(grid[objective(*toy_losses(grid).values()).argmin()])


@pytest.mark.parametrize("method", ["fixed", "equal", "dwa"])
def test_sums_of_losses_end_at_the_minimum_of_the_sum(method):
    # DWA's rates of descent tend to 1, its weights to equal ones.
    assert descend(method) == pytest.approx(least(lambda large, small: large + small), abs=1e-3)


def test_random_weights_end_near_the_minimum_of_the_sum():
    assert descend("random") == pytest.approx(least(lambda large, small: large + small), abs=0.02)


@pytest.mark.parametrize("method", ["geometric", "uncertainty"])
def test_methods_without_a_scale_end_at_the_minimum_of_the_product(method):
    # Uncertainty: where the log variances are at their best, the objective is the sum of log L, but for constants.
    options = {"learning_rate": 0.05} if method == "uncertainty" else {}
    assert descend(method, **options) == pytest.approx(least(lambda large, small: large * small), abs=5e-3)


def test_famo_lets_both_losses_fall_at_rates_more_alike_than_their_sum_does():
    def falls(method, **options):
        before, after = toy_losses(0.3), toy_losses(descend(method, steps=400, **options))
        return [math.log(before[name] / after[name]) for name in before]

    famo, sums = falls("famo"), falls("equal")
    assert abs(famo[0] - famo[1]) < abs(sums[0] - sums[1])
    # It ends on the Pareto front, the stretch between the tasks' own optima.
    assert -1 <= descend("famo") <= 1
