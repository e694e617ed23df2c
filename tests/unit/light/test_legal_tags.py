"""Decoding among legal tags, against all sequences, a plain loop and seqeval's strict reading of the schemes."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from hf_mtl.metrics._spans import lenient_spans, strict_spans
from hf_mtl_light.tags import LegalTags, best_legal_tags

LABELS = {
    "IOB1": ["O", "B-x", "I-x", "B-y", "I-y"],
    "IOB2": ["O", "B-x", "I-x", "B-y", "I-y", "I-z"],
    "IOBES": ["E-x", "O", "B-x", "I-x", "S-x", "S-y", "B-y", "E-y"],
    "BILOU": ["O", "B-x", "I-x", "L-x", "U-x", "U-y"],
}


def is_legal(tags, scheme):
    """Return whether a row's tags follow a scheme, read off the definitions of the schemes one tag at a time."""
    first, last, single = {"IOBES": "BES", "BILOU": "BLU"}.get(scheme, "B  ")
    inside = None  # the type of an entity that is not yet over
    before = None
    for tag in tags:
        prefix, kind = tag[0], tag[2:]
        if scheme == "IOB1":
            if prefix == "B" and before != kind:
                return False
        elif scheme == "IOB2":
            if prefix == "I" and before != kind:
                return False
        else:
            if prefix in ("I", last):
                if inside != kind:
                    return False
            elif inside is not None:
                return False
            inside = kind if prefix in (first, "I") else None
            assert prefix in ("O", first, "I", last, single)
        before = kind if prefix != "O" else None
    return inside is None


schemes = st.sampled_from(sorted(LABELS))
numbers = st.one_of(st.floats(-30, 30), st.sampled_from([-math.inf, math.inf, math.nan, 0.0, 1e30, -1e30]))


@st.composite
def texts(draw, values=numbers, longest=9):
    """Return a scheme, its labels, logits of several texts laid end to end, and their lengths."""
    scheme = draw(schemes)
    labels = draw(st.permutations(LABELS[scheme]))
    lengths = draw(st.lists(st.integers(0, longest), min_size=0, max_size=4))
    rows = draw(
        st.lists(
            st.lists(values, min_size=len(labels), max_size=len(labels)), min_size=sum(lengths), max_size=sum(lengths)
        )
    )
    return scheme, labels, torch.tensor(rows).view(-1, len(labels)), torch.tensor(lengths, dtype=torch.long)


def decode(scheme, labels, logits, lengths):
    ids = best_legal_tags(logits.numpy(), LegalTags.of(labels, scheme), lengths.numpy())
    return [[labels[i] for i in row.tolist()] for row in torch.from_numpy(ids).split(lengths.tolist())]


@given(texts())
def test_no_logits_whatever_give_an_illegal_sequence(text):
    scheme = text[0]
    assert all(is_legal(tags, scheme) for tags in decode(*text))


@given(texts(values=st.floats(-30, 30, width=32), longest=4))
def test_score_is_the_best_of_all_legal_sequences(text):
    scheme, labels, logits, lengths = text
    for tags, part in zip(decode(*text), logits.split(lengths.tolist()), strict=True):
        scores = part.double().log_softmax(-1).tolist()

        def score(sequence, scores=scores):
            return sum(row[labels.index(tag)] for row, tag in zip(scores, sequence, strict=True))

        legal = (s for s in itertools.product(labels, repeat=len(part)) if is_legal(s, scheme))
        assert score(tags) == pytest.approx(max(map(score, legal)), abs=1e-9)


@given(texts(values=st.one_of(st.floats(-30, 30, width=32), st.just(-math.inf)), longest=4))
def test_a_tag_that_is_ruled_out_is_taken_only_where_it_must_be(text):
    scheme, labels, logits, lengths = text
    for tags, part in zip(decode(*text), logits.split(lengths.tolist()), strict=True):
        scores = part.double().log_softmax(-1).tolist()

        def cost(sequence, scores=scores):
            """Return how many tags are ruled out, and minus the score of the others."""
            of_tags = [row[labels.index(tag)] for row, tag in zip(scores, sequence, strict=True)]
            return of_tags.count(-math.inf), -sum(value for value in of_tags if value > -math.inf)

        if not part.isneginf().all(-1).any():
            least = min(cost(s) for s in itertools.product(labels, repeat=len(part)) if is_legal(s, scheme))
            assert cost(tags) == (least[0], pytest.approx(least[1], abs=1e-6))


