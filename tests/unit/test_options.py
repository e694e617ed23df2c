"""Samplers and balancers have options in one way: what is given is what is kept, shown, and made again."""

import json
import math
from dataclasses import FrozenInstanceError, dataclass

import pytest

from hf_mtl._options import described, name_in
from hf_mtl.balancers import BALANCERS, Balancer, make_balancer
from hf_mtl.samplers import SAMPLERS, BanditSampler, DatasetSampler, UniformSampler, make_sampler
from tests.options import BALANCING, SAMPLING

RULES = {"exhausted": "stop-at-first", "max_rows": {"a": 5}, "weights": {"b": 0.5}}


def test_the_tables_have_every_strategy_and_method():
    for table, ours, name in ((SAMPLERS, SAMPLING, "SAMPLING"), (BALANCERS, BALANCING, "BALANCING")):
        assert set(table) == set(ours), (
            f"tests/options.py: {name} needs a row for each of {sorted(set(table) ^ set(ours))}"
        )


@pytest.mark.parametrize("strategy", SAMPLERS)
def test_options_of_a_sampler_are_those_given_and_make_it_again(strategy):
    sampler, rules = make_sampler(strategy, {**SAMPLING[strategy], **RULES})
    assert sampler.options() == SAMPLING[strategy]
    assert rules.options() == RULES
    options = json.loads(json.dumps({**sampler.options(), **rules.options()}, allow_nan=False))
    assert make_sampler(strategy, options)[0].options() == sampler.options()
    assert name_in(SAMPLERS, sampler) == strategy
    with pytest.raises(FrozenInstanceError):
        sampler.temperature = 1


@pytest.mark.parametrize("method", BALANCERS)
def test_options_of_a_balancer_are_those_given_and_make_it_again(method):
    balancer = make_balancer(method, BALANCING[method])
    assert balancer.options() == BALANCING[method]
    options = json.loads(json.dumps(balancer.options(), allow_nan=False))
    assert make_balancer(method, options).options() == balancer.options()
    assert name_in(BALANCERS, balancer) == method
    with pytest.raises(FrozenInstanceError):
        balancer.temperature = 1


#: Values that no option of a kind can have, by the kind of its value in `tests.options`.
_NEVER = {
    bool: ["x", 3, []],
    int: ["x", [], True, -1, math.nan, math.inf, -math.inf, 10**400, 0.5],
    float: ["x", [], True, -1.0, math.nan, math.inf, -math.inf],
    str: ["x_x", 3, None, []],
    dict: [3, "x", [], {"a": -1}, {"a": math.nan}, {"a": "x"}, {"a": math.inf}],
    list: [3, "x", {}, [], [[0, {"a": -1}]], [[-1, {"a": 1}]], [[0, 1]], [[0, {"a": math.nan}]], [["x", {"a": 1}]]],
}
#: A score may be of any sign, and no dataset need have a reference.
_ALLOWED = [("references", {"a": -1})]
_SAMPLERS = [("sampler", strategy, name) for strategy, options in SAMPLING.items() for name in [*options, *RULES]]
_BALANCERS = [("balancer", method, name) for method, options in BALANCING.items() for name in options]


@pytest.mark.parametrize(("what", "kind", "option"), [*_SAMPLERS, *_BALANCERS])
def test_every_option_out_of_range_is_refused_by_name(what, kind, option):
    make, given = (make_sampler, SAMPLING) if what == "sampler" else (make_balancer, BALANCING)
    options = {**given[kind], **({option: RULES[option]} if option in RULES else {})}
    for value in _NEVER[type(options[option])]:
        if (option, value) not in _ALLOWED:
            with pytest.raises(ValueError, match=option):
                print(option, value, make(kind, {**options, option: value}))


@pytest.mark.parametrize("strategy", sorted(set(SAMPLERS) - {"fixed", "schedule"}))
def test_defaults_are_options_too(strategy):
    assert set(make_sampler(strategy)[0].options()) == set(SAMPLING[strategy])
    assert make_sampler(strategy)[1].options() == {}


@pytest.mark.parametrize("method", sorted(set(BALANCERS) - {"gradient"}))
def test_defaults_of_balancers_are_options_too(method):
    assert set(make_balancer(method).options()) == set(BALANCING[method])


@pytest.mark.parametrize("make", [make_sampler, make_balancer])
def test_an_unknown_option_names_the_nearest(make):
    kinds = SAMPLING if make is make_sampler else BALANCING
    for kind, options in kinds.items():
        if kind == "gradient":  # its options are torchjd's
            continue
        with pytest.raises(ValueError, match=r"has no option 'x_x'.* Options: "):
            make(kind, {**options, "x_x": 1})
        for option in options:
            with pytest.raises(ValueError, match=f"Did you mean '{option}'"):
                make(kind, {f"{option}s": 1})


def test_those_of_ones_own_show_their_fields_and_their_class():
    @dataclass(frozen=True)
    class Mine(UniformSampler):
        size: int = 3
        how: object = len

    class Plain(Balancer):
        def relative_weights(self, step):
            return {}

    assert described(name_in(SAMPLERS, Mine()), Mine().options()) == "Mine (size: 3, how: len)"
    assert described(name_in(BALANCERS, Plain()), Plain().options()) == "Plain"
    assert issubclass(Mine, DatasetSampler)
    assert BanditSampler.option_names()[0] == "interval"
