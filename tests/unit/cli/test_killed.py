"""A command killed before any rename, unlink or fsync leaves the old output or the new one, never a mixture."""

import json
import os
import shutil

import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import hf_mtl.cli._answering
import hf_mtl.cli._model
import hf_mtl.cli._tables
import hf_mtl.export
import hf_mtl.surgery  # noqa: F401  # all that commands import, before the fork
from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.cli import app
from hf_mtl.cli._answering import answer_file
from hf_mtl.cli._reading import RowReader
from hf_mtl.inference import make_answerer
from hf_mtl.trainer._whole import checkpoints_in
from tests.encoders import tiny_encoder
from tests.killed import states_at_kills
from tests.unit.recipe.recipe_files import recipe_values, write_data, write_recipe, write_rows

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
MULTI_LABEL = "multi_label_classification"


def run(*args):
    with pytest.raises(SystemExit) as end:
        app([str(arg) for arg in args])
    assert not end.value.code


def weights(model):
    return {name: tuple(value.flatten()[:3].tolist()) for name, value in model.state_dict().items()}


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def state(folder):
    model = MultiTaskModel.from_pretrained(folder)
    return tuple((task.name, tuple(task.labels)) for task in model.tasks), weights(model)


def exported_state(folder):
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    return model.config.id2label, weights(model)


@pytest.mark.parametrize("name", ["drop", "merge"])
def test_a_model_is_old_or_new_wherever_a_command_is_killed(model_folder, tmp_path, name):
    folder = tmp_path / "folder"
    shutil.copytree(model_folder, folder / "m")
    (folder / "m" / "notes.txt").write_text("mine")
    args = ["heads", folder / "m", "drop", "mood", "-o", folder / "m"]
    if name == "merge":
        run(*args)
        args = ["merge", model_folder, model_folder, "--average", "-o", folder / "m"]
    (folder / "m" / "eval_results.json").write_text("{}")
    old = state(folder / "m")
    states = states_at_kills(folder, tmp_path / "states", lambda: app([str(arg) for arg in args]))
    new = state(folder / "m")
    assert old != new
    assert {path.name for path in folder.iterdir()} == {"m"}
    for number, killed in enumerate(states):
        assert (killed / "m" / "notes.txt").read_text() == "mine"
        assert state(killed / "m") in (old, new), f"killed at {number}"
        assert (killed / "m" / "eval_results.json").exists() == (state(killed / "m") == old), f"killed at {number}"
        if number % 5 == 0:  # the next run clears what was left
            run("heads", killed / "m", "freeze", "topic", "-o", killed / "m")
            assert {path.name for path in killed.iterdir()} == {"m"}
            assert not [path for path in (killed / "m").iterdir() if path.name.startswith(".hf_mtl")]


