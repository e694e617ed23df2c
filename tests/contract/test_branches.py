"""Laws of branches: one trunk, the top layers once for each family of tasks, and everything else as without them."""

import copy
from dataclasses import replace

import pytest
import torch
from datasets import Dataset
from torch import nn

from hf_mtl import (
    MultiTaskConfig,
    MultiTaskModel,
    MultiTaskPipeline,
    MultiTaskTrainer,
    OnnxPredictor,
    TaskConfig,
)
from hf_mtl.encoder.unpadding import can_unpad
from hf_mtl.export import export_onnx
from hf_mtl.surgery import add_branch, add_head, merge_models, rename_branch, rename_head
from tests.conftest import make_tokenizer
from tests.contract.test_unpadding import NO_DROPOUT, batch
from tests.encoders import DECODERS, FAMILIES, PAIRS, tiny_encoder
from tests.ranks import arguments, run_on_ranks
from tests.trainers import make_data

BRANCHES = {"tagging": 2, "numbers": 1}
TASKS = [
    TaskConfig("topic", "sequence-classification", labels=["x", "y", "z"]),
    TaskConfig("tags", "token-classification", labels=["O", "B-x", "I-x"], branch="tagging"),
    TaskConfig("value", "regression", pooling="mean", branch="numbers"),
]
NO_LISTS = ["albert"]
LISTS = [family for family in (*FAMILIES, *DECODERS, *PAIRS) if family not in NO_LISTS]


def plain(tasks=TASKS):
    return [TaskConfig(**{**task.__dict__, "branch": None}) for task in tasks]


def model_of(family="bert", tasks=TASKS, branches=BRANCHES, moved=True, **kwargs):
    """Return a model of three layers whose branches have learned something."""
    encoder = tiny_encoder(family, num_hidden_layers=3, **{"pad_token_id": 1, **NO_DROPOUT})
    torch.manual_seed(1)
    model = MultiTaskModel.from_encoder(encoder, tasks, branches=branches, **kwargs)
    if moved:
        with torch.no_grad():
            for number, parameter in enumerate(model.branches.parameters()):
                generator = torch.Generator().manual_seed(number)
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("family", LISTS)
def test_branches_that_have_learned_nothing_change_nothing(family):
    inputs = batch()
    fresh = model_of(family, moved=False)
    without = model_of(family, plain(), None)
    for unpad in ("auto", False):
        fresh.unpad = without.unpad = unpad
        with torch.no_grad():
            found, expected = fresh(**inputs), without(**inputs)
            flat, expected_flat = (
                m.flat_logits(inputs["input_ids"], inputs["attention_mask"]) for m in (fresh, without)
            )
        assert torch.equal(found.loss, expected.loss)
        for name in ("topic", "tags", "value"):
            assert torch.equal(found.logits[name], expected.logits[name])
            assert torch.equal(flat[name], expected_flat[name])


