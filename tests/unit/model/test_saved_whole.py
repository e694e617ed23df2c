"""What is saved over a model is the old one or the new one, wherever the process is killed."""

import json
import math
import os
import re
from functools import partial

import pytest
import torch
from transformers import AutoTokenizer

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.export import export_onnx, export_transformers
from hf_mtl.model import HISTORY, JUDGED, RESULTS
from hf_mtl.model_card import CardFacts, ResultFacts, write_card
from hf_mtl.pipelines import MultiTaskPipeline
from hf_mtl.trainer._checkpoint_files import write_results
from hf_mtl_light.errors import UserError
from tests.encoders import tiny_encoder
from tests.killed import states_at_kills

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def make_model(labels):
    return MultiTaskModel.from_encoder(tiny_encoder(), [TaskConfig("mood", "sentiment", labels=labels)])


def last(model):
    return [tuple(value.flatten()[-3:].tolist()) for value in model.state_dict().values()]


def loaded_model(folder):
    model = MultiTaskModel.from_pretrained(folder)
    return model.config.task("mood").labels, last(model)


def loaded_encoder(folder):
    return last(MultiTaskModel.from_encoder(folder, [TaskConfig("mood", "regression")]).encoder)


def loaded_pipeline(folder):
    return *loaded_model(folder), len(AutoTokenizer.from_pretrained(folder))


def beside(folder):
    """Return what lies in a run's folder and says something of its model, and what the card says of scores."""
    card = (folder / "README.md").read_text()
    names = {path.name for path in folder.iterdir()}
    return names & {*RESULTS, *JUDGED, *HISTORY}, "| accuracy | 0.900 |" in card, "by hand" in card


def make_run(folder, labels=("bad", "good")):
    """Write a model into a folder as a training leaves it, and return the model."""
    model = make_model(list(labels))
    model.save_pretrained(folder)
    for name in (*RESULTS, *JUDGED, *HISTORY):
        (folder / name).write_text("{}")
    found = [ResultFacts("mood", "films", "test", "accuracy", 0.9, 50)]
    write_card(folder / "README.md", CardFacts.of_model(model, "mine", results=found))
    with (folder / "README.md").open("a") as file:
        file.write("\nby hand\n")
    return model


def loaded_results(folder):
    return {path.name: json.loads(path.read_text()) for path in folder.glob("*_results.json")}


SAVED = {
    "model": (loaded_model, lambda model, tokenizer, folder: model.save_pretrained(folder)),
    "model in shards": (
        loaded_model,
        lambda model, tokenizer, folder: model.save_pretrained(folder, max_shard_size=30_000),
    ),
    "encoder": (loaded_encoder, lambda model, tokenizer, folder: model.save_encoder(folder)),
    "pipeline": (
        loaded_pipeline,
        lambda model, tokenizer, folder: MultiTaskPipeline(model, tokenizer=tokenizer).save_pretrained(folder),
    ),
}


@pytest.mark.parametrize("what", SAVED)
def test_a_model_that_is_saved_over_another_is_old_or_new(tmp_path, tokenizer, what):
    load, save = SAVED[what]
    folder = tmp_path / "model"
    save(make_model(["bad", "good"]), tokenizer, folder)
    (folder / "notes.txt").write_text("mine")
    old, model = load(folder), make_model(["good", "bad"])
    with torch.no_grad():
        model.get_input_embeddings().weight.add_(1)
    states = states_at_kills(folder, tmp_path / "states", lambda: save(model, tokenizer, folder))
    new = load(folder)
    assert old != new
    for number, killed in enumerate(states):
        assert load(killed) in (old, new), f"killed at {number}"
        assert (killed / "notes.txt").read_text() == "mine"


