"""Heads as teachers and as students: a student that answers as its teacher has nothing to learn."""

import pytest
import torch

from hf_mtl import TaskConfig
from hf_mtl.heads import head_class
from tests.encoders import tiny_encoder
from tests.trainers import model_without_dropout

LABELS = ["x", "y", "z"]
TASKS = [
    TaskConfig("topic", "sequence-classification", labels=LABELS),
    TaskConfig("themes", "multi-label-classification", labels=LABELS),
    TaskConfig("mood", "sentiment", labels=LABELS),
    TaskConfig("stars", "sentiment", labels=LABELS, options={"loss": "ordinal"}),
    TaskConfig("tags", "token-classification", labels=["O", "B-x", "I-x"]),
    TaskConfig("value", "regression", target_mean=2.0, target_std=3.0),
    TaskConfig("pair", "regression", labels=["a", "b"], target_mean=[1.0, 2.0], target_std=[2.0, 3.0]),
]


@pytest.mark.parametrize("temperature", [1.0, 2.0, 0.5])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_student_that_answers_as_its_teacher_has_nothing_to_learn(task, temperature):
    head = model_without_dropout([task]).double().task_heads[task.name]
    is_words = head.needs_words
    shape = (4, 6) if is_words else (4,)
    columns = 3 if task.labels and task.type != "regression" else task.num_labels
    logits = torch.randn(*shape, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    if task.name == "stars":  # its logits are logarithms of probabilities
        logits = logits.log_softmax(-1)
    logits.requires_grad_()
    labels = torch.zeros(shape, dtype=torch.long)
    if is_words:
        labels[:, 0] = -100
    if task.type == "regression":
        labels = torch.zeros(4, dtype=torch.float64) if task.labels is None else torch.zeros(4, 2).double()
    soft = type(head).soft_labels(task, head.label_probabilities(logits.detach(), labels), labels)
    flat = (logits.flatten(0, 1), soft.flatten(0, 1)) if is_words else (logits, soft)
    if task.labels is not None:
        assert head.count_items(flat[1]) == head.count_items(labels)
    (gradient,) = torch.autograd.grad(head.taught_sum(*flat, temperature), logits)
    assert gradient.abs().max() < 1e-12
    (other,) = torch.autograd.grad(head.taught_sum(flat[0] * 2 + 1, flat[1], temperature), logits)
    assert other.abs().max() > 1e-3


def test_a_chain_teaches_its_marginals_and_has_no_temperature():
    task = TaskConfig("chain", "crf-tagging", labels=["O", "B-x", "I-x"])
    head = model_without_dropout([task]).double().task_heads["chain"]
    first = 1 << 30
    labels = torch.tensor([[-100, first, 1, -1, -100], [-100, first + 1, -100, 0, -100]])
    logits = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = head.label_probabilities(logits, labels).detach()
    words = torch.tensor([[False, True, True, True, False], [False, True, False, True, False]])
    torch.testing.assert_close(found.sum(-1), words.double())
    soft = type(head).soft_labels(task, found, labels)
    assert soft.shape == (2, 5, 4)
    assert torch.equal(head.has_label(soft), words)
    assert torch.equal(type(head).soft_labels(task, found, soft), soft)
    assert head.taught_sum(logits.flatten(0, 1), soft.flatten(0, 1)).isfinite()
    with pytest.raises(ValueError, match="Task 'chain': crf-tagging learns from teachers at temperature 1"):
        head.taught_sum(logits.flatten(0, 1), soft.flatten(0, 1), 2.0)


SPANS = torch.tensor([[4, -100, 1, 2, 0, -100], [7, -100, 0, 0, 0, 0], [4, -100, 3, 0, -100, -100]])
CHOICES = torch.tensor([[0, 0], [0, 1], [1, 1], [1, 0], [1, 0]])


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize(("type_", "labels"), [("question-answering", SPANS), ("multiple-choice", CHOICES)])
def test_spans_and_choices_teach_within_their_window_and_row(type_, labels, temperature):
    task = TaskConfig("one", type_)
    head = model_without_dropout([task]).double().task_heads["one"]
    shape = (*labels.shape, 2) if type_ == "question-answering" else (5, 1)
    logits = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    found = head.label_probabilities(logits.detach(), labels)
    soft = type(head).soft_labels(task, found, labels)
    assert torch.equal(type(head).soft_labels(task, found, soft), soft)
    if type_ == "question-answering":
        torch.testing.assert_close(found.sum(1), torch.ones(3, 2).double())
        assert not found[labels == -100].any()
        flat, soft, hard = logits.flatten(0, 1), soft.flatten(0, 1), labels.flatten()
        certain = torch.stack([hard.bitwise_and(1) > 0, hard.bitwise_and(2) > 0, hard >= 4], -1).double()
        certain[hard < 0] = -100
    else:
        flat, hard, certain = logits, labels, labels.double()
    assert head.count_items(soft) == head.count_items(hard)
    sure = head.taught_sum(flat, certain).detach()
    assert float(sure) == pytest.approx(float(head.loss_sum(flat, hard).detach()), abs=1e-12)
    (gradient,) = torch.autograd.grad(head.taught_sum(flat, soft, temperature), logits)
    assert gradient.abs().max() < 1e-12
    (other,) = torch.autograd.grad(head.taught_sum(flat * 2 + 1, soft, temperature), logits)
    assert other.abs().max() > 1e-3


def test_a_type_that_cannot_teach_says_so():
    task = TaskConfig("filled", "masked-lm")
    head = head_class(task)(task, tiny_encoder().config)
    with pytest.raises(TypeError, match="Task 'filled': masked-lm cannot teach another model"):
        head.label_probabilities(torch.zeros(1, 3))