def test_an_export_is_old_or_new_or_the_next_run_makes_it(model_folder, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()

    def args(task, folder):
        return ["export", model_folder, folder / "m", "--to", "transformers", "--task", task, "--overwrite"]

    run(*args("mood", folder))
    old = exported_state(folder / "m")
    states = states_at_kills(folder, tmp_path / "states", lambda: app([str(arg) for arg in args("topic", folder)]))
    new = exported_state(folder / "m")
    assert old != new
    for number, killed in enumerate(states):
        if is_there := (killed / "m").exists():
            assert exported_state(killed / "m") in (old, new), f"killed at {number}"
        if number % 5 == 0 or not is_there:
            run(*args("topic", killed))
            assert {path.name for path in killed.iterdir()} == {"m"}
            assert exported_state(killed / "m") == new, f"killed at {number}"


def test_thresholds_are_old_or_new_wherever_tune_is_killed(encoder_folder, tokenizer, tmp_path):
    folder = tmp_path / "folder"
    task = TaskConfig("tones", "sequence-classification", labels=["x", "y"], problem_type=MULTI_LABEL)
    MultiTaskModel.from_encoder(tiny_encoder(), [task]).save_pretrained(folder / "m")
    tokenizer.save_pretrained(folder / "m")
    write_rows(tmp_path / "rows.jsonl", [{"text": f"{w} film", "tones": t} for w in "abc" for t in (["x"], ["y"], [])])
    load = {"path": "json", "data_files": {split: str(tmp_path / "rows.jsonl") for split in ("train", "validation")}}
    values = recipe_values(encoder_folder, tmp_path / "run")
    values["datasets"] = {"rows": {"load": load, "columns": {"text": "text", "tones": "tones"}}}
    values["tasks"] = {"tones": {"problem_type": MULTI_LABEL}}
    args = ["tune", folder / "m", write_recipe(tmp_path, values), "-o", folder / "m"]

    def thresholds(folder):
        return MultiTaskModel.from_pretrained(folder).config.task("tones").thresholds

    old = thresholds(folder / "m")
    states = states_at_kills(folder, tmp_path / "states", lambda: app([str(arg) for arg in args]))
    new = thresholds(folder / "m")
    assert old != new
    for number, killed in enumerate(states):
        assert thresholds(killed / "m") in (old, new), f"killed at {number}"
        assert len(AutoTokenizer.from_pretrained(killed / "m")) == len(tokenizer)


def test_a_run_that_is_replaced_is_old_or_new_wherever_train_is_killed(encoder_folder, tmp_path):
    folder = tmp_path / "folder"
    write_data(tmp_path)
    values = recipe_values(encoder_folder, folder / "run")
    values["training"] |= {"save_steps": 2, "save_total_limit": 1, "eval_strategy": "no"}
    values["datasets"].pop("talks")
    recipe = write_recipe(tmp_path, values)
    run("train", recipe)
    other = ["tasks.opinion.labels=[pos, neg]", "training.seed=7"]

    def train():
        app(["train", str(recipe), *other, "--overwrite"])

    def checkpoints(folder):
        return {step: files(path) for step, path in checkpoints_in(folder / "run").items()}

    def beside(folder):
        names = ["recipe.yaml", "trainer_state.json", *(f"{name}_results.json" for name in ("all", "train", "eval"))]
        return {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}

    old, before, old_beside = state(folder / "run"), checkpoints(folder), beside(folder / "run")
    states = states_at_kills(folder, tmp_path / "states", train)
    new, after, new_beside = state(folder / "run"), checkpoints(folder), beside(folder / "run")
    assert old[0] != new[0]
    assert len(old_beside) == len(new_beside) == 5
    results = {name: json.loads(text) for name, text in new_beside.items() if name.endswith(".json")}
    seen = set()
    assert set(before) == set(after) == {4}
    names = set(before[4])
    for number, killed in enumerate(states):
        found = state(killed / "run")
        assert found in (old, new), f"killed at {number}"
        card = (killed / "run" / "README.md").read_text()
        assert ("`pos`, `neg`" in card) == (found == new), f"killed at {number}: the card is of another model"
        lying = beside(killed / "run")
        seen.add((found == new, len(lying)))
        if found == old:
            assert lying == old_beside, f"killed at {number}: recipe or results are of another model"
        else:  # results of the new model, as far as they are known
            assert lying.pop("recipe.yaml") == new_beside["recipe.yaml"]
            for name, text in lying.items():
                assert json.loads(text).items() <= results[name].items(), f"killed at {number}: {name}"
        for step, found in checkpoints(killed).items():
            assert set(found) == names, f"killed at {number}, checkpoint {step}"
            assert step == 2 or found in (before[4], after[4]), f"killed at {number}"
    assert {(False, 5), (True, 1), (True, 5)} <= seen


@pytest.mark.parametrize("rows", [2, 7], ids=["within the first step", "within three steps"])
@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_a_prediction_that_was_killed_resumes_to_the_bytes_of_an_unbroken_one(
    model_folder, tokenizer, tmp_path, ending, rows
):
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps({"text": f"a film {i}", "id": i}) + "\n" for i in range(rows)))
    model = MultiTaskModel.from_pretrained(model_folder)
    answerer = make_answerer(model, tokenizer, look_ahead=3)

    def predict(folder, resume=False):
        answer_file(model, answerer, RowReader(source), folder / f"out.{ending}", resume=resume)

    folder = tmp_path / "folder"
    folder.mkdir()
    states = states_at_kills(folder, tmp_path / "states", lambda: predict(folder))
    whole = (folder / f"out.{ending}").read_bytes()
    assert {path.name for path in folder.iterdir()} == {f"out.{ending}"}
    for number, killed in enumerate(states):
        output = killed / f"out.{ending}"
        if output.exists():
            assert output.read_bytes() == whole
        predict(killed, resume=True)
        assert output.read_bytes() == whole, f"killed at {number}"
        assert {path.name for path in killed.iterdir()} == {output.name}, f"killed at {number}"