@pytest.mark.parametrize("family", LISTS)
def test_branches_over_one_trunk_pass_equal_a_model_for_each(family):
    inputs = batch()
    model = model_of(family).double()
    with torch.no_grad():
        together = model(**{k: v for k, v in inputs.items() if k in ("input_ids", "attention_mask")}).logits
    for task in TASKS:
        # A model of its own: the encoder with the branch's layers put in for good, and the one head.
        alone = MultiTaskModel.from_encoder(copy.deepcopy(model.encoder_of(task.name)), plain([task])).double()
        alone.heads[task.name].load_state_dict(model.heads[task.name].state_dict())
        with torch.no_grad():
            expected = alone(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits[task.name]
        torch.testing.assert_close(together[task.name], expected)


@pytest.mark.parametrize("family", [family for family in LISTS if can_unpad(tiny_encoder(family))])
def test_padded_equals_unpadded_in_loss_and_gradient(family):
    found = []
    for unpad in (True, False):
        model = model_of(family, unpad=unpad).double()
        loss = model(**batch()).loss
        loss.backward()
        found.append((loss.detach(), gradients(model)))
    torch.testing.assert_close(found[0][0], found[1][0])
    assert found[0][1].keys() == found[1][1].keys()
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(gradient, found[1][1][name], msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("family", NO_LISTS)
def test_layers_that_share_parameters_cannot_branch(family):
    with pytest.raises(ValueError, match=f"'{family}' cannot have branches"):
        model_of(family)


class Calls:
    """Counts how often each layer of a model runs."""

    def __init__(self, model):
        self.counts = {}
        layers = {f"trunk.{i}": layer for i, layer in enumerate(model.encoder.encoder.layer)}
        layers |= {f"{name}.{i}": layer for name, top in model.branches.items() for i, layer in enumerate(top)}
        for name, layer in layers.items():
            layer.register_forward_hook(lambda *_, name=name: self.counts.update({name: self.counts.get(name, 0) + 1}))


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        (["topic"], ["trunk.0", "trunk.1", "trunk.2"]),
        (["tags"], ["trunk.0", "tagging.0", "tagging.1"]),
        (["tags", "value"], ["trunk.0", "trunk.1", "tagging.0", "tagging.1", "numbers.0"]),
        (None, ["trunk.0", "trunk.1", "trunk.2", "tagging.0", "tagging.1", "numbers.0"]),
    ],
)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_each_layer_runs_once_and_a_branch_that_is_not_asked_does_not(tasks, expected, checkpointing):
    model = model_of()
    if checkpointing:
        model.activation_checkpointing_enable()
        model.train()
    inputs = {name: value for name, value in batch().items() if name in ("input_ids", "attention_mask")}
    calls = Calls(model)
    model(**inputs, tasks=tasks)
    assert calls.counts == dict.fromkeys(expected, 1)
    if not checkpointing:
        with torch.no_grad():
            model.flat_logits(**inputs, tasks=tasks)
        assert calls.counts == dict.fromkeys(expected, 2)


def test_gradients_with_checkpointing_are_the_same():
    found = []
    for checkpointing in (False, True):
        model = model_of().train()
        if checkpointing:
            model.activation_checkpointing_enable()
        model(**batch()).loss.backward()
        found.append(gradients(model))
    assert found[0].keys() == found[1].keys()
    for name in found[0]:
        torch.testing.assert_close(found[0][name], found[1][name])


def test_gradients_of_a_shared_pass_are_the_sums_of_separate_ones():
    inputs = batch()
    model = model_of().double()
    model(**inputs).loss.backward()
    together = gradients(model)
    model.zero_grad()
    rows = len(inputs["input_ids"])
    for name, labels in inputs["labels"].items():
        weight = torch.tensor(len(labels) / rows)
        only = {**inputs, "labels": {name: labels}, "tasks": [name], "loss_weights": {name: weight}}
        model(**only).loss.backward()
    separate = gradients(model)
    assert together.keys() == separate.keys()
    for name in together:
        torch.testing.assert_close(together[name], separate[name])


def test_a_row_of_one_task_gives_other_branches_no_gradient():
    inputs = batch()
    model = model_of()
    model(**{**inputs, "labels": {"tags": inputs["labels"]["tags"]}}, tasks=["tags"]).loss.backward()
    learned = gradients(model)
    assert any(name.startswith("branches.tagging.") for name in learned)
    assert not any(name.startswith(("branches.numbers.", "encoder.encoder.layer.1.")) for name in learned)


def test_hidden_states_are_recorded_once_for_each_layer():
    inputs = {name: value for name, value in batch().items() if name in ("input_ids", "attention_mask")}
    model = model_of()
    for tasks in (None, ["tags"], ["topic"], ["tags", "value"]):
        found = model(**inputs, tasks=tasks, output_hidden_states=True).hidden_states
        assert len(found) == 4
        expected = model.encoder_of((tasks or ["topic"])[0])(**inputs, output_hidden_states=True).hidden_states
        real = inputs["attention_mask"].bool()
        torch.testing.assert_close(found[-1][real], expected[-1][real])


