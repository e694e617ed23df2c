"""The command line from data files to answers, in one process, on a tiny encoder."""

import importlib.metadata
import json
import logging
import subprocess
import sys

import datasets
import pytest
import torch
from transformers.utils import logging as transformers_logging
from typer.testing import CliRunner

from hf_mtl import MultiTaskModel
from hf_mtl.cli import app
from tests.unit.recipe.recipe_files import recipe_values, write_data, write_recipe, write_rows


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)


def call(*args, code=0, **kwargs):
    result = CliRunner().invoke(app, [str(arg) for arg in args], **kwargs)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def trained(tmp_path_factory, encoder_folder, cache):
    """A folder with the data, a recipe and a run of it."""
    folder = tmp_path_factory.mktemp("trained")
    write_data(folder)
    recipe = write_recipe(folder, recipe_values(encoder_folder, folder / "run"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
        result = call("train", recipe, "training.save_steps=2")
    return folder, recipe, result


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_training_leaves_model_tokenizer_recipe_and_results(trained):
    folder, _, result = trained
    names = {path.name for path in (folder / "run").iterdir()}
    assert names >= {
        *("model.safetensors", "config.json", "tokenizer.json", "recipe.yaml", "trainer_state.json"),
        *("all_results.json", "train_results.json", "eval_results.json", "test_results.json", "checkpoint-4"),
    }
    everything = read_json(folder / "run" / "all_results.json")
    assert {"eval_opinion_accuracy", "eval_intent_accuracy", "eval_slots_f1", "eval_score"} <= set(everything)
    assert {"test_intent_accuracy", "test_slots_f1", "test_score", "train_loss", "train_samples"} <= set(everything)
    assert "test_opinion_accuracy" not in everything
    assert everything["eval_samples"] == 6
    assert everything["eval_score"] == pytest.approx(
        sum(everything[f"eval_{key}"] for key in ("opinion_accuracy", "intent_accuracy", "slots_f1")) / 3
    )
    # The terminal: what is trained, how it goes, how well it went; nothing of the libraries'.
    assert "films" in result.stdout
    assert "18/2/-" in result.stdout
    assert "mean of the main metrics" in result.stdout
    lines = result.stderr.splitlines()
    assert lines[0].startswith("Dataset 'films' has no validation split: 2 of its 20 training rows are held out")
    assert all(line.startswith("epoch ") for line in lines[1:])
    assert len(lines) == 1 + 4


def test_evaluation_gives_the_scores_of_the_training(trained):
    folder, recipe, _ = trained
    for split, prefix in (("validation", "eval"), ("test", "test")):
        output = folder / f"{split}.json"
        result = call("evaluate", folder / "run", recipe, "--split", split, "--output", output)
        assert "slots" in result.stdout
        before, now = read_json(folder / "run" / f"{prefix}_results.json"), read_json(output)
        scores = {key for key in now if key.startswith(prefix) and "runtime" not in key and "second" not in key}
        assert f"{prefix}_score" in scores
        assert {key: now[key] for key in scores} == pytest.approx({key: before[key] for key in scores})


def test_the_written_recipe_evaluates_too(trained):
    folder, _, _ = trained
    assert "f1" in call("evaluate", folder / "run", folder / "run" / "recipe.yaml").stdout


def test_answers_stand_beside_the_fields_of_their_rows(trained):
    folder, _, _ = trained
    rows = [
        {"text": "the film is good", "id": 7, "opinion": "pos"},
        {"tokens": ["book", "in", "paris"]},
        {"text": "anna", "text_pair": "bob"},
        {"text": ""},
        {"text": "caf\u00e9 \u2028 [bold]", "note": None},
    ]
    write_rows(folder / "in.jsonl", rows)
    call("predict", folder / "run", folder / "in.jsonl", "-o", folder / "out.jsonl", "--batch-size", "2")
    lines = (folder / "out.jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n")
    answers = [json.loads(line) for line in lines]
    assert len(answers) == len(rows)
    for row, answer in zip(rows, answers, strict=True):
        kept = {("input_opinion" if key == "opinion" else key): value for key, value in row.items()}
        assert {key: answer[key] for key in kept} == kept
        assert answer["opinion"]["label"] in ("neg", "pos")
        assert answer["intent"]["label"] in ("book", "play")
        assert isinstance(answer["slots"], list)
        assert set(answer) == {*kept, "opinion", "intent", "slots"}


def test_answers_go_through_pipes_and_for_chosen_tasks(trained):
    folder, _, _ = trained
    result = call("predict", folder / "run", "-", "-o", "-", "--tasks", "intent", input='{"text": "play"}\n\n')
    (line,) = result.stdout.splitlines()
    assert set(json.loads(line)) == {"text", "intent"}
    assert result.stderr == ""


def test_a_text_file_is_a_text_a_line(trained):
    folder, _, _ = trained
    (folder / "in.txt").write_text("play a song\n\nbook", encoding="utf-8")
    result = call("predict", folder / "run", folder / "in.txt", "-o", "-")
    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == ["play a song", "", "book"]


def test_a_dry_run_shows_the_table_and_writes_nothing(tmp_path, encoder_folder, monkeypatch):
    write_data(tmp_path)
    recipe = write_recipe(tmp_path, recipe_values(encoder_folder, tmp_path / "run"))
    before = sorted(tmp_path.rglob("*"))

    def refuse(*args, **kwargs):
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(MultiTaskModel, "from_encoder", refuse)
    result = call("train", recipe, "--dry-run")
    assert "token-classification" in result.stdout
    assert "3: B-artist, B-place, O" in result.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_a_training_says_how_it_draws_and_balances(trained, tmp_path):
    _, recipe, _ = trained
    given = ["max_steps=3", "per_device_train_batch_size=4", "gradient_accumulation_steps=2", "balancing=uncertainty"]
    chosen = ["sampling.strategy=uniform", "average.kind=ema", f"training.output_dir={tmp_path / 'run'}"]
    result = call("train", recipe, *(f"training.{value}" for value in given), *chosen, "--dry-run")
    for line in (
        "steps: 3 of 8 rows, homogeneous",
        "sampler: uniform",
        "balancer: uncertainty (learning_rate: 0.01)",
        "average: ema (decay: 0.999)",
    ):
        assert f"\n{line}\n" in result.stdout


def test_a_trained_model_is_replaced_only_on_request(trained, tmp_path):
    _, recipe, _ = trained
    run = tmp_path / "run"
    call("train", recipe, f"training.output_dir={run}", "training.save_steps=2")
    before = (run / "model.safetensors").read_bytes()
    refused = call("train", recipe, f"training.output_dir={run}", code=2)
    assert refused.stderr == (
        f"error: {str(run)!r} already holds a trained model. Replace it with --overwrite, continue it with --resume, "
        "or choose another training.output_dir.\n"
    )
    assert (run / "model.safetensors").read_bytes() == before
    (run / "report.html").write_text("of the first run")
    (run / "notes.txt").write_text("mine")
    call("train", recipe, f"training.output_dir={run}", "training.max_steps=1", "--overwrite")
    assert (run / "model.safetensors").read_bytes() != before
    assert not (run / "report.html").exists()
    assert (run / "notes.txt").exists()
    assert [path.name for path in run.glob("checkpoint-*")] == ["checkpoint-1"]


def test_a_resumed_training_ends_where_an_unbroken_one_does(trained, tmp_path):
    _, recipe, _ = trained
    run = tmp_path / "run"
    overrides = [f"training.output_dir={run}", "training.save_steps=2", "training.lr_scheduler_type=constant"]
    call("train", recipe, *overrides)
    unbroken = MultiTaskModel.from_pretrained(run).state_dict()
    call("train", recipe, *overrides, "training.max_steps=2", "--overwrite")
    call("train", recipe, *overrides, "--resume")
    resumed = MultiTaskModel.from_pretrained(run).state_dict()
    assert all(torch.equal(unbroken[name], resumed[name]) for name in unbroken)


def test_a_command_leaves_loggers_and_bars_as_it_found_them(trained):
    _, recipe, _ = trained
    own = logging.getLogger("hf_mtl")
    before = (
        own.level,
        list(own.handlers),
        transformers_logging.get_verbosity(),
        transformers_logging.is_progress_bar_enabled(),
        datasets.utils.logging.get_verbosity(),
        datasets.are_progress_bars_disabled(),
    )
    call("train", recipe, "--dry-run")
    assert before == (
        own.level,
        list(own.handlers),
        transformers_logging.get_verbosity(),
        transformers_logging.is_progress_bar_enabled(),
        datasets.utils.logging.get_verbosity(),
        datasets.are_progress_bars_disabled(),
    )


def test_an_interruption_is_one_line(trained, monkeypatch):
    _, recipe, _ = trained

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "load_dataset", interrupt)
    result = call("train", recipe, "--dry-run", code=130)
    assert result.stderr.strip() == "interrupted"


def test_the_version_is_the_packages():
    assert call("--version").stdout == f"hf-mtl {importlib.metadata.version('hf-mtl')}\n"


def test_commands_are_defined_without_torch():
    # The package itself imports torch; its command line must add nothing to the wait before --help.
    script = (
        "import importlib.util, sys, types\n"
        "package = types.ModuleType('hf_mtl')\n"
        "package.__path__ = importlib.util.find_spec('hf_mtl').submodule_search_locations\n"
        "sys.modules['hf_mtl'] = package\n"
        "import hf_mtl.cli\n"
        "heavy = {'torch', 'transformers', 'datasets', 'pydantic', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
