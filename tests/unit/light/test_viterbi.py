"""The best sequence of tags, against the recursion written out over all pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_mtl_light.tags import LegalTags, best_sequences


def best_scores(emissions, lengths, starts, pairs, ends):
    found = []
    for rows, length in zip(emissions, lengths, strict=True):
        scores = starts + rows[0]
        for row in rows[1:length]:
            scores = (scores[:, None] + pairs).max(0) + row
        found.append((scores + ends).max())
    return found


def scores_of(tags, emissions, lengths, starts, pairs, ends):
    return [
        starts[row[0]]
        + sum(rows[word, row[word]] for word in range(length))
        + sum(pairs[row[word - 1], row[word]] for word in range(1, length))
        + ends[row[length - 1]]
        for row, rows, length in zip(tags, emissions, lengths, strict=True)
    ]


@settings(max_examples=60, deadline=None)
@given(
    labels=st.integers(1, 40),
    bound=st.floats(0, 1),
    few=st.integers(1, 4),
    are_scored=st.booleans(),
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    seed=st.integers(0, 2**32),
)
def test_sequences_are_best_whatever_may_follow_what(labels, bound, few, are_scored, lengths, seed):
    random = np.random.default_rng(seed)
    pairs = random.normal(size=(labels, labels)) if are_scored else np.zeros((labels, labels))
    for column in np.flatnonzero(random.random(labels) < bound):
        kept = random.permutation(labels)[: random.integers(0, few + 1)]
        pairs[np.setdiff1d(np.arange(labels), kept), column] = -np.inf
    # A tag that may always go on: each text has a sequence.
    pairs[0, 0] = 0
    emissions = random.normal(scale=3, size=(len(lengths), max(lengths), labels))
    starts, ends = random.normal(size=(2, labels))
    chain = emissions, np.array(lengths), starts, pairs, ends
    tags = best_sequences(*chain)
    assert scores_of(tags.tolist(), *chain) == pytest.approx(best_scores(*chain))


@pytest.mark.parametrize("scheme", ["IOB2", "IOBES", "BILOU", "IOB1"])
def test_many_types_of_entities_are_decoded_as_over_all_pairs(scheme):
    prefixes = {"IOB1": "BI", "IOB2": "BI", "IOBES": "BIES", "BILOU": "BILU"}[scheme]
    legal = LegalTags.of(["O", *(f"{p}-{kind}" for kind in range(20) for p in prefixes)], scheme)
    starts, pairs, ends = (np.where(may, 0.0, -np.inf) for may in (legal.starts, legal.pairs, legal.ends))
    emissions = np.random.default_rng(0).normal(size=(30, 12, len(starts)))
    lengths = np.random.default_rng(1).integers(1, 13, 30)
    chain = emissions, lengths, starts, pairs, ends
    tags = best_sequences(*chain)
    assert scores_of(tags.tolist(), *chain) == pytest.approx(best_scores(*chain))