def test_heads_of_a_branch_may_read_a_mix_of_layers():
    tasks = [TASKS[0], TaskConfig(**{**TASKS[1].__dict__, "layers": "mix"})]
    found = []
    for unpad in (True, False):
        model = model_of(tasks=tasks, unpad=unpad).double()
        inputs = {**batch(), "tasks": ["topic", "tags"]}
        for field in ("labels", "rows"):
            inputs[field] = {name: inputs[field][name] for name in inputs["tasks"]}
        found.append(model(**inputs).loss)
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("family", ["bert", "modernbert", "t5"])
def test_save_and_load_is_the_identity(family, tmp_path):
    model = model_of(family).eval()
    model.save_pretrained(tmp_path)
    loaded = MultiTaskModel.from_pretrained(tmp_path)
    assert loaded.config.branches == BRANCHES
    assert [task.branch for task in loaded.tasks] == [None, "tagging", "numbers"]
    with torch.no_grad():
        found, expected = (m(**batch()).logits for m in (loaded, model))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_model_without_branches_writes_nothing_of_them(tmp_path):
    model = model_of(tasks=plain(), branches=None)
    assert "branches" not in model.config.to_dict()
    assert not any("branch" in name for name in model.state_dict())


def test_a_branch_of_no_layers_is_the_encoder_itself():
    model = model_of(branches={"tagging": 0, "numbers": 0})
    without = model_of(tasks=plain(), branches=None)
    assert model.state_dict().keys() == without.state_dict().keys()
    assert torch.equal(model(**batch()).loss, without(**batch()).loss)


@pytest.mark.parametrize("name", ["topic", "tags", "value"])
def test_trunk_branch_and_head_are_a_stock_model_bit_for_bit(name, tmp_path):
    tasks = [*TASKS[:2], TaskConfig("value", "regression", branch="numbers", target_mean=0.0, target_std=1.0)]
    model = model_of(tasks=tasks, unpad=False).eval()
    stock = model.to_transformers(name)
    inputs = {k: v for k, v in batch().items() if k in ("input_ids", "attention_mask")}
    with torch.no_grad():
        found, expected = stock(**inputs).logits, model(**inputs).logits[name]
    if name == "tags":  # whose logits at padding say nothing
        real = inputs["attention_mask"].bool()
        found, expected = found[real], expected[real]
    assert torch.equal(found, expected)


def trained(folder, model=None, data=None, **kwargs):
    """Train three steps of the trainer's own small data, tags and similarity on branches."""
    tasks = [
        TaskConfig("intent", "sequence-classification", labels=["play", "book", "none"]),
        TaskConfig("slots", "token-classification", labels=["O", "B-city", "I-city"], branch="tagging"),
        TaskConfig("mood", "sentiment", labels=["bad", "good"]),
        TaskConfig("similarity", "regression", branch="numbers"),
    ]
    if model is None:
        model = model_of(tasks=tasks, branches=BRANCHES, moved=False).double()
    resume = kwargs.pop("resume_from_checkpoint", None)
    options = {"max_steps": 3, "per_device_train_batch_size": 8, "learning_rate": 1e-2, **kwargs}
    trainer = MultiTaskTrainer(
        model,
        arguments(folder, **options),
        make_data() if data is None else data,
        None,
        make_tokenizer(),
        check_data=False,
    )
    trainer.train(resume_from_checkpoint=resume)
    return model


@pytest.mark.parametrize("batching", ["mixed", "homogeneous"])
def test_a_step_does_not_depend_on_how_it_is_cut(batching, tmp_path):
    whole = trained(tmp_path / "a", batching=batching)
    cut = trained(tmp_path / "b", batching=batching, per_device_train_batch_size=2, gradient_accumulation_steps=4)
    for (name, one), other in zip(whole.state_dict().items(), cut.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, msg=lambda text, name=name: f"{name}: {text}")


def test_resuming_equals_not_stopping(tmp_path):
    whole = trained(tmp_path / "a", save_strategy="steps", save_steps=2)
    resumed = trained(tmp_path / "b", resume_from_checkpoint=str(tmp_path / "a" / "out" / "checkpoint-2"))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


_ON_RANKS = """
from tests.contract.test_branches import trained
from tests.ranks import rank_and_folder, save

rank, folder = rank_and_folder()
model = trained(folder / f"rank-{rank}", batching="mixed", per_device_train_batch_size=4)
save(rank, folder, dict(model.state_dict()))
"""


