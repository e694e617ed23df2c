"""Training methods by name: what is shown of them, and what is refused."""

import pytest
import torch

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig
from hf_mtl.heads import Head
from hf_mtl.training_methods import RDrop, make_methods
from hf_mtl_light.errors import UserError
from tests.conftest import make_tokenizer
from tests.encoders import tiny_encoder
from tests.own_heads import WordNumbersHead
from tests.ranks import arguments
from tests.trainers import TASKS, make_data
from tests.training_methods import micro_batch, model_of_all_types

ON = {"r-drop": {"alpha": 0.5, "tasks": ["mood"]}}


def build(folder, model=None, **kwargs):
    args = arguments(folder, max_steps=1, logging_steps=1, **{"methods": ON, **kwargs})
    model = model or MultiTaskModel.from_encoder(tiny_encoder(), TASKS)
    return MultiTaskTrainer(model, args, make_data(), None, make_tokenizer())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rdrop": {}}, "Unknown training method 'rdrop'. Did you mean 'r-drop'"),
        ({"r-drop": {"alfa": 1}}, "method 'r-drop' has no option 'alfa'. Did you mean 'alpha'"),
        ({"r-drop": {"alpha": -1}}, "method 'r-drop': alpha must be a number of at least 0"),
        ({"r-drop": {"alpha": True}}, "alpha must be a number"),
        ({"r-drop": {"norm": "batch"}}, "norm must be one of"),
        ({"r-drop": {"tasks": "mood"}}, "tasks must be a list of names"),
        ({"r-drop": 3}, "must be a mapping"),
        ("{", "not valid JSON"),
        ([1], "must be a mapping"),
    ],
)
def test_wrong_options_are_refused_by_the_arguments(tmp_path, given, message):
    with pytest.raises(UserError, match=message.replace("'", ".")):
        MultiTaskTrainingArguments(str(tmp_path), methods=given)


def test_a_task_that_does_not_exist_is_refused_when_the_trainer_is_built(tmp_path):
    with pytest.raises(UserError, match=r"'moods', which is no task .* Did you mean 'mood'"):
        build(tmp_path, methods={"r-drop": {"tasks": ["moods"]}})


def test_a_type_without_divergence_is_refused_by_name(tmp_path):
    class Silent(WordNumbersHead):
        divergence_sum = Head.divergence_sum

    model = MultiTaskModel.from_encoder(
        tiny_encoder(), [TaskConfig("loudness", "word-numbers")], heads={"word-numbers": Silent}
    )
    with pytest.raises(UserError, match=r"task 'loudness'.*divergence_sum"):
        RDrop().check("r-drop", model.task_heads)
    RDrop(tasks=[]).check("r-drop", model.task_heads)


def test_log_summary_and_strategies_name_methods_and_options(tmp_path, capsys):
    trainer = build(tmp_path, disable_tqdm=False, methods={**ON, "own": RDrop(noise=1.0)})
    trainer.train()
    log = trainer.state.log_history[0]
    assert {"added_loss/r-drop", "added_loss/own"} <= log.keys()
    assert "methods: r-drop (alpha: 0.5" in capsys.readouterr().err.replace("\n", " ")
    assert "own (alpha: 1.0" in trainer.strategies()["methods"]


def test_the_logged_loss_is_the_tasks_and_what_was_added(tmp_path):
    trainer = build(tmp_path, batching="mixed", methods={"r-drop": {"noise": 1.0}})
    trainer.train()
    log = trainer.state.log_history[0]
    tasks = sum(log[f"loss/{task.name}"] * log[f"weight/{task.name}"] for task in TASKS if f"loss/{task.name}" in log)
    assert log["loss"] == pytest.approx(tasks + log["added_loss/r-drop"], abs=1e-5)


def test_another_method_is_not_resumed(tmp_path):
    build(tmp_path, save_strategy="steps", save_steps=1).train()
    with pytest.raises(UserError, match="methods"):
        build(tmp_path, methods=None).train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-1"))


def test_r_drop_equals_its_formula():
    model = model_of_all_types()
    batch = micro_batch(model, tasks=["topic"])
    method = make_methods({"r-drop": {"alpha": 3.0, "noise": 2.0}})["r-drop"]
    second = batch.again(batch.noise(2.0, "row", "r-drop"))
    first, second = (output.logits["topic"].log_softmax(-1) for output in (batch.first, second))
    labels = batch.inputs["labels"]["topic"]
    losses = [-p.gather(1, labels[:, None]).mean() for p in (first, second)]
    kl = sum((a.exp() * (a - b)).sum(1).mean() for a, b in ((first, second), (second, first))) / 2
    added = method.added_losses(batch)["topic"]
    torch.testing.assert_close(losses[0] + added, (losses[0] + losses[1]) / 2 + 3.0 * kl, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("scope", ["row", "token"])
def test_noise_follows_seed_step_and_row_and_keeps_its_norm(scope):
    model = model_of_all_types()
    whole = micro_batch(model, tasks=["topic"])
    noise = whole.noise(0.7, scope, "x")
    sizes = noise.square().sum(1) if scope == "token" else torch.stack([r.square().sum() for r in split(whole, noise)])
    assert (sizes.sqrt() <= 0.7).all()
    assert (sizes.sqrt() > 0.2).all()
    for row, expected in enumerate(split(whole, noise)):
        alone = micro_batch(model, slice(row, row + 1), ["topic"])
        assert torch.equal(alone.noise(0.7, scope, "x"), expected)
    assert not torch.equal(noise, whole.noise(0.7, scope, "y"))


def split(batch, values):
    return values.split(batch.layout.lengths.tolist())
