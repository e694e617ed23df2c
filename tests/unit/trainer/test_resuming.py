"""Resuming at any step equals not stopping, and reads nothing twice."""

import re

import pytest
import torch
from accelerate.data_loader import SkipBatchSampler
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from hf_mtl.data import DatasetMixture, DrawnBatch, MixtureBatchSampler
from hf_mtl.samplers import ProportionalSampler

STEPS = 8  # of 6 an epoch: the second epoch ends early


class Digests(TrainerCallback):
    """Keeps the weights after every step."""

    def __init__(self):
        self.weights = {}

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.weights[state.global_step] = [p.detach().clone() for p in model.parameters()]


@pytest.fixture
def unbroken(build, tmp_path):
    """Train with a checkpoint after every step; return the weights after each."""

    def unbroken(**kwargs):
        digests = Digests()
        build(max_steps=STEPS, save_steps=1, trainer_kwargs={"callbacks": [digests]}, **kwargs).train()
        return digests.weights

    return unbroken


def resumed(build, tmp_path, step, **kwargs):
    digests = Digests()
    trainer = build(max_steps=STEPS, save_strategy="no", trainer_kwargs={"callbacks": [digests]}, **kwargs)
    trainer.train(resume_from_checkpoint=str(tmp_path / "out" / f"checkpoint-{step}"))
    return digests.weights


def assert_equal(found, expected):
    for step, weights in found.items():
        assert all(torch.equal(a, b) for a, b in zip(weights, expected[step], strict=True)), f"step {step} differs"


@pytest.mark.parametrize("batching", ["mixed", "homogeneous"])
def test_weights_are_bit_equal_from_whichever_step_training_resumes(build, unbroken, tmp_path, batching):
    expected = unbroken(batching=batching)
    for step in (1, 4, 5, 6, 7):  # in an epoch, before its last batch, at its end, in the next one
        found = resumed(build, tmp_path, step, batching=batching)
        assert sorted(found) == list(range(step + 1, STEPS + 1))
        assert_equal(found, expected)


@pytest.mark.parametrize("accumulation", [2, 3])
def test_weights_are_bit_equal_with_accumulation(build, unbroken, tmp_path, accumulation):
    kwargs = {"gradient_accumulation_steps": accumulation, "per_device_train_batch_size": 3}
    expected = unbroken(**kwargs)
    for step in (1, 4, 7):
        assert_equal(resumed(build, tmp_path, step, **kwargs), expected)


# Three may be more than the machine has cores, on which torch remarks.
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_weights_are_bit_equal_with_loader_workers(build, unbroken, tmp_path):
    expected = unbroken()
    for workers, step in ((1, 2), (2, 5), (3, 7)):
        found = resumed(build, tmp_path, step, dataloader_num_workers=workers)
        assert sorted(found) == list(range(step + 1, STEPS + 1))
        assert_equal(found, expected)


def test_weights_are_bit_equal_with_evaluations_between(build, unbroken, tmp_path):
    kwargs = {"eval_strategy": "steps", "eval_steps": 2}
    expected = unbroken(**kwargs)
    for step in (3, 6):
        assert_equal(resumed(build, tmp_path, step, **kwargs), expected)


def test_rows_trained_on_before_are_not_read_again(build, unbroken, tmp_path, monkeypatch):
    unbroken()
    read = []
    original = DatasetMixture.__getitems__
    monkeypatch.setattr(
        DatasetMixture, "__getitems__", lambda self, rows: read.append(list(rows)) or original(self, rows)
    )
    resumed(build, tmp_path, 4)
    # The fifth and sixth batch of the first epoch, and two of the second. A loader reads one batch ahead.
    sampler = MixtureBatchSampler({"snips": 24, "sst": 16, "sts": 8}, ProportionalSampler(), 8, seed=42)
    wanted = [sampler.batch(0, 4), sampler.batch(0, 5), *(sampler.batch(1, step) for step in range(2))]
    assert read[: len(wanted)] == wanted
    assert len(read) <= len(wanted) + 1


def test_passing_over_batches_computes_none_of_them(monkeypatch):
    sampler = MixtureBatchSampler({"large": 10**7, "small": 10**6}, ProportionalSampler(), 32, seed=1)
    computed = []
    original = MixtureBatchSampler.batch
    monkeypatch.setattr(
        MixtureBatchSampler, "batch", lambda self, epoch, step: computed.append(step) or original(self, epoch, step)
    )
    first = next(iter(SkipBatchSampler(sampler, 3000)))
    assert list(first) == original(sampler, 0, 3000)
    assert computed == [3000]


def test_lazy_batches_equal_lists_and_cross_to_a_worker_without_their_sampler():
    import pickle

    sampler = MixtureBatchSampler({"a": 5, "b": 4}, ProportionalSampler(), 4, seed=1)
    lazy, eager = next(iter(sampler)), sampler.batch(0, 0)
    assert lazy == eager
    assert eager == lazy
    assert lazy != eager[::-1]
    assert (len(lazy), lazy[1], lazy[1:3]) == (4, eager[1], eager[1:3])
    crossed = pickle.loads(pickle.dumps(lazy))
    assert (type(crossed), crossed, crossed.passes) == (DrawnBatch, eager, eager.passes)


@pytest.mark.parametrize("change", ["lacks", "holds"])
def test_a_checkpoint_with_other_weights_is_refused_by_name(build, tmp_path, change):
    build(max_steps=2, save_steps=1).train()
    file = tmp_path / "out" / "checkpoint-1" / "model.safetensors"
    weights = load_file(file)
    name = next(name for name in weights if name.startswith("heads."))
    if change == "lacks":
        del weights[name]
    else:
        name = "heads.more.weight"
        weights[name] = torch.zeros(2)
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=rf"The checkpoint {change} .*{re.escape(name)}.*Resume from another"):
        build(max_steps=2).train(resume_from_checkpoint=str(file.parent))
