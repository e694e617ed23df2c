"""How far two answers differ, against torch's own distributions and against all sequences written out."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Categorical, kl_divergence

from hf_mtl import TaskConfig
from hf_mtl.heads import Head, SequenceClassificationHead, head_class
from hf_mtl.heads._divergence import class_divergence, group_divergence, label_divergence
from hf_mtl.heads.crf_tagging import FIRST
from tests.encoders import tiny_config


def head_of(type_, **fields):
    task = TaskConfig("task", type_, **fields)
    return head_class(task)(task, tiny_config("bert")).eval()


def both_ways(make, a, b):
    """Return the mean of both divergences of what ``make`` returns, by torch."""
    p, q = make(logits=a.double()), make(logits=b.double())
    return (kl_divergence(p, q) + kl_divergence(q, p)) / 2


def normal(*shape, seed=0, scale=3.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**31), st.floats(0, 20))
def test_divergences_are_those_of_torch_distributions(rows, classes, seed, scale):
    a, b = normal(rows, classes, seed=seed, scale=scale), normal(rows, classes, seed=seed + 1, scale=scale)
    expected = both_ways(Categorical, a, b).sum()
    found = class_divergence(a, b, torch.ones(rows, dtype=torch.bool))
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        label_divergence(a, b).double(), both_ways(Bernoulli, a, b).mean(1).sum(), rtol=1e-4, atol=1e-4
    )
    groups = torch.arange(rows).repeat_interleave(classes)
    grouped = group_divergence(a.reshape(-1, 1), b.reshape(-1, 1), groups)
    torch.testing.assert_close(grouped.double(), expected, rtol=1e-4, atol=1e-4)


def test_spans_diverge_by_the_mean_of_both_ends_of_each_window():
    a, b = normal(7, 2), normal(7, 2, seed=1)
    windows = [[0, 2, 3], [4, 6]]  # tokens of the context; 1 and 5 are those of a question
    labels = torch.tensor([7, -100, 0, 0, 5, -100, 2])
    expected = sum(both_ways(Categorical, a[w, end], b[w, end]) for w in windows for end in (0, 1)) / 2
    found = head_of("question-answering").divergence_sum(a, b, labels)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


def test_numbers_diverge_by_their_squared_difference_in_standard_deviations():
    head = head_of("regression", labels=["x", "y"], target_mean=[5.0, 1.0], target_std=[10.0, 1.0])
    labels = torch.tensor([[1.0, 2.0], [float("nan"), 3.0]])
    a, b = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0.0, 2.0], [9.0, 6.0]])
    assert head.divergence_sum(a, b, labels) == 1 + 4


def marginals(head, logits):
    """Return the probability of each tag of the words of one chain, by all sequences written out."""
    words, tags = logits.shape
    found = torch.zeros(words, tags, dtype=torch.float64)
    for sequence in itertools.product(range(tags), repeat=words):
        score = sum(logits[word, tag].double() for word, tag in enumerate(sequence))
        score = score + head.starts[sequence[0]] + head.ends[sequence[-1]]
        score = score + sum(head.transitions[pair].double() for pair in itertools.pairwise(sequence))
        for word, tag in enumerate(sequence):
            found[word, tag] += score.exp()
    return found / found.sum(1, keepdim=True)


def test_chains_diverge_by_the_marginals_of_their_labelled_words():
    head = head_of("crf-tagging", labels=["O", "B-x", "I-x"])
    torch.manual_seed(1)
    for parameter in (head.starts, head.transitions, head.ends):
        torch.nn.init.normal_(parameter)
    labels = torch.tensor([-100, FIRST, -1, -100, 2, FIRST - 1, 1])
    a, b = normal(7, 3), normal(7, 3, seed=1)
    expected = torch.zeros((), dtype=torch.float64)
    with torch.no_grad():
        for words, labelled in (([1, 2, 4], [0, 2]), ([5, 6], [1])):
            p, q = (marginals(head, each[words])[labelled].log() for each in (a, b))
            expected += both_ways(Categorical, p, q).sum()
        found = head.divergence_sum(a, b, labels)
    torch.testing.assert_close(found, expected)
    with pytest.raises(ValueError, match="which marks where each text begins"):
        head.divergence_sum(a[2:], b[2:], torch.tensor([1, 2, 0, 0, 1]))


def test_ordinal_answers_diverge_over_the_places_on_the_scale():
    head = head_of("sentiment", labels=["1", "2", "3"], options={"loss": "ordinal"})
    a, b = normal(4, 3).log_softmax(-1), normal(4, 3, seed=1).log_softmax(-1)
    expected = both_ways(Categorical, a, b)[[0, 1, 3]].sum()
    found = head.divergence_sum(a, b, torch.tensor([2, 0, -100, 1]))
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


def test_a_type_without_divergence_is_named_with_the_remedy():
    class Plain(SequenceClassificationHead):
        divergence_sum = Head.divergence_sum

    task = TaskConfig("mood", "plain", labels=["bad", "good"])
    head = head_class(task, {"plain": Plain})(task, tiny_config("bert"))
    with pytest.raises(TypeError, match="Task 'mood': Plain does not say how far two answers differ"):
        head.divergence_sum(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1))
