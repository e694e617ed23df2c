"""Changing shares in real trainings: resuming equals not stopping, and what is decided is logged and bounded."""

import json

import pytest

from hf_mtl import MultiTaskTrainer
from tests.conftest import make_tokenizer
from tests.ranks import arguments, run_on_ranks
from tests.trainers import make_data, model_without_dropout
from tests.unit.trainer.test_resuming import assert_equal, resumed, unbroken  # noqa: F401  # a fixture

EVALUATED = {"eval_strategy": "steps", "eval_steps": 2}
STRATEGIES = {
    "annealed": {"sampling": "annealed"},
    "exp3": {"sampling": "bandit", "sampling_options": {"interval": 2, "step_size": 2.0}},
    "thompson": {
        "sampling": "bandit",
        "sampling_options": {"interval": 2, "policy": "thompson", "reward": "score"},
        **EVALUATED,
    },
    "difficulty": {"sampling": "difficulty", "sampling_options": {"interval": 2}, **EVALUATED},
}


def shares_logged(trainer):
    logs = [log for log in trainer.state.log_history if "share/snips" in log]
    return [[log[f"share/{name}"] for name in ("snips", "sst", "sts")] for log in logs]


@pytest.mark.parametrize("batching", ["mixed", "homogeneous"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_weights_are_bit_equal_from_the_middle_of_a_stage(build, unbroken, tmp_path, name, batching):  # noqa: F811
    kwargs = {**STRATEGIES[name], "batching": batching}
    expected = unbroken(**kwargs)
    step = 3 if batching == "mixed" else 5
    assert_equal(resumed(build, tmp_path, step, **kwargs), expected)


def test_weights_are_bit_equal_with_workers_and_accumulation(build, unbroken, tmp_path):  # noqa: F811
    kwargs = {**STRATEGIES["exp3"], "gradient_accumulation_steps": 2, "per_device_train_batch_size": 3}
    kwargs["sampling_options"] = {"interval": 3, "step_size": 2.0}
    expected = unbroken(**kwargs)
    assert_equal(resumed(build, tmp_path, 4, dataloader_num_workers=2, **kwargs), expected)
    restoring = {"restore_callback_states_from_checkpoint": True}
    assert_equal(resumed(build, tmp_path, 7, **restoring, **kwargs), expected)


def test_shares_are_decided_one_stage_ahead_and_logged(build):
    trainer = build(max_steps=9, **STRATEGIES["exp3"])
    trainer.train()
    found = shares_logged(trainer)
    assert len(found) == 9
    # Two stages of which nothing was known, and one that knew losses but no gains.
    assert found[:6] == [[pytest.approx(1 / 3)] * 3] * 6
    assert found[6] == found[7] != found[5]
    assert found[8] != found[7]
    assert all(sum(shares) == pytest.approx(1) for shares in found)
    json.dumps(trainer._feedback.plan.state(), allow_nan=False)


def test_annealed_shares_move_from_sizes_towards_each_other(build):
    trainer = build(max_steps=9, sampling="annealed")
    trainer.train()
    found = shares_logged(trainer)
    assert found[0] == pytest.approx([0.5, 1 / 3, 1 / 6])
    assert found[-1] == pytest.approx([w / (24**0.2 + 16**0.2 + 8**0.2) for w in (24**0.2, 16**0.2, 8**0.2)])
    summary = {item["dataset"]: (item["share"], item["last_share"]) for item in trainer.summary()}
    assert summary["sts"] == pytest.approx((found[0][2], found[-1][2]))


def test_losses_and_scores_reach_the_sampler_by_dataset(build):
    trainer = build(max_steps=2, **{**STRATEGIES["difficulty"], "sampling_options": {"interval": 4}})
    trainer.train()
    state = trainer._feedback.plan.state()
    metrics = next(log for log in trainer.state.log_history if "eval_score" in log)
    scores = dict(zip(state["datasets"], state["scores"], strict=True))
    assert scores["sst"] == metrics["eval_mood_accuracy"]
    assert scores["snips"] == pytest.approx((metrics["eval_intent_accuracy"] + metrics["eval_slots_f1"]) / 2)
    logs = [log for log in trainer.state.log_history if "loss/mood" in log]
    losses = dict(zip(state["datasets"], state["losses"], strict=True))
    assert losses["sst"] == pytest.approx(sum(log["loss/mood"] for log in logs))
    assert losses["snips"] == pytest.approx(sum((log["loss/intent"] + log["loss/slots"]) / 2 for log in logs))


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"sampling": "difficulty"}, "eval_strategy='steps'"),
        ({"sampling": "bandit", "sampling_options": {"interval": 2}, "dataloader_num_workers": 2}, "Raise interval to"),
        ({"sampling": "bandit", "ignore_data_skip": True}, "ignore_data_skip"),
        ({"sampling": "uniform", "sampling_options": {"weights": {"snip": 1}}}, "Did you mean 'snips'"),
    ],
)
def test_what_cannot_work_is_refused_before_training(build, kwargs, words):
    with pytest.raises(ValueError, match=words):
        build(**kwargs)


def test_a_checkpoint_of_another_strategy_is_refused(build, tmp_path):
    build(max_steps=2, save_steps=1).train()
    with pytest.raises(ValueError, match=r"strategy is .*BanditSampler.*, was .*ProportionalSampler"):
        resumed(build, tmp_path, 1, **STRATEGIES["exp3"])


def test_a_second_training_starts_anew(build):
    trainer = build(max_steps=5, **STRATEGIES["exp3"])
    trainer.train()
    first = trainer._feedback.plan.state()
    trainer.train()
    assert trainer._feedback.plan.state()["drawn"] == first["drawn"]
    assert sum(type(callback).__name__ == "SamplingFeedback" for callback in trainer.callback_handler.callbacks) == 1


def learnt(folder, size, **kwargs):
    """Train nine steps without dropout; return what the sampler has learnt and the shares that were logged."""
    trainer = MultiTaskTrainer(
        model_without_dropout(),
        arguments(folder, per_device_train_batch_size=size, max_steps=9, logging_steps=1, **kwargs),
        make_data(),
        None,
        make_tokenizer(),
    )
    trainer.train()
    return trainer._feedback.plan.state(), shares_logged(trainer)


_SCRIPT = """
from tests.ranks import rank_and_folder, save
from tests.unit.trainer.test_adaptive_sampling import STRATEGIES, learnt

rank, folder = rank_and_folder()
save(rank, folder, {b: learnt(folder, 4, batching=b, **STRATEGIES["exp3"]) for b in ("mixed", "homogeneous")})
"""


def test_two_ranks_learn_the_same_as_one_process_with_twice_the_batch(tmp_path):
    first, second = run_on_ranks(2, _SCRIPT, tmp_path, allowed="did not find any unused parameters")
    for batching in ("mixed", "homogeneous"):
        assert first[batching] == second[batching]
        state, shares = learnt(tmp_path, 8, batching=batching, **STRATEGIES["exp3"])
        assert first[batching][0]["drawn"] == state["drawn"]
        for found, expected in zip(first[batching][1], shares, strict=True):
            assert found == pytest.approx(expected, abs=1e-3)
