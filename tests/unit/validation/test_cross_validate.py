"""Cross-validation: out-of-fold rows cover the data once, and a killed one resumes to the same files."""

import json
import math
import os
import re
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest
import yaml
from scipy import stats
from typer.testing import CliRunner

from hf_mtl.cli import app
from hf_mtl.data import StoredPredictions
from hf_mtl.recipe import Recipe
from hf_mtl.relations import RelationsPlan
from hf_mtl.trainer import MultiTaskTrainer
from hf_mtl.validation import Comparison, CrossValidation, cross_validate, normalised, read_oof
from hf_mtl.validation._progress import RunsBar


def test_each_row_is_answered_once_by_the_model_that_did_not_see_it(values, tmp_path):
    table = cross_validate(values, "cv", folds=2)
    oof = pq.read_table("cv/oof.parquet").to_pylist()
    folds = {(row["dataset"], row["row"]): row["fold"] for row in pq.read_table("cv/folds.parquet").to_pylist()}
    keys = [(row["dataset"], row["row"], row["task"]) for row in oof]
    wanted = [("films", row, task) for row in range(16) for task in ("opinion", "stars")]
    assert keys == wanted + [("talks", row, "slots") for row in range(12)]
    assert all(folds[row["dataset"], row["row"]] == row["fold"] for row in oof)

    from transformers import AutoTokenizer

    from hf_mtl import MultiTaskModel
    from hf_mtl.inference import probabilities

    train = Recipe.from_dict(values).prepare().train
    for fold in range(2):
        model = MultiTaskModel.from_pretrained(f"cv/fold-{fold}")
        tokenizer = AutoTokenizer.from_pretrained(f"cv/fold-{fold}")
        own = [row for row in oof if row["fold"] == fold and row["task"] == "opinion"]
        texts = [train["films"][row["row"]]["text"] for row in own]
        found = [answer["opinion"][0] for answer in probabilities(model, tokenizer, texts, tasks=["opinion"])]
        assert np.allclose(found, [row["probabilities"] for row in own], atol=1e-5)

    places = {}
    for name, column in (("films", "text"), ("talks", "tokens")):
        for row in range(len(train[name])):
            text = train[name][row][column]
            text = normalised(text if column == "text" else "".join(text))
            places.setdefault(text, set()).add(folds[name, row])
    assert all(len(own) == 1 for own in places.values())
    assert len(places) < len(folds), "no text is shared, so nothing was tested"

    scores = [json.loads((tmp_path / "cv" / f"fold-{k}" / "test_results.json").read_text()) for k in range(2)]
    main = table[table.is_main].set_index("task")
    assert list(main.index) == ["opinion", "stars", "slots", ""]
    row = main.loc["slots"]
    assert [row.fold_0, row.fold_1] == [found["test_slots_f1"] for found in scores]
    spread = np.std([row.fold_0, row.fold_1], ddof=1)
    half = stats.t.ppf(0.975, 1) * spread * math.sqrt(1 / 2 + 1)
    assert row["mean"] == pytest.approx((row.fold_0 + row.fold_1) / 2)
    assert (row["std"], row["high"] - row["mean"]) == (pytest.approx(spread), pytest.approx(half))
    pd.testing.assert_frame_equal(
        pd.read_csv("cv/scores.csv", keep_default_na=False, na_values=["nan"]), table, check_dtype=False
    )

    stored = StoredPredictions("cv/oof.parquet")
    assert stored.labels["opinion"] == ["neg", "pos"]
    assert len(read_oof("cv/oof.parquet", "films", "opinion")) == 16
    tokens = train["talks"]["tokens"]
    assert [len(row) for row in read_oof("cv/oof.parquet", "talks", "slots")] == [len(words) for words in tokens]


def killed_at(values, number, name="_inner_training_loop"):
    """Cross-validate in a child that is killed at the ``number``-th call of a method of the trainer."""
    child = os.fork()
    if child == 0:
        original, count = getattr(MultiTaskTrainer, name), 0

        def hook(*args, **kwargs):
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        setattr(MultiTaskTrainer, name, hook)
        cross_validate(values, "killed", folds=2)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


FILES = ("oof.parquet", "folds.parquet", "scores.csv")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_one_resumes_with_the_folds_that_are_missing_to_the_same_files(values, tmp_path, monkeypatch):
    values["training"] |= {"save_strategy": "steps", "save_steps": 1}
    cross_validate(values, "whole", folds=2)
    assert killed_at(values, 2, "save_state") == -signal.SIGKILL  # the second fold, after its last checkpoint
    assert not (tmp_path / "killed" / "oof.parquet").exists()
    trained = []
    original = MultiTaskTrainer.train

    def train(self, resume_from_checkpoint=None, *args, **kwargs):
        trained.append((os.path.basename(self.args.output_dir), resume_from_checkpoint))
        return original(self, resume_from_checkpoint, *args, **kwargs)

    monkeypatch.setattr(MultiTaskTrainer, "train", train)
    cross_validate(values, "killed", folds=2)
    assert trained == [("fold-1", True)]
    for name in FILES:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert not list(tmp_path.glob("*/fold-*/checkpoint-*"))
    cross_validate(values, "killed", folds=2)
    assert len(trained) == 1, "a whole one trains nothing"