def test_two_processes_train_what_one_does(tmp_path):
    whole = trained(tmp_path / "a", batching="mixed").state_dict()
    for found in run_on_ranks(2, _ON_RANKS, tmp_path, allowed="did not find any unused parameters"):
        for name, value in whole.items():
            torch.testing.assert_close(found[name], value, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("balancing", ["gradient", "uncertainty"])
def test_balancers_train_branches(balancing, tmp_path):
    options = {"aggregator": "upgrad"} if balancing == "gradient" else None
    model = trained(tmp_path, batching="mixed", balancing=balancing, balancing_options=options)
    before = model_of(tasks=model.tasks, moved=False).double()
    moved = [
        n for (n, p), q in zip(model.named_parameters(), before.parameters(), strict=True) if not torch.equal(p, q)
    ]
    assert any(name.startswith("branches.tagging") for name in moved)


def test_learning_rates_fall_with_depth_in_branches_too(tmp_path):
    model = model_of()
    trainer = MultiTaskTrainer(
        model,
        arguments(tmp_path, learning_rate=1.0, encoder_layer_decay=0.5),
        {"a": Dataset.from_dict({"text": ["a good film"] * 8, "topic": ["x"] * 8})},
        None,
        make_tokenizer(),
        check_data=False,
    )
    optimizer = trainer.create_optimizer()
    names = {id(p): name for name, p in model.named_parameters()}
    rates = {names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    weight = "attention.self.query.weight"
    assert rates[f"encoder.encoder.layer.0.{weight}"] == 0.25
    assert rates[f"encoder.encoder.layer.2.{weight}"] == rates[f"branches.numbers.0.{weight}"] == 1.0
    assert rates[f"encoder.encoder.layer.1.{weight}"] == rates[f"branches.tagging.0.{weight}"] == 0.5


@pytest.mark.parametrize("trunk", [0.0, 0.1])
def test_the_trunk_learns_at_its_own_rate_and_the_branches_at_theirs(tmp_path, trunk):
    model = model_of()
    trainer = MultiTaskTrainer(
        model,
        arguments(tmp_path, learning_rate=1.0, encoder_layer_decay=0.5, trunk_learning_rate=trunk),
        {"a": Dataset.from_dict({"text": ["a good film"] * 8, "topic": ["x"] * 8})},
        None,
        make_tokenizer(),
        check_data=False,
    )
    names = {id(p): name for name, p in model.named_parameters()}
    optimizer = trainer.create_optimizer()
    assert optimizer.param_groups[0]["lr"] == 1.0
    rates = {names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates.keys() == set(names.values())
    depths = {names[id(p)]: depth for p, depth in model.parameter_depths().items()}
    for name, depth in depths.items():
        base = trunk if name.startswith("encoder.") else 1.0
        assert rates[name] == pytest.approx(base * 0.5 ** (3 - depth)), name


def test_a_branch_is_polished_alone_and_all_else_stays_bit_for_bit(tmp_path):
    data = {"snips": make_data()["snips"].remove_columns("intent")}
    model = trained(tmp_path / "a")
    before = copy.deepcopy(model.state_dict())
    trained(tmp_path / "b", model, data, freeze_trunk=True)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(("branches.tagging.", "heads.slots.")) for name in changed)


def test_freezing_the_encoder_freezes_its_branches(tmp_path):
    model = trained(tmp_path / "a")
    before = copy.deepcopy(model.state_dict())
    trained(tmp_path / "b", model, freeze_encoder=True)
    assert all(
        torch.equal(value, before[name]) for name, value in model.state_dict().items() if not name.startswith("heads.")
    )


def test_frozen_layers_count_in_branches_too():
    model = model_of()
    model.freeze(layers=2)
    free = {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any(name.startswith(("branches.tagging.0.", "encoder.encoder.layer.1.")) for name in free)
    assert any(name.startswith("branches.tagging.1.") for name in free)
    assert any(name.startswith("branches.numbers.0.") for name in free)


def test_surgery_adds_branches_and_heads_into_them():
    model = model_of(tasks=TASKS[:2], branches={"tagging": 2})
    inputs = {name: value for name, value in batch().items() if name in ("input_ids", "attention_mask")}
    before = model(**inputs).logits
    add_head(model, TaskConfig("more", "token-classification", labels=["O", "B-y"], branch="tagging"))
    add_branch(model, "numbers", 1)
    add_head(model, TaskConfig("value", "regression", branch="numbers"))
    rename_branch(model, "tagging", "spans")
    assert model.config.branches == {"spans": 2, "numbers": 1}
    assert [task.branch for task in model.tasks] == [None, "spans", "spans", "numbers"]
    after = model(**inputs).logits
    assert all(torch.equal(before[name], after[name]) for name in before)
    with pytest.raises(ValueError, match="branch 'tagin' does not exist"):
        add_head(model, TaskConfig("odd", "regression", branch="tagin"))


def test_models_with_one_trunk_are_merged_with_their_branches(tmp_path):
    one = trained(tmp_path / "a").float()
    two = copy.deepcopy(one)
    for old, new in (("tagging", "theirs"), ("numbers", "their_numbers")):
        rename_branch(two, old, new)
    for name in list(two.task_heads):
        rename_head(two, name, f"{name}_2")
    with torch.no_grad():
        for parameter in two.branches.parameters():
            parameter.mul_(1.1)
    merged = merge_models([one, two])
    inputs = {name: value for name, value in batch().items() if name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        found, first, second = (model.eval()(**inputs).logits for model in (merged, one, two))
    assert all(torch.equal(found[name], logits) for name, logits in {**first, **second}.items())


def test_merging_different_branches_of_one_name_is_refused():
    one, two = model_of(tasks=TASKS[:2], branches={"tagging": 2}), model_of(tasks=TASKS[:1], branches={"tagging": 2})
    rename_head(two, "topic", "subject")
    with torch.no_grad():
        next(two.branches.parameters()).add_(1.0)
    with pytest.raises(ValueError, match="Models 1 and 2 have different branches 'tagging'"):
        merge_models([one, two])


@pytest.mark.parametrize(
    ("branches", "task", "message"),
    [
        ({"tagging": 2}, {"branch": "taging"}, "branch 'taging' does not exist. Did you mean 'tagging'"),
        (None, {"branch": "tagging"}, "The model has none"),
        ({"tagging": 7}, {}, "must be from 0 to 3, the layers of the encoder; found 7"),
        ({"tagging": -1}, {}, "at least 0"),
        ({"tagging": True}, {}, "must be a whole number"),
        (["tagging"], {}, "branches must be a mapping"),
        ({"": 1}, {}, "must be a non-empty string"),
    ],
)
def test_wrong_branches_are_refused(branches, task, message):
    tasks = [TaskConfig("topic", "sequence-classification", labels=["x", "y"], **task)]
    with pytest.raises((ValueError, TypeError), match=message):
        MultiTaskModel.from_encoder(tiny_encoder(num_hidden_layers=3), tasks, branches=branches)


def test_tied_tasks_read_the_same_branch():
    tasks = [TASKS[1], TaskConfig(**{**TASKS[1].__dict__, "name": "more", "tied_to": "tags", "branch": None})]
    with pytest.raises(ValueError, match="they differ in branch"):
        MultiTaskConfig(tasks=tasks, branches=BRANCHES)


def test_branches_lie_in_the_model_once():
    model = model_of()
    assert isinstance(model.branches, nn.ModuleDict)
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    assert len(names) == len(set(names)) == len(list(model.parameters()))


def test_a_checkpoint_of_other_branches_is_refused(tmp_path):
    trained(tmp_path / "a", save_strategy="steps", save_steps=2)
    tasks = [replace(task, branch=task.branch and "tagging") for task in trained(tmp_path / "b").tasks]
    other = model_of(tasks=tasks, branches={"tagging": 1}, moved=False).double()
    with pytest.raises(ValueError, match=r"branches"):
        trained(tmp_path / "c", other, resume_from_checkpoint=str(tmp_path / "a" / "out" / "checkpoint-2"))


def test_one_graph_holds_trunk_and_branches(tmp_path):
    pytest.importorskip("onnxruntime")
    numbers = TaskConfig("value", "regression", branch="numbers", target_mean=0.0, target_std=1.0)
    model = model_of(tasks=[*TASKS[:2], numbers]).eval()
    report = export_onnx(model, make_tokenizer(), tmp_path / "onnx")
    assert all(found.difference < 1e-5 for found in report.tasks.values())
    texts = ["a good film in paris", "not very good"]
    found, expected = OnnxPredictor(tmp_path / "onnx")(texts), MultiTaskPipeline(model, make_tokenizer())(texts)
    for one, other in zip(found, expected, strict=True):
        assert one["topic"]["label"] == other["topic"]["label"]
        assert one["value"]["value"] == pytest.approx(other["value"]["value"], abs=1e-5)
