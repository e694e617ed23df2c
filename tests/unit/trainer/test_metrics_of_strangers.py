"""A model's config chooses among built-in metrics; only who trains or evaluates names one that runs code."""

import dataclasses

import pytest

from hf_mtl import MultiTaskModel
from tests.encoders import tiny_encoder
from tests.trainers import TASKS

_METRIC = """
import pathlib

import datasets
import evaluate

pathlib.Path({mark!r}).touch()


class M(evaluate.Metric):
    def _info(self):
        features = datasets.Features({{"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references):
        return {{"accuracy": 0.5}}
"""


@pytest.fixture
def mark(tmp_path, monkeypatch):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "m.py").write_text(_METRIC.format(mark=str(tmp_path / "code ran")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    return tmp_path / "code ran"


@pytest.mark.parametrize("metric", ["./m", "m", "someone/metric", "../m"])
def test_a_config_that_names_code_as_a_metric_is_refused_before_it_runs(build, mark, data, tmp_path, metric):
    tasks = [dataclasses.replace(TASKS[0], metrics=["accuracy", metric]), *TASKS[1:]]
    MultiTaskModel.from_encoder(tiny_encoder(), tasks).save_pretrained(tmp_path / "saved")
    model = MultiTaskModel.from_pretrained(tmp_path / "saved")  # what was saved is loaded
    with pytest.raises(ValueError, match=f"'intent': its metric '{metric}' is not built in"):
        build(model).evaluate()
    assert not mark.exists()


def test_who_evaluates_may_name_any_metric(build, mark):
    trainer = build(trainer_kwargs={"metrics": {"intent": ["./m"]}})
    assert trainer.evaluate()["eval_intent_accuracy"] == 0.5
    assert mark.exists()