def test_folds_in_processes_are_those_of_one_process_and_end_at_an_interrupt(values, tmp_path, monkeypatch):
    recipe_file = tmp_path / "recipe.yaml"
    recipe_file.write_text(yaml.safe_dump(values), encoding="utf-8")
    cross_validate(values, "one", folds=2)
    cross_validate(values, "two", folds=2, parallel=2)
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    # The processes are there: comparisons and tables of gains come from them, too, and lose none of their runs.
    for source in values["datasets"].values():
        source["test_size"] = 0.3
    recipe = Recipe.from_dict(values)
    for plan in (Comparison.plan(recipe, 1), RelationsPlan.plan(recipe, steps=1)):
        plan.run("many", parallel=2)
        assert plan.done("many") == len(plan.runs)
    # Ctrl-C reaches them, too: they leave it to this process, which ends them and keeps what is done.
    end, ignored = RunsBar.end, []

    def stopped(self):
        end(self)
        for process in psutil.Process().children(recursive=True):
            if "LokyProcess" in " ".join(process.cmdline()):
                status = Path(f"/proc/{process.pid}/status").read_text()
                ignored.append(int(re.search(r"SigIgn:\s*(\w+)", status)[1], 16) >> (signal.SIGINT - 1) & 1)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RunsBar, "end", stopped)
    command = ["cv", str(recipe_file), "--folds", "4", "--parallel", "2", "-o", "stopped"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell runs this with "&"
    try:
        result = CliRunner().invoke(app, command)
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 130
    assert ignored == [1, 1]
    done = re.search(r"(\d) of 4 folds are kept: the same command continues.", result.stderr)[1]
    assert 1 <= int(done) < 4
    assert not [p for p in psutil.Process().children() if "LokyProcess" in " ".join(p.cmdline()) and p.is_running()]


def test_a_folder_with_other_folds_trains_them_again_and_one_with_other_files_is_refused(values, tmp_path):
    plan = CrossValidation.plan(Recipe.from_dict(values), 2)
    assert (plan.steps, plan.done("cv")) == (4, 0)
    plan.run("cv")
    assert plan.done("cv") == 2
    values["training"]["learning_rate"] = 1e-4
    other = CrossValidation.plan(Recipe.from_dict(values), 2)
    assert other.done("cv") == 0
    same = CrossValidation.plan(
        Recipe.from_dict(
            {**values, "training": {**values["training"], "learning_rate": 1e-3, "output_dir": "b", "logging_steps": 1}}
        ),
        2,
    )
    assert same.done("cv") == 2
    (tmp_path / "mine" / "fold-1").mkdir(parents=True)
    (tmp_path / "mine" / "fold-1" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="fold-1' exists and is no run's folder"):
        other.run("mine")
    assert (tmp_path / "mine" / "fold-1" / "notes.txt").read_text() == "mine"


def test_groups_may_be_columns_that_the_recipe_does_not_read(values):
    plan = CrossValidation.plan(Recipe.from_dict(values), 2, group_by="author")
    folds = plan.folds["films"]
    assert all(folds[i] == folds[i + 1] for i in range(0, 16, 2))
    with pytest.raises(ValueError, match="no dataset has a column 'autor'"):
        CrossValidation.plan(Recipe.from_dict(values), 2, group_by="autor")


def test_fold_models_become_one_and_out_of_fold_answers_teach(values, tmp_path):
    from typer.testing import CliRunner

    from hf_mtl import MultiTaskModel
    from hf_mtl.cli import app

    cross_validate(values, "cv", folds=2)
    result = CliRunner().invoke(app, ["merge", "cv/fold-0", "cv/fold-1", "--average", "-o", "soup"])
    assert result.exit_code == 0, result.output
    soup, *models = (MultiTaskModel.from_pretrained(name).state_dict() for name in ("soup", "cv/fold-0", "cv/fold-1"))
    name = next(name for name in soup if name.startswith("heads.opinion") and name.endswith("weight"))
    assert np.allclose(soup[name], (models[0][name] + models[1][name]) / 2)
    values["methods"] = {"distillation": {"teachers": "cv/oof.parquet"}}
    built = Recipe.from_dict(values).build()
    built.train()
    assert any("added_loss/distillation" in entry for entry in built.trainer.state.log_history)
    with pytest.raises(ValueError, match="stored answers are found by the rows' numbers"):
        cross_validate(values, "taught", folds=2)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"batching": "mixed"},
        {"gradient_accumulation_steps": 3},
        {"batching": "mixed", "gradient_accumulation_steps": 3},
        {"num_train_epochs": 1.5, "dataloader_drop_last": True},
        {"sampling": "temperature", "sampling_options": {"temperature": 2}},
        {"sampling": "annealed"},
        {"max_steps": 3},
    ],
    ids=repr,
)
def test_steps_that_are_planned_are_those_that_are_trained(values, changes):
    del values["training"]["max_steps"]
    values["training"] |= {"num_train_epochs": 2, "per_device_train_batch_size": 5, "disable_tqdm": True, **changes}
    prepared = Recipe.from_dict(values).prepare()
    trainer = prepared.build().trainer
    trainer.train()
    assert prepared.steps() == trainer.state.max_steps == trainer.state.global_step
