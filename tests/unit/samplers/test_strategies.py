"""Each strategy against its formula, written out by hand; bandits on problems whose answer is known."""

import json
import math

import numpy as np
import pytest

from hf_mtl.data import MixtureBatchSampler
from hf_mtl.samplers import (
    AnnealedSampler,
    BanditSampler,
    CappedSampler,
    DifficultySampler,
    FixedSampler,
    Observation,
    ProportionalSampler,
    ScheduleSampler,
    TemperatureSampler,
    UniformSampler,
    make_sampler,
)
from hf_mtl.samplers.plan import SamplingRules, StepShape, make_plan

SIZES = {"trec": 5452, "sst2": 67349, "mrpc": 3668}


def fractions(weights):
    return [weight / math.fsum(weights) for weight in weights]


def test_shares_equal_the_papers_formulas():
    n = list(SIZES.values())
    expected = {
        ProportionalSampler(): fractions(n),
        UniformSampler(): [1 / 3] * 3,
        TemperatureSampler(2.0): fractions([math.sqrt(size) for size in n]),
        TemperatureSampler(1 / 0.3): fractions([size**0.3 for size in n]),  # mT5
        CappedSampler(limit=5000): fractions([5000, 5000, 3668]),
        CappedSampler(limit=5000, temperature=2): fractions([math.sqrt(5000), math.sqrt(5000), math.sqrt(3668)]),
    }
    for sampler, shares in expected.items():
        assert sampler.probabilities(SIZES).tolist() == pytest.approx(shares)
    assert FixedSampler({"sst2": 2, "mrpc": 1, "trec": 1}).probabilities(SIZES).tolist() == [0.25, 0.5, 0.25]


def test_annealing_by_epochs_is_that_of_bert_and_pals():
    epochs, steps = 5, 50
    sampler = AnnealedSampler(stages=epochs)
    assert sampler.starts(steps) == [0, 10, 20, 30, 40]
    for epoch in range(1, epochs + 1):
        exponent = 1 - 0.8 * (epoch - 1) / (epochs - 1)
        expected = fractions([size**exponent for size in SIZES.values()])
        assert sampler.probabilities(SIZES, 10 * (epoch - 1), steps).tolist() == pytest.approx(expected)


def test_a_function_schedules_shares():
    sampler = ScheduleSampler(lambda step, steps: {"a": 1 - step / steps, "b": step / steps})
    assert sampler.probabilities({"b": 1, "a": 9}, 25, 100).tolist() == [0.25, 0.75]
    plan = make_plan(sampler, {"b": 50, "a": 50}, StepShape(10), max_steps=100)
    assert plan.shares(0).tolist() == [0, 1]
    assert plan.shares(99).tolist() == pytest.approx([0.99, 0.01])


@pytest.mark.parametrize("batching", ["mixed", "homogeneous"])
@pytest.mark.parametrize(("when", "max_steps"), [(1500, 2000), (0.9, 50), (0.5, 50), (3, 4), (1, 3000)])
def test_a_schedule_that_begins_proportional_switches_when_it_says(when, max_steps, batching):
    sizes = {"a": 40, "b": 120}
    sampler = ScheduleSampler([(0, {"a": 1, "b": 3}), (when, {"a": 1, "b": 0})])
    shape = StepShape(4, mixed=batching == "mixed")
    plan = make_plan(sampler, sizes, shape, max_steps=max_steps)
    switch = when if isinstance(when, int) else round(when * max_steps)
    for step, expected in ((switch - 1, [0.25, 0.75]), (switch, [1, 0]), (max_steps - 1, [1, 0])):
        assert plan.shares(step).tolist() == expected
        rows = plan.draw(*divmod(step, plan.epoch_units))[0]
        assert expected[1] > 0 or set(rows.tolist()) == {0}
    # What the summary says of the training.
    assert plan.first_and_last_shares() == [(0.25, 1), (0.75, 0)]


def test_a_schedule_of_one_entry_is_constant():
    sizes, sampler = {"a": 10, "b": 30}, ScheduleSampler([(0, {"a": 1, "b": 3})])
    assert sampler.is_constant
    assert [sorted(rows) for rows in drawn(sizes, sampler).values()] == [list(range(10)), list(range(30))]


