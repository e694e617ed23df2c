"""Sums, best sequences and probabilities of linear chains, against all sequences written out."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_mtl.heads._chain import Chains, lay_out


@st.composite
def chains(draw, gaps=False):
    """Return a batch of short chains; with ``gaps`` some tags of some words are ruled out."""
    lengths = torch.tensor(draw(st.lists(st.integers(0, 4), min_size=1, max_size=4)))
    tags, generator = draw(st.integers(1, 4)), torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def normal(*shape):
        return 3 * torch.randn(*shape, dtype=torch.float64, generator=generator)

    emissions = normal(len(lengths), int(lengths.max()), tags)
    if gaps:
        ruled_out = torch.rand(emissions.shape, generator=generator) < 0.5
        ruled_out[:, :, 0] = False
        emissions = emissions.masked_fill(ruled_out, -torch.inf)
    return Chains(emissions, lengths, normal(tags), normal(tags, tags), normal(tags))


def every_sequence(chain, row):
    """Return each sequence of a chain's tags with its score, added up in a plain loop."""
    length, tags = int(chain.lengths[row]), len(chain.starts)
    found = []
    for sequence in itertools.product(range(tags), repeat=length):
        score = float(sum(chain.emissions[row, word, tag] for word, tag in enumerate(sequence)))
        if sequence:
            score += float(chain.starts[sequence[0]] + chain.ends[sequence[-1]])
        score += float(sum(chain.pairs[a, b] for a, b in itertools.pairwise(sequence)))
        found.append((sequence, score))
    return found


@given(st.one_of(chains(), chains(gaps=True)))
def test_log_partition_is_that_of_all_sequences(chain):
    expected = [
        torch.tensor([s for _, s in every_sequence(chain, row)], dtype=torch.float64).logsumexp(0)
        for row in range(len(chain.lengths))
    ]
    torch.testing.assert_close(chain.log_partition(), torch.stack(expected))


@given(st.one_of(chains(), chains(gaps=True)))
def test_best_sequence_is_the_best_of_all(chain):
    best = chain.best()
    for row, length in enumerate(chain.lengths.tolist()):
        sequences = dict(every_sequence(chain, row))
        # Random scores do not tie.
        assert tuple(best[row, :length].tolist()) == max(sequences, key=sequences.get)


@given(chains(), st.randoms(use_true_random=False))
def test_score_is_that_of_the_sequence(chain, random):
    rows, width, tags = chain.emissions.shape
    given_tags = torch.tensor([[random.randrange(tags) for _ in range(width)] for _ in range(rows)]).view(rows, width)
    expected = [
        dict(every_sequence(chain, row))[tuple(given_tags[row, :length].tolist())]
        for row, length in enumerate(chain.lengths.tolist())
    ]
    torch.testing.assert_close(chain.score(given_tags), torch.tensor(expected, dtype=torch.float64))


@given(st.one_of(chains(), chains(gaps=True)))
def test_marginals_are_shares_of_all_sequences(chain):
    expected = torch.zeros_like(chain.emissions)
    for row in range(len(chain.lengths)):
        sequences = every_sequence(chain, row)
        shares = torch.tensor([score for _, score in sequences], dtype=torch.float64).softmax(0)
        for (sequence, _), share in zip(sequences, shares, strict=True):
            for word, tag in enumerate(sequence):
                expected[row, word, tag] += share
    torch.testing.assert_close(chain.marginals(), expected)


@given(chains())
def test_marginals_are_the_gradient_of_the_log_partition(chain):
    emissions = chain.emissions.clone().requires_grad_()
    total = Chains(emissions, chain.lengths, chain.starts, chain.pairs, chain.ends).log_partition().sum()
    if total.requires_grad:
        total.backward()
        torch.testing.assert_close(emissions.grad, chain.marginals())


@given(chains())
def test_nothing_behind_a_chains_end_is_read(chain):
    inside = torch.arange(chain.emissions.shape[1]) < chain.lengths[:, None]
    other = Chains(chain.emissions.masked_fill(~inside[:, :, None], 99.0), *list(vars(chain).values())[1:])
    assert torch.equal(chain.log_partition(), other.log_partition())
    assert torch.equal(chain.marginals(), other.marginals())
    assert torch.equal(chain.best() * inside, other.best() * inside)


@pytest.mark.parametrize("lengths", [[3], [1, 4], [2, 0, 3]])
def test_gradient_of_the_loss_is_right(lengths):
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor(lengths)
    shapes = [(len(lengths), int(lengths.max()), 3), (3,), (3, 3), (3,)]
    tensors = [torch.randn(*s, dtype=torch.float64, generator=generator, requires_grad=True) for s in shapes]
    tags = torch.randint(3, shapes[0][:2], generator=generator)
    some = torch.rand(shapes[0], generator=generator) < 0.4
    some[:, :, 1] = False

    def labelled(emissions, starts, pairs, ends):
        chain = Chains(emissions, lengths, starts, pairs, ends)
        return chain.log_partition() - chain.score(tags)

    def partly_labelled(emissions, starts, pairs, ends):
        chain = Chains(emissions, lengths, starts, pairs, ends)
        right = Chains(emissions.masked_fill(some, -torch.inf), lengths, starts, pairs, ends)
        return chain.log_partition() - right.log_partition()

    assert torch.autograd.gradcheck(labelled, tensors)
    assert torch.autograd.gradcheck(partly_labelled, tensors)


def test_far_apart_transitions_lose_nothing():
    pairs = torch.tensor([[0.0, -600.0], [-600.0, 0.0]], dtype=torch.float64)
    zeros = torch.zeros(2, dtype=torch.float64)
    emissions = torch.tensor([[[0.0, -500.0], [-700.0, 0.0]]], dtype=torch.float64)
    chain = Chains(emissions, torch.tensor([2]), zeros, pairs, zeros)
    scores = torch.tensor([s for _, s in every_sequence(chain, 0)], dtype=torch.float64)
    torch.testing.assert_close(chain.log_partition()[0], scores.logsumexp(0))


def test_chains_without_any_word_are_neither_good_nor_bad():
    zeros = torch.zeros(2)
    empty = Chains(torch.zeros(2, 0, 2), torch.tensor([0, 0]), zeros, torch.zeros(2, 2), zeros)
    assert empty.log_partition().tolist() == empty.score(torch.zeros(2, 0, dtype=torch.long)).tolist() == [0.0, 0.0]
    assert empty.best().shape == (2, 0)
    assert empty.marginals().shape == (2, 0, 2)
    assert lay_out(torch.tensor([], dtype=torch.long)).rows == 0