#: All ways by which weights leave a model that is in memory.
LEAVING = {
    **{what: save for what, (_, save) in SAVED.items()},
    "self-contained": lambda model, tokenizer, folder: model.save_pretrained(folder, self_contained=True),
    "state_dict": lambda model, tokenizer, folder: model.save_pretrained(folder, state_dict=model.state_dict()),
    "arguments by position": lambda model, tokenizer, folder: model.save_pretrained(folder, True, model.state_dict()),
    "push": lambda model, tokenizer, folder: model.push_to_hub("me/model"),
    "stock model": lambda model, tokenizer, folder: model.to_transformers("mood").save_pretrained(folder),
    "stock folder": lambda model, tokenizer, folder: export_transformers(model, tokenizer, "mood", folder),
    "graph": lambda model, tokenizer, folder: export_onnx(model, tokenizer, folder),
}


@pytest.mark.parametrize("value", [math.nan, -math.inf])
@pytest.mark.parametrize("what", LEAVING)
def test_weights_that_are_not_finite_leave_no_model_in_any_form(tmp_path, tokenizer, what, value):
    model = make_model(["bad", "good"])
    with torch.no_grad():
        model.get_input_embeddings().weight[3, 1] = value
    with pytest.raises(ValueError, match=re.escape("word_embeddings.weight'")):
        LEAVING[what](model, tokenizer, tmp_path / "model")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_statistic_that_is_not_finite_is_refused_as_a_weight_is(tmp_path):
    model = make_model(["bad", "good"])
    model.encoder.register_buffer("running_mean", torch.tensor([0.0, math.inf]))
    with pytest.raises(ValueError, match=r"cannot be saved.*'encoder\.running_mean'"):
        model.save_pretrained(tmp_path)


def other_weights(model, tokenizer):
    with torch.no_grad():
        model.get_input_embeddings().weight.add_(1)
    return model


#: What is saved over a run, and which of its files must be gone then.
OVER = {
    "another model": (
        lambda model, tokenizer: other_weights(make_model(["good", "bad"]), tokenizer),
        {*RESULTS, *JUDGED, *HISTORY},
    ),
    "a pipeline of another": (
        lambda model, tokenizer: MultiTaskPipeline(other_weights(make_model(["good", "bad"]), tokenizer), tokenizer),
        {*RESULTS, *JUDGED, *HISTORY},
    ),
    "the same, loaded and trained further": (other_weights, {*RESULTS, *JUDGED}),
    "the same with other labels": (
        lambda model, tokenizer: model.replace_task(TaskConfig("mood", "sentiment", labels=["poor", "good"])) or model,
        {*RESULTS, *JUDGED},
    ),
    "the same": (lambda model, tokenizer: model, set()),
}


@pytest.mark.parametrize("what", OVER)
def test_scores_and_log_of_a_run_go_with_its_model(tmp_path, tokenizer, what):
    make, gone = OVER[what]
    folder = tmp_path / "run"
    make_run(folder)
    model = make(MultiTaskModel.from_pretrained(folder), tokenizer)
    save, states = partial(model.save_pretrained, folder), []
    if what == "another model":
        states = states_at_kills(folder, tmp_path / "states", save)
    else:
        save()
    left = {*RESULTS, *JUDGED, *HISTORY} - gone
    assert beside(folder) == (left, not gone, True)
    for number, killed in enumerate(states):
        is_new = list(loaded_model(killed)[0]) == ["good", "bad"]
        assert beside(killed)[:2] == ((left, False) if is_new else ({*RESULTS, *JUDGED, *HISTORY}, True)), number


def test_an_encoder_does_not_replace_a_multi_task_model(tmp_path):
    model = make_run(tmp_path / "run")
    with pytest.raises(UserError, match="holds a multi-task model"):
        model.save_encoder(tmp_path / "run")
    assert beside(tmp_path / "run")[1:] == (True, True)


def test_results_are_old_or_new(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    write_results(folder, "train", {"train_loss": 1.0})
    old = loaded_results(folder)
    states = states_at_kills(folder, tmp_path / "states", lambda: write_results(folder, "eval", {"eval_loss": 2.0}))
    new = loaded_results(folder)
    assert new["all_results.json"] == {"train_loss": 1.0, "eval_loss": 2.0}
    for killed in states:
        found = loaded_results(killed)
        assert found["train_results.json"] == old["train_results.json"]
        assert found["all_results.json"] in (old["all_results.json"], new["all_results.json"])