@given(texts())
def test_best_tags_that_are_legal_are_kept(text):
    scheme, labels, logits, lengths = text
    best = [[labels[i] for i in row.argmax(-1).tolist()] for row in logits.split(lengths.tolist())]
    for tags, plainly_best in zip(decode(*text), best, strict=True):
        if is_legal(plainly_best, scheme):
            assert tags == plainly_best


@given(texts(values=st.floats(-30, 30, width=32)))
def test_texts_together_are_decoded_as_by_a_plain_loop_over_each(text):
    scheme, labels, logits, lengths = text

    def viterbi(rows):
        best = {}  # tag: (score, sequence)
        for word, row in enumerate(rows):
            candidates = {}
            for tag, score in zip(labels, row, strict=True):
                so_far = best.values() if word else [(0.0, [])]
                options = [(s + score, [*seq, tag]) for s, seq in so_far if is_prefix([*seq, tag])]
                if options:
                    candidates[tag] = max(options, key=lambda option: option[0])
            best = candidates
        ended = [option for option in best.values() if is_legal(option[1], scheme)]
        return max(ended, key=lambda option: option[0]) if ended else (0.0, [])

    def is_prefix(sequence):
        # What may still become legal: closed by the tag that ends its entity, if it has one.
        last = {"IOBES": "E", "BILOU": "L"}.get(scheme)
        return is_legal(sequence, scheme) or (
            last is not None and is_legal([*sequence, f"{last}{sequence[-1][1:]}"], scheme)
        )

    for tags, part in zip(decode(*text), logits.split(lengths.tolist()), strict=True):
        scores = part.double().log_softmax(-1)
        expected, _ = viterbi(scores.tolist())
        found = float(sum(scores[word, labels.index(tag)] for word, tag in enumerate(tags)))
        assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("scheme", ["IOB2", "IOBES"])
@given(data=st.data())
def test_legal_tags_are_those_that_are_read_alike_leniently_and_strictly(scheme, data):
    labels = LABELS[scheme]
    tags = data.draw(st.lists(st.sampled_from(labels), min_size=1, max_size=6))
    ids = np.array([labels.index(tag) for tag in tags])
    broken = bool(LegalTags.of(labels, scheme).broken_by(ids, np.array([len(tags)]))[0])
    assert broken != is_legal(tags, scheme)
    if not broken:
        assert lenient_spans(tags) == strict_spans(tags, scheme=scheme)


@given(texts())
@example(("IOB2", LABELS["IOB2"], torch.zeros(0, 6), torch.tensor([], dtype=torch.long)))
def test_single_texts_are_decoded_as_in_a_batch(text):
    scheme, labels, logits, lengths = text
    alone = [decode(scheme, labels, part, torch.tensor([len(part)]))[0] for part in logits.split(lengths.tolist())]
    assert alone == decode(*text)


def test_ties_give_a_legal_sequence():
    legal = LegalTags.of(LABELS["IOBES"], "IOBES")
    assert best_legal_tags(np.zeros((3, 8)), legal).tolist() != [0, 0, 0]  # E-x is the first of the best
    assert not legal.broken_by(best_legal_tags(np.zeros((3, 8)), legal), np.array([3])).any()


@pytest.mark.parametrize(
    ("labels", "scheme"),
    [
        (["NOUN", "VERB"], "plain"),
        (["B-x", "E-x"], "IOBES"),
        (["I-x", "E-x"], "IOBES"),
        (["I-x", "I-y"], "IOB2"),
    ],
)
def test_labels_without_a_legal_text_of_each_length_are_decoded_word_by_word(labels, scheme):
    assert LegalTags.of(labels, scheme) is None
    assert best_legal_tags(np.array([[0.0, 1.0, 0.5][: len(labels)]]), None).tolist() == [1]
