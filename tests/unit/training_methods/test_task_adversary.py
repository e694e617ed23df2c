"""Adversarial tasks: the head learns as ever, the encoder the opposite."""

import pytest
import torch
from datasets import Dataset

from hf_mtl import MultiTaskModel, MultiTaskTrainer, TaskConfig
from hf_mtl.training_methods import make_methods
from hf_mtl_light.errors import UserError
from tests.conftest import make_tokenizer
from tests.encoders import tiny_encoder
from tests.ranks import arguments
from tests.trainers import make_data
from tests.training_methods import gradients

MOOD = TaskConfig("mood", "sentiment", labels=["bad", "good"])
DOMAIN = TaskConfig("domain", "sequence-classification", labels=["film", "play"])


def adversary(**options):
    return {"task-adversary": {"tasks": ["mood"], "schedule": "constant", **options}}


@pytest.mark.parametrize("balancing", ["fixed", "uncertainty"])
def test_the_encoder_gets_the_reversed_gradient_and_the_head_its_own(tmp_path, balancing):
    def found(**kwargs):
        return gradients(tmp_path, 32, 1, max_steps=1, balancing=balancing, **kwargs)[0]

    plain, nothing, half = found(), found(methods=adversary(alpha=0.0)), found(methods=adversary(alpha=0.5))
    moved = 0
    for name, value in plain.items():
        if name.startswith("heads."):
            torch.testing.assert_close(nothing[name], value)
            torch.testing.assert_close(half[name], value)
        else:
            of_mood = value - nothing[name]
            torch.testing.assert_close(half[name], nothing[name] - 0.5 * of_mood, rtol=1e-9, atol=1e-12)
            moved += float(of_mood.norm())
    assert moved > 0


def test_further_passes_are_reversed_too(tmp_path):
    fgm = {"fgm": {"alpha": 1.0, "epsilon": 1e-9}}
    one, two = (
        gradients(tmp_path, 32, 1, max_steps=1, methods={**adversary(alpha=2.0), **more})[0] for more in ({}, fgm)
    )
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-5, atol=1e-8)


def test_the_factor_grows_as_in_the_paper():
    method = make_methods({"task-adversary": {"tasks": ["domain"], "alpha": 3.0}})["task-adversary"]
    for progress in (0.0, 0.1, 0.5, 1.0):
        expected = 3.0 * (2 / (1 + torch.exp(torch.tensor(-10.0 * progress, dtype=torch.float64))) - 1)
        assert method.factor(progress) == pytest.approx(float(expected))


def test_domains_are_a_column_that_rows_without_another_label_have_too(tmp_path):
    films, plays = make_data()["sst"], ["good play", "bad play", "a play in rome"] * 4
    data = {
        "films": films.add_column("domain", ["film"] * len(films)),
        "plays": Dataset.from_dict({"text": plays, "domain": ["play"] * len(plays)}),
    }
    torch.manual_seed(1)
    model = MultiTaskModel.from_encoder(tiny_encoder(), [MOOD, DOMAIN])
    args = arguments(
        tmp_path,
        max_steps=6,
        batching="mixed",
        logging_steps=1,
        methods={"task-adversary": {"tasks": ["domain"]}, "r-drop": {"tasks": ["mood"]}},
    )
    trainer = MultiTaskTrainer(model, args, data, None, make_tokenizer())
    trainer.train()
    logs = [log for log in trainer.state.log_history if "loss" in log]
    assert all("loss/domain" in log for log in logs)
    assert not any("added_loss/task-adversary" in log for log in logs)
    assert any("added_loss/r-drop" in log for log in logs)
    assert not any(head._forward_pre_hooks for head in model.task_heads.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [({"tasks": None}, "tasks must name"), ({"tasks": []}, "tasks must name"), ({"schedule": "dann"}, "schedule must")],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        make_methods(adversary(**options))


def test_types_and_tied_heads_that_do_not_fit_are_refused():
    tasks = [
        MOOD,
        TaskConfig("feeling", "sentiment", labels=["bad", "good"], tied_to="mood"),
        TaskConfig("slots", "token-classification", labels=["O", "B"]),
        TaskConfig("length", "regression"),
    ]
    heads = MultiTaskModel.from_encoder(tiny_encoder(), tasks).task_heads
    for name, message in (("slots", "one label a row"), ("length", "one label a row"), ("mood", "'feeling'")):
        method = make_methods(adversary(tasks=[name]))["task-adversary"]
        with pytest.raises(UserError, match=message):
            method.check("task-adversary", heads)
