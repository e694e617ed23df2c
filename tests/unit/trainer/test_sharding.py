"""Ranks share an epoch's rows: each row once, in the order that one rank would see with a larger batch."""

from collections import Counter
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_mtl.data import MixtureBatchSampler
from hf_mtl.samplers import ProportionalSampler
from tests.ranks import run_on_ranks

# Sizes that divide by nothing: few of the sums are multiples of a batch.
sizes = st.lists(st.integers(1, 61), min_size=1, max_size=4)
cases = {
    "sizes": sizes,
    "batch_size": st.integers(1, 7),
    "accumulation": st.integers(1, 3),
    "epoch": st.integers(0, 2),
    "seed": st.integers(0, 3),
}


def batches(sizes, batch_size, epoch, **kwargs):
    sampler = MixtureBatchSampler(
        {f"{i:03}": size for i, size in enumerate(sizes)}, ProportionalSampler(), batch_size, **kwargs
    )
    sampler.set_epoch(epoch)
    return [list(batch) for batch in sampler]


def real(batch):
    """A batch without its filler: a negative number stands for a row without its labels."""
    return [row for row in batch if row >= 0]


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("batching", ["mixed", "homogeneous"])
@given(**cases)
def test_ranks_together_see_each_row_once_an_epoch(batching, world_size, sizes, batch_size, accumulation, epoch, seed):
    kwargs = {"batching": batching, "accumulation": accumulation, "seed": seed, "world_size": world_size}
    ranks = [batches(sizes, batch_size, epoch, rank=rank, **kwargs) for rank in range(world_size)]
    seen = Counter(row for rank in ranks for batch in rank for row in real(batch))
    # Each once: so no two ranks have a row in common, either.
    assert seen == Counter(range(sum(sizes)))
    # A rank with a batch less than another would leave it waiting for ever.
    assert len({len(rank) for rank in ranks}) == 1
    assert all(batch and len(batch) <= batch_size for rank in ranks for batch in rank)


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("batching", ["mixed", "homogeneous"])
@given(**cases)
def test_ranks_see_the_sequence_of_one_rank_with_a_larger_batch(
    batching, world_size, sizes, batch_size, accumulation, epoch, seed
):
    kwargs = {"batching": batching, "accumulation": accumulation, "seed": seed}
    alone = batches(sizes, batch_size * world_size, epoch, **kwargs)
    ranks = [batches(sizes, batch_size, epoch, rank=r, world_size=world_size, **kwargs) for r in range(world_size)]
    shared = [list(chain.from_iterable(map(real, step))) for step in zip(*ranks, strict=True)]
    assert shared == [real(batch) for batch in alone]


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("batching", ["mixed", "homogeneous"])
@given(**cases)
def test_optimizer_steps_hold_the_same_rows_however_they_are_cut(
    batching, world_size, sizes, batch_size, accumulation, epoch, seed
):
    whole = batches(sizes, batch_size * world_size * accumulation, epoch, batching=batching, seed=seed)
    kwargs = {"batching": batching, "seed": seed, "accumulation": accumulation, "world_size": world_size}
    ranks = [batches(sizes, batch_size, epoch, rank=rank, **kwargs) for rank in range(world_size)]
    micro = [list(chain.from_iterable(map(real, step))) for step in zip(*ranks, strict=True)]
    steps = [micro[i : i + accumulation] for i in range(0, len(micro), accumulation)]
    assert [list(chain.from_iterable(step)) for step in steps] == whole


_SEEN = """
from hf_mtl import MultiTaskTrainer
from tests.conftest import make_tokenizer
from tests.ranks import arguments, rank_and_folder, save
from tests.trainers import make_data, model_without_dropout

rank, folder = rank_and_folder()
starts = {"snips": 0, "sst": 24, "sts": 40}

class Seeing(MultiTaskTrainer):
    def training_step(self, model, inputs, *args, **kwargs):
        seen.append(inputs.pop("seen"))
        return super().training_step(model, inputs, *args, **kwargs)

class Noting:
    def __init__(self, collator):
        self.heads, self.collator = collator.heads, collator

    def __call__(self, rows):
        # A filler has no labels.
        return {**self.collator(rows), "seen": [starts[row.dataset] + row.index for row in rows if row.labels]}

found = {}
for batching in ("mixed", "homogeneous"):
    seen = found[batching] = []
    args = arguments(
        folder, batching=batching, per_device_train_batch_size=5, num_train_epochs=2, gradient_accumulation_steps=2
    )
    trainer = Seeing(model_without_dropout(), args, make_data(), None, make_tokenizer())
    trainer.data_collator = Noting(trainer.data_collator)
    trainer.train()
save(rank, folder, found)
"""


def test_two_training_processes_see_each_row_once_an_epoch(tmp_path):
    # A first batch may hold rows of all tasks.
    ranks = run_on_ranks(2, _SEEN, tmp_path, allowed="did not find any unused parameters")
    for batching in ("mixed", "homogeneous"):
        first, second = (rank[batching] for rank in ranks)
        assert len(first) == len(second)
        half = len(first) // 2
        for epoch in (slice(0, half), slice(half, None)):
            assert Counter(chain(*first[epoch], *second[epoch])) == Counter(range(48))