def test_a_sampler_of_ones_own_that_gives_starts_is_not_taken_for_constant():
    class Late(ProportionalSampler):
        def starts(self, steps):
            return [0, 5000] if steps > 5000 else [0]

        def probabilities(self, sizes, step=0, steps=1):
            return np.array([1.0, 0.0]) if step >= 5000 else super().probabilities(sizes)

    plan = make_plan(Late(), {"a": 10, "b": 30}, StepShape(4), max_steps=6000)
    assert plan.shares(5999).tolist() == [1, 0]


# Rules


def drawn(sizes, sampler, **kwargs):
    """Return the rows of an epoch by dataset."""
    found = MixtureBatchSampler(sizes, sampler, 1, **kwargs)
    starts = np.cumsum([0, *sizes.values()])
    rows = [row for step in range(len(found)) for row in found.batch(0, step)]
    return {name: [r - a for r in rows if a <= r < b] for name, a, b in zip(sizes, starts, starts[1:], strict=False)}


def counts(rows):
    return {name: len(of) for name, of in rows.items()}


@pytest.mark.parametrize(
    ("exhausted", "expected"), [("repeat", (55, 55)), ("stop-at-first", (10, 10)), ("stop-at-last", (100, 100))]
)
def test_an_epoch_ends_where_it_is_told(exhausted, expected):
    found = drawn({"small": 10, "large": 100}, UniformSampler(), rules=SamplingRules(exhausted=exhausted))
    assert (len(found["small"]), len(found["large"])) == expected
    assert len(set(found["small"])) == 10
    assert len(set(found["large"])) == expected[1]


def test_weights_multiply_shares():
    rules = SamplingRules(weights={"b": 3})
    assert counts(drawn({"a": 30, "b": 10}, ProportionalSampler(), rules=rules)) == {"a": 20, "b": 20}
    assert counts(drawn({"a": 30, "b": 10}, UniformSampler(), rules=SamplingRules(weights={"a": 0}))) == {
        "a": 0,
        "b": 40,
    }


def test_max_rows_takes_a_random_choice_that_stays():
    rules = SamplingRules(max_rows={"a": 20})
    sampler = MixtureBatchSampler({"a": 1000, "b": 5}, ProportionalSampler(), 25, seed=3, rules=rules)
    epochs = [{row for row in sampler.batch(epoch, 0) if row < 1000} for epoch in range(3)]
    assert len(sampler) == 1
    assert epochs[0] == epochs[1] == epochs[2]
    assert len(epochs[0]) == 20
    assert max(epochs[0]) > 500  # not the first ones
    other = MixtureBatchSampler({"a": 1000, "b": 5}, ProportionalSampler(), 25, seed=4, rules=rules)
    assert {row for row in other.batch(0, 0) if row < 1000} != epochs[0]


def test_a_strategy_whose_shares_are_the_sizes_draws_every_row_once_an_epoch():
    for sampler in (TemperatureSampler(1), CappedSampler(limit=99), FixedSampler({"a": 7, "b": 21})):
        found = drawn({"a": 7, "b": 21}, sampler)
        assert [sorted(rows) for rows in found.values()] == [list(range(7)), list(range(21))]


def test_rows_left_out_by_an_epoch_come_in_the_next():
    sampler = MixtureBatchSampler({"small": 4, "large": 12}, UniformSampler(), 8, epochs=2)
    rows = [row for epoch in (0, 1) for step in (0, 1) for row in sampler.batch(epoch, step) if row >= 4]
    assert len(rows) == 16
    assert set(rows) == set(range(4, 16))


# Those that learn


def told(sampler, state, rewards, shares):
    """Let a stage end with gains of the training loss, or scores."""
    count = len(rewards)
    last = np.array([0.0 if v is None else v for v in state["last"]])
    now = last + rewards if sampler.needs_scores else last - rewards
    unseen = np.full(count, np.nan)
    seen = Observation(
        losses=unseen if sampler.needs_scores else now,
        scores=now if sampler.needs_scores else unseen,
        drawn=shares,
        shares=shares,
    )
    return sampler.learn(state, seen)


