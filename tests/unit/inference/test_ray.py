"""Answers by actors of Ray are those of one process, byte for byte and in order; skipped where Ray is missing."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.cli import app
from hf_mtl.inference import make_answerer
from hf_mtl.inference._ray import FolderAnswerer
from hf_mtl_light.encoding import as_row
from tests.encoders import tiny_encoder

TASKS = [
    TaskConfig("mood", "sentiment", labels=["bad", "good"]),
    TaskConfig("names", "token-classification", labels=["O", "B-city", "I-city"]),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    MultiTaskModel.from_encoder(tiny_encoder(), TASKS).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_model_loaded_elsewhere_answers_the_same(model, tokenizer):
    rows = [as_row(text, number) for number, text in enumerate(["a good film", "paris in rome", "bob"], 1)]
    found, kept, wrong = FolderAnswerer(str(model), {"tasks": ["mood"]}).answer(rows, skips=True)
    expected = make_answerer(MultiTaskModel.from_pretrained(model), tokenizer, tasks=["mood"]).answer(rows)
    assert found == list(expected)
    assert (kept, wrong) == ([0, 1, 2], [])
    columns = FolderAnswerer(str(model), {})({"id": [7, 8], "text": ["a good film", "bob"]})
    assert list(columns) == ["id", "text", "mood", "names"]
    assert json.loads(columns["mood"][1])["label"] in ("bad", "good")


def test_actors_without_ray_and_without_effect_are_refused(model, tmp_path, monkeypatch):
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n')
    given = ["predict", str(model), str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl")]
    result = CliRunner().invoke(app, [*given, "--actors", "2"])
    assert result.exit_code != 0
    assert "--actors would be without effect" in result.output
    monkeypatch.setitem(sys.modules, "ray", None)
    result = CliRunner().invoke(app, [*given, "--engine", "ray"])
    assert result.exit_code != 0
    assert "pip install 'hf-mtl[ray]'" in result.output
    assert not (tmp_path / "out.jsonl").exists()


def test_ray_that_does_not_start_is_named_with_its_remedy(model, tmp_path, monkeypatch):
    def init(**kwargs):
        raise Exception("The current node timed out during startup.")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False, init=init))
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n')
    given = ["predict", str(model), str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl"), "--engine", "ray"]
    result = CliRunner().invoke(app, given)
    assert result.exit_code != 0
    assert "timed out during startup" in str(result.exception) + result.output
    assert "ray start --head" in str(result.exception) + result.output
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_the_file_of_a_cluster_is_that_of_one_process(model, tmp_path):
    pytest.importorskip("ray", reason="needs the extra ray")
    rows = [{"text": "good " * (number % 9), "id": number} for number in range(1500)]
    lines = [json.dumps(row) for row in rows]
    lines[700] = "{"
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    files = []
    for name, engine in (("one", []), ("ray", ["--engine", "ray", "--actors", "2"])):
        files.append(tmp_path / f"{name}.jsonl")
        given = ["predict", str(model), str(tmp_path / "in.jsonl"), "-o", str(files[-1]), "--on-error", "skip"]
        result = CliRunner().invoke(app, [*given, *engine])
        assert result.exit_code == 0, result.output
        assert "row 701" in result.output or "line 701" in result.output
    assert files[0].read_bytes() == files[1].read_bytes()
