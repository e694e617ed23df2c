"""Laws that the divergence of two answers obeys for every task type: those of the table of heads."""

import pytest
import torch

from hf_mtl import MultiTaskModel, TaskConfig
from tests.contract.test_heads import INPUT_IDS, LABELS, MASK, TASKS, labels_of, tasks_of
from tests.encoders import FAMILIES, tiny_encoder
from tests.own_heads import WordNumbersHead

#: Own types beside the library's, whose divergence is held to the same laws.
WITH_OWN = [*TASKS, TaskConfig("loudness", "word-numbers")]


def judged(family="bert", unpad="auto"):
    """Return each head with two answers to the same items, of an encoder and of one that differs, and the labels."""
    torch.manual_seed(1)
    tasks = [task for task in WITH_OWN if task in tasks_of(family) or task.type == "word-numbers"]
    model = MultiTaskModel.from_encoder(
        tiny_encoder(family), tasks, heads={"word-numbers": WordNumbersHead}, unpad=unpad
    ).eval()
    for parameter in model.heads.parameters():  # answers far apart, transitions that are not zero
        torch.nn.init.normal_(parameter)
    labels = labels_of(model) | {"loudness": torch.where(LABELS["tags"] < 0, torch.nan, LABELS["tags"].double())}
    found = {name: [] for name in labels}
    for scale in (1.0, 1.5):
        with torch.no_grad():
            for parameter in model.encoder.parameters():
                parameter.mul_(scale)
            states, layers = model.encode_states({"input_ids": INPUT_IDS}, MASK)
            for name, head in model.task_heads.items():
                found[name].append(head.run(head.read(states, layers), model.encoder, labels[name]))
    assert found.keys() == model.task_heads.keys()
    answers = []
    for name, head in model.task_heads.items():
        if head.level == "token" and not unpad:  # padding and all, as evaluation has them
            answers.append((head, *(out.shown.flatten(0, 1) for out in found[name]), labels[name].flatten()))
        else:
            answers.append((head, *(out.logits for out in found[name]), found[name][0].labels))
    return answers


def test_divergence_is_zero_for_equal_answers_else_positive_and_symmetric():
    for head, a, b, labels in judged():
        there, back = head.divergence_sum(a, b, labels), head.divergence_sum(b, a, labels)
        assert there.shape == (), head.task.name
        assert there > 0, head.task.name
        assert torch.equal(there, back), head.task.name
        assert head.divergence_sum(a, a, labels) == 0, head.task.name
        half = head.divergence_sum(a.bfloat16(), b.bfloat16(), labels)
        assert half.dtype in (torch.float32, torch.float64), head.task.name
        torch.testing.assert_close(half.to(there), there, rtol=0.1, atol=1e-2)
        assert head.divergence_sum(a[:0], b[:0], labels[:0]) == 0, head.task.name


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3])
def test_divergence_has_finite_gradients_that_vanish_for_equal_answers(scale):
    for head, a, b, labels in judged():
        for other in (b, a):
            one, two = (scale * a).requires_grad_(), (scale * other).requires_grad_()
            total = head.divergence_sum(one, two, labels)
            total.backward()
            for value in (total, one.grad, two.grad):
                assert value.isfinite().all(), head.task.name
            if other is a:
                torch.testing.assert_close(one.grad, torch.zeros_like(a), rtol=0, atol=1e-6 * max(scale, 1))
            elif scale == 1:
                for value in (one.grad, two.grad):
                    assert value.any(), head.task.name


def test_divergence_reads_nothing_of_items_without_a_label():
    for head, a, b, labels in judged():
        if head.task.type == "multiple-choice" or head.task.is_multi_label:
            continue  # every row has a label
        if labels.ndim == 1 and head.level == "sequence" and not labels.is_floating_point():
            labels = labels.clone()
            labels[1] = int(head.no_label)
        unlabelled = labels.isnan() | labels.eq(-100)
        some = a.clone().masked_fill(unlabelled if unlabelled.shape == a.shape else unlabelled[:, None], torch.nan)
        some.requires_grad_()
        total = head.divergence_sum(some, b, labels)
        assert torch.equal(total, head.divergence_sum(a, b, labels)), head.task.name
        total.backward()
        assert some.grad.isfinite().all(), head.task.name
        assert not some.grad[some.isnan()].any(), head.task.name
        nothing = torch.full_like(labels, torch.nan if labels.is_floating_point() else -100)
        assert head.divergence_sum(some, b, nothing) == 0, head.task.name


def test_divergence_is_the_sum_over_rows():
    for head, a, b, labels in judged(unpad=False):
        total = head.divergence_sum(a, b, labels)
        length = INPUT_IDS.shape[1] if head.level == "token" else 1
        parts = [slice(i, i + length) for i in range(0, len(labels), length)]
        if head.task.type == "multiple-choice":
            parts = [labels[:, 0] == row for row in labels[:, 0].unique()]
        rows = []
        for part in parts:
            of_part = labels[part].clone()
            if head.task.type == "multiple-choice":
                of_part[:, 0] = 0
            rows.append(head.divergence_sum(a[part], b[part], of_part))
        torch.testing.assert_close(sum(rows), total, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_padded_run_gives_the_same_divergence(family):
    for (head, *padded), (_, *flat) in zip(judged(family, False), judged(family), strict=True):
        torch.testing.assert_close(head.divergence_sum(*padded), head.divergence_sum(*flat), rtol=1e-3, atol=1e-5)
