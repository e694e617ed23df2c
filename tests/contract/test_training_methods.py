"""Laws that every training method obeys: those of the table, on every task type, and in short trainings."""

import pytest
import torch

from hf_mtl import MultiTaskModel, MultiTaskTrainer
from hf_mtl.training_methods import METHODS, AdversarialMethod, make_methods
from hf_mtl.training_methods._perturbation import norms
from tests.conftest import make_tokenizer
from tests.encoders import FAMILIES, tiny_encoder
from tests.options import METHODS as OPTIONS
from tests.ranks import arguments, run_on_ranks
from tests.trainers import TASKS, make_data
from tests.training_methods import gradients, micro_batch, model_of_all_types

#: Distillation needs teachers: tests/unit/training_methods/test_distillation.py holds it to the same laws.
TRAINED = pytest.mark.parametrize("name", [name for name in METHODS if name != "distillation"])
#: Those that add a loss.
ADDING = pytest.mark.parametrize("name", [n for n, k in METHODS.items() if k.adds_loss and n != "distillation"])
#: Mixup needs the training rows: tests/unit/training_methods/test_mixup.py holds it to the laws of single batches.
NAMES = pytest.mark.parametrize(
    "name", [n for n, k in METHODS.items() if k.adds_loss and n not in ("distillation", "mixup")]
)
#: Those that perturb embeddings against the model.
ADVERSARIES = pytest.mark.parametrize("name", [n for n, k in METHODS.items() if issubclass(k, AdversarialMethod)])


def made(name, **changes):
    return make_methods({name: {**OPTIONS[name], **changes}})[name]


def assert_close(found, expected, tolerance=1e-9):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert (found[name] - value).norm() <= tolerance * value.norm() + 1e-12, name


def gradients_of(losses, model):
    names, parameters = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(sum(losses.values()), parameters, allow_unused=True)
    return {name: gradient for name, gradient in zip(names, found, strict=True) if gradient is not None}


def test_options_are_given_for_every_method():
    assert OPTIONS.keys() == METHODS.keys() - {"distillation"}
    assert all(OPTIONS[name].items() <= made(name).options().items() for name in OPTIONS)


@NAMES
def test_every_task_type_gets_a_loss_with_gradients(name):
    model = model_of_all_types()
    batch = micro_batch(model)
    added = made(name).added_losses(batch)
    assert added.keys() == batch.heads.keys() == model.task_heads.keys()
    for task, loss in added.items():
        assert loss.shape == (), task
        assert loss.isfinite(), task
        assert loss != 0, task
        found = torch.autograd.grad(loss, list(model.encoder.parameters()), retain_graph=True, allow_unused=True)
        assert any(g is not None and g.any() for g in found), task
        assert all(g is None or g.isfinite().all() for g in found), task
    assert not model.get_input_embeddings()._forward_hooks


@NAMES
def test_losses_of_a_batch_are_the_sums_over_its_rows(name):
    model, method = model_of_all_types(), made(name)
    # Choices of one question are rows that belong together.
    tasks = [task for task in model.task_heads if task not in ("right", "best")]
    whole = method.added_losses(micro_batch(model, tasks=tasks))
    parts = [method.added_losses(micro_batch(model, slice(i, i + 1), tasks)) for i in range(3)]
    for task, loss in whole.items():
        torch.testing.assert_close(sum(part[task] for part in parts), loss, rtol=1e-6, atol=1e-9)


