"""Training, logs, metrics, reports and resuming by any name of a task."""

import dataclasses

import pytest
import torch

from hf_mtl import MultiTaskModel
from hf_mtl.report import read_run, render_report
from tests.encoders import tiny_encoder
from tests.trainers import TASKS

NAMES = {"intent": "score (0-5)", "slots": "C:\\x", "mood": "keys", "similarity": " a.b/<c>\n"}


@pytest.fixture
def named(data):
    rows = {
        name: rows.rename_columns({old: NAMES[old] for old in rows.column_names if old in NAMES})
        for name, rows in data.items()
    }
    tasks = [dataclasses.replace(task, name=NAMES[task.name]) for task in TASKS]
    torch.manual_seed(0)
    return rows, MultiTaskModel.from_encoder(tiny_encoder(), tasks)


def test_training_takes_any_name_where_it_takes_a_name(build, named, tmp_path):
    rows, model = named
    kwargs = {
        "head_learning_rate": {"score (0-5)": 5e-3},
        "frozen_heads": ["keys"],
        "save_strategy": "epoch",
        "eval_strategy": "epoch",
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_score (0-5)_f1_macro",
    }
    trainer = build(model, rows, rows, **kwargs)
    before = [parameter.clone() for parameter in model.heads["keys"].parameters()]
    trainer.train()
    assert all(map(torch.equal, before, model.heads["keys"].parameters()))
    rates = {id(p): group["initial_lr"] for group in trainer.optimizer.param_groups for p in group["params"]}
    classifiers = {name: head.classifier.stock.classifier.weight for name, head in model.task_heads.items()}
    others = {rates[id(classifiers[name])] for name in NAMES.values() if name not in ("score (0-5)", "keys")}
    assert rates[id(classifiers["score (0-5)"])] not in others
    scores = trainer.evaluate()
    assert {f"eval_{name}_loss" for name in NAMES.values()} <= {*scores}
    trainer.save_model()
    page = render_report(read_run(tmp_path / "out"))
    assert "score (0-5)" in page
    assert "&lt;c&gt;" in page
    assert "<c>" not in page


def test_two_metrics_never_share_a_key(build, named):
    rows, _ = named
    tasks = [dataclasses.replace(TASKS[0], name=name) for name in ("a", "a_f1")]
    rows = {"one": rows["snips"].rename_columns({"score (0-5)": "a"}).add_column("a_f1", rows["snips"]["score (0-5)"])}
    trainer = build(MultiTaskModel.from_encoder(tiny_encoder(), tasks), rows, rows, {"metrics": {"a": [loss_of_f1]}})
    with pytest.raises(ValueError, match="share the key 'a_f1_loss'"):
        trainer.evaluate()


def loss_of_f1(predictions, references):
    return {"f1_loss": 0.0}