@pytest.mark.parametrize("policy", ["exp3", "thompson"])
@pytest.mark.parametrize("reward", ["loss", "score"])
def test_bandits_find_the_best_arm_and_follow_when_it_changes(policy, reward):
    sampler = BanditSampler(policy=policy, reward=reward, forgetting=0.05)
    random = np.random.default_rng(0)
    state = sampler.begin({"a": 9, "b": 9, "c": 9})
    for best in (1, 2):
        for stage in range(150):
            shares = sampler.choose(state, (1, stage))
            gains = random.normal([0.0, 0.0, 0.0], 1.0)
            gains[best] += 1.0
            state = told(sampler, state, gains, shares)
        assert sampler.choose(state, (1, 999)).argmax() == best
        assert sampler.choose(state, (1, 999))[best] > 0.6
        assert sampler.choose(state, (1, 999)).min() >= 0.05 / 3 - 1e-12


def test_exp3_is_the_written_out_formula():
    sampler = BanditSampler(step_size=0.5, mixing=0.1, forgetting=0.25)
    state = sampler.begin({"a": 1, "b": 1})
    state = sampler.learn(state, Observation(np.array([2.0, 2.0]), *([np.full(2, np.nan)] + [np.full(2, 0.5)] * 2)))
    assert sampler.choose(state, (0, 0)).tolist() == [0.5, 0.5]  # no loss before, so no gain yet
    seen = Observation(np.array([1.0, 1.5]), np.full(2, np.nan), np.array([0.6, 0.4]), np.array([0.5, 0.5]))
    state = sampler.learn(state, seen)
    # Gains 1.0 and 0.5; their 20th percentile is 0.6, the 80th 0.9, so they scale to 1 and -1.
    one, two = math.exp(0.5 * (0.6 / 0.5) * 1.0), math.exp(0.5 * (0.4 / 0.5) * -1.0)
    weights = [0.75 * one + 0.25 * two, 0.75 * two + 0.25 * one]
    expected = [0.9 * w / math.fsum(weights) + 0.1 / 2 for w in weights]
    assert sampler.choose(state, (0, 0)).tolist() == pytest.approx(expected)


def test_thompson_counts_and_forgets_by_the_written_out_formula():
    sampler = BanditSampler(policy="thompson", forgetting=0.25)
    state = {**sampler.begin({"a": 1, "b": 1, "c": 1}), "last": [2.0, 2.0, None], "successes": [5.0, 1.0, 3.0]}
    state = sampler.learn(
        state, Observation(np.array([1.0, 1.5, np.nan]), np.full(3, np.nan), np.full(3, 1 / 3), np.full(3, 1 / 3))
    )
    assert state["successes"] == pytest.approx([0.75 * 5 + 0.25 + 1, 0.75 + 0.25 + 0, 0.75 * 3 + 0.25])
    assert state["failures"] == pytest.approx([0.75 + 0.25 + 0, 0.75 + 0.25 + 1, 0.75 + 0.25])


class Keyed(BanditSampler):
    """Gives shares that say under which key they were chosen."""

    def choose(self, state, key):
        seed, stage = key
        return np.array([seed / 100, stage / 100, 1 - (seed + stage) / 100])