@NAMES
def test_padded_run_gives_the_same_losses_and_gradients(name):
    found = []
    for unpad in (True, False):
        model = model_of_all_types(unpad=unpad)
        losses = made(name).added_losses(micro_batch(model))
        found.append((losses, gradients_of(losses, model)))
    assert_close(found[0][0], found[1][0], 1e-6)
    assert_close(found[0][1], found[1][1], 1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_embeddings_of_every_family_can_be_perturbed(family):
    for unpad in ("auto", False):
        torch.manual_seed(1)
        model = MultiTaskModel.from_encoder(tiny_encoder(family), TASKS[:2], unpad=unpad).eval()
        batch = micro_batch(model, tasks=[])
        delta = batch.noise(1.0, "row", "")
        with torch.no_grad():
            plain, moved = (batch.again(d).last_hidden_state for d in (None, delta))
            zero = batch.again(torch.zeros_like(delta)).last_hidden_state
        assert torch.equal(zero, plain)
        assert ((moved - plain).abs().amax(-1) > 0)[batch.inputs["attention_mask"].bool()].all()


@ADDING
def test_heads_of_tasks_that_are_not_named_learn_as_without_it(name, tmp_path):
    plain = gradients(tmp_path, 32, 1, max_steps=1)[0]
    found = gradients(tmp_path, 32, 1, methods={name: {**OPTIONS[name], "tasks": ["mood"]}}, max_steps=1)[0]
    changed = {
        key.split(".")[1] for key in plain if key.startswith("heads.") and not torch.equal(found[key], plain[key])
    }
    assert changed == {"mood"}


@ADVERSARIES
@pytest.mark.parametrize("scope", ["row", "token"])
def test_a_perturbation_has_the_norm_and_raises_what_it_should_more_than_noise(name, scope):
    epsilon = 1e-3
    sizes = {"step_size": epsilon, "noise": epsilon / 10}
    given = {key: value for key, value in sizes.items() if key in METHODS[name].option_names()}
    method = made(name, epsilon=epsilon, norm=scope, **given)
    batch = micro_batch(model_of_all_types())
    delta = method.perturbation(batch)
    found = norms(delta, batch.layout, scope)
    assert (found <= epsilon * (1 + 1e-9)).all()
    if name == "fgm":
        torch.testing.assert_close(found, torch.full_like(found, epsilon))
    with torch.no_grad():
        plain, moved = (method.objective(batch, batch.again(d)) for d in (torch.zeros_like(delta), delta))
        for draw in range(3):
            other = batch.noise(1.0, scope, str(draw))
            other = other * found / norms(other, batch.layout, scope)
            assert moved > method.objective(batch, batch.again(other))
    assert moved > plain


@ADVERSARIES
def test_parameters_get_no_gradient_from_the_search_for_a_perturbation(name):
    model = model_of_all_types()
    made(name).perturbation(micro_batch(model))
    assert all(parameter.grad is None for parameter in model.parameters())


def trained(folder, resume=None, **kwargs):
    """Train four steps with dropout, in float32."""
    torch.manual_seed(3)
    model = MultiTaskModel.from_encoder(tiny_encoder(num_hidden_layers=1), TASKS)
    args = arguments(folder, max_steps=4, per_device_train_batch_size=8, logging_steps=2, **kwargs)
    trainer = MultiTaskTrainer(model, args, make_data(), None, make_tokenizer())
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def weights(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return weights(trained(tmp_path_factory.mktemp("plain")))


@ADDING
def test_alpha_0_epsilon_0_and_none_are_plain_training(name, plain, tmp_path):
    zeros = [key for key in ("alpha", "epsilon") if key in METHODS[name].option_names()]
    for methods in ({}, *({name: {**OPTIONS[name], key: 0.0}} for key in zeros)):
        assert torch.equal(weights(trained(tmp_path, methods=methods)), plain)
    assert not torch.equal(weights(trained(tmp_path, methods={name: OPTIONS[name]})), plain)


@TRAINED
def test_resumed_training_is_bit_equal(name, tmp_path):
    methods = {name: OPTIONS[name]}
    whole = weights(trained(tmp_path / "whole", methods=methods, save_strategy="steps", save_steps=2))
    again = trained(tmp_path / "whole", methods=methods, resume=str(tmp_path / "whole" / "out" / "checkpoint-2"))
    assert torch.equal(weights(again), whole)


@pytest.mark.parametrize(
    ("name", "balancing"), [*((name, "fixed") for name in METHODS if name != "distillation"), ("pgd", "geometric")]
)
def test_a_step_is_the_same_however_it_is_cut(name, balancing, tmp_path):
    kwargs = {"methods": {name: OPTIONS[name]}, "balancing": balancing}
    for found, expected in zip(gradients(tmp_path, 8, 4, **kwargs), gradients(tmp_path, 32, 1, **kwargs), strict=True):
        assert_close(found, expected)


@TRAINED
def test_gradient_methods_of_balancing_take_the_added_losses(name, tmp_path):
    pytest.importorskip("torchjd")
    kwargs = {"methods": {name: OPTIONS[name]}}
    by_loss = gradients(tmp_path, 32, 1, balancing="equal", **kwargs)
    options = {"balancing": "gradient", "balancing_options": {"aggregator": "mean"}}
    for one, two in zip(gradients(tmp_path, 8, 4, **options, **kwargs), by_loss, strict=True):
        shared = [key for key in two if key.startswith("encoder.")]
        assert_close({key: one[key] for key in shared}, {key: two[key] for key in shared}, 1e-5)


_SCRIPT = """
from tests.options import METHODS
from tests.ranks import rank_and_folder, save
from tests.training_methods import gradients

rank, folder = rank_and_folder()
save(rank, folder, {name: gradients(folder, 8, 2, methods={name: METHODS[name]}) for name in METHODS})
"""


def test_two_ranks_make_the_steps_of_one(tmp_path):
    ranks = run_on_ranks(2, _SCRIPT, tmp_path, allowed="did not find any unused parameters")
    for name in OPTIONS:
        expected = gradients(tmp_path, 32, 1, methods={name: OPTIONS[name]})
        for rank in ranks:
            for one, two in zip(rank[name], expected, strict=True):
                assert_close(one, two)