def test_each_stage_is_chosen_under_the_seed_and_its_own_number():
    sizes = {"a": 5, "b": 5, "c": 5}

    def plan():
        return make_plan(Keyed(interval=2), sizes, StepShape(4), max_steps=99, seed=7)

    def key_of(plan, step):
        return tuple(round(100 * share) for share in plan.shares(step).tolist()[:2])

    whole, resumed = plan(), plan()
    for step in range(1, 21):
        whole.end_step(step, {})
        if step == 9:
            resumed.load(json.loads(json.dumps(whole.state())))
        elif step > 9:
            resumed.end_step(step, {})
        if step >= 4:  # nothing is chosen for the first two stages
            assert key_of(whole, step) == (7, step // 2)
            assert key_of(whole, step + 2) == (7, step // 2 + 1)
    assert resumed.state() == whole.state()
    assert key_of(resumed, 22) == (7, 11)


@pytest.mark.parametrize(("one", "other"), [((1, 2), (1, 3)), ((1, 2), (2, 2)), ((1, 2), (2, 1))])
def test_thompsons_votes_belong_to_both_numbers_of_the_key(one, other):
    sampler = BanditSampler(policy="thompson")
    state = sampler.begin({"a": 1, "b": 1, "c": 1})
    assert sampler.choose(state, one).tolist() == sampler.choose(state, one).tolist()
    assert sampler.choose(state, one).tolist() != sampler.choose(state, other).tolist()


def test_difficulty_moves_share_to_the_dataset_with_the_largest_gap():
    sampler = DifficultySampler(references={"a": 0.9, "b": 0.8})
    state = sampler.begin({"a": 1, "b": 1, "c": 1})
    nothing = np.full(3, np.nan)
    assert sampler.choose(state, (0, 0)).tolist() == [1 / 3] * 3
    state = sampler.learn(state, Observation(nothing, np.array([0.6, 0.7, 0.8]), nothing, nothing))
    assert sampler.choose(state, (0, 0)).tolist() == pytest.approx([0.5, 1 / 6, 1 / 3])  # gaps .3, .1, .2
    # Only what was scored anew changes; above its reference a dataset has no gap.
    state = sampler.learn(state, Observation(nothing, np.array([0.95, np.nan, np.nan]), nothing, nothing))
    assert sampler.choose(state, (0, 0)).tolist() == pytest.approx([0, 1 / 3, 2 / 3])


# Mistakes


@pytest.mark.parametrize(
    ("strategy", "options", "words"),
    [
        ("temperature", {"temprature": 2}, "Did you mean 'temperature'"),
        ("temperature", {"temperature": 0.5}, "number of at least 1, found 0.5"),
        ("temperature", {"temperature": "hot"}, "found 'hot'"),
        ("uniform", {"temperature": 2}, "no option 'temperature'. Options: 'exhausted', 'max_rows', 'weights'"),
        ("uniform", {"exhausted": "stop-at-frist"}, "Did you mean 'stop-at-first'"),
        ("uniform", {"max_rows": {"a": 0}}, r"max_rows\['a'\]"),
        ("fixed", {}, "shares must be a mapping"),
        ("fixed", {"shares": {"a": 0}}, "all are 0"),
        ("schedule", {"schedule": [[5, {"a": 1}]]}, "must begin at 0"),
        ("schedule", {"schedule": [[0, {"a": 1}], [1.5, {"a": 1}]]}, "fraction lies below 1"),
        ("bandit", {"policy": "exp4"}, "Did you mean 'exp3'"),
        ("bandit", '{"interval": 0}', "interval must be a whole number"),
        ("bandit", "{interval", "not valid JSON"),
    ],
)
def test_wrong_options_are_named_with_the_valid_ones(strategy, options, words):
    with pytest.raises(ValueError, match=words):
        make_sampler(strategy, options)


@pytest.mark.parametrize(
    ("strategy", "options", "words"),
    [
        ("fixed", {"shares": {"a": 1, "c": 1}}, "'c', which is no training dataset"),
        ("fixed", {"shares": {"a": 1}}, "no share for 'b'"),
        ("uniform", {"weights": {"A": 2}}, "weights names 'A'"),
        ("uniform", {"weights": {"a": 0, "b": 0}}, "leave no dataset a share"),
        ("annealed", {"exhausted": "stop-at-last"}, "needs constant shares"),
        ("schedule", {"schedule": [[0, {"a": 1, "b": 1}], [9, {"a": 1, "b": 1}], [0.5, {"a": 1, "b": 1}]]}, "in order"),
    ],
)
def test_options_that_do_not_fit_the_datasets_are_named(strategy, options, words):
    sampler, rules = make_sampler(strategy, options)
    with pytest.raises(ValueError, match=words):
        make_plan(sampler, {"a": 5, "b": 5}, StepShape(2), rules=rules)


@pytest.mark.parametrize(
    "wrong",
    [[1.0, 1.0], [0.5, 0.4], [1.5, -0.5], [math.nan, 1.0], [math.inf, 0.0], [1.0], [[0.5, 0.5]], [0.2, 0.3, 0.5]],
)
@pytest.mark.parametrize("when", ["at once", "later", "learnt"])
def test_shares_of_a_users_own_sampler_are_checked(wrong, when):
    class Wrong(UniformSampler):
        def starts(self, steps):
            return [0, 7]

        def probabilities(self, sizes, step=0, steps=1):
            return np.array(wrong if when == "at once" or step else [0.5, 0.5])

    class WrongLearner(BanditSampler):
        def choose(self, state, key):
            return np.array(wrong)

    def run(sampler):
        plan = make_plan(sampler, {"a": 5, "b": 5}, StepShape(2), max_steps=9)
        plan.end_step(50, {})

    with pytest.raises(ValueError, match="must give each of 2 datasets a share of at least 0, 1 in sum, found"):
        run(WrongLearner() if when == "learnt" else Wrong())
