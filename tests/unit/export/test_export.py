"""Exported folders: whole or not there, and loaded where hf_mtl is not installed."""

import json
from pathlib import Path

import pytest
import torch

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.export import export_transformers
from tests.encoders import tiny_encoder
from tests.environments import make_environment, run_in

TASKS = [
    TaskConfig("topic", "sequence-classification", labels=["x", "y", "z"]),
    TaskConfig("tags", "token-classification", labels=["O", "B-x", "I-x"]),
    TaskConfig("ranks", "sentiment", labels=["x", "y"], options={"loss": "ordinal"}),
]
IDS = torch.tensor([[2, 7, 9, 11, 3], [2, 5, 3, 0, 0]])


@pytest.fixture
def model():
    torch.manual_seed(1)
    return MultiTaskModel.from_encoder(tiny_encoder(), TASKS)


_WHERE_IT_IS_ABSENT = """
import importlib.util, sys
from pathlib import Path

assert not any(importlib.util.find_spec(name) for name in ("hf_mtl", "hf_mtl_light"))
import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer, pipeline

folder = Path(sys.argv[1])
saved = torch.load(folder / "logits.pt")
for name, auto in (("topic", AutoModelForSequenceClassification), ("tags", AutoModelForTokenClassification)):
    stock = auto.from_pretrained(folder / name)
    ids = saved["ids"]
    with torch.no_grad():
        logits = stock(input_ids=ids, attention_mask=ids.ne(0).long()).logits
    found = logits[ids.ne(0)] if name == "tags" else logits
    assert torch.equal(found, saved[name]), name
answer = pipeline("text-classification", str(folder / "topic"), device="cpu")("play a song")
assert answer[0]["label"] in ("x", "y", "z"), answer
"""


def test_exported_folder_answers_bit_for_bit_where_hf_mtl_is_absent(model, tokenizer, tmp_path):
    model.unpad = False
    with torch.no_grad():
        logits = model(input_ids=IDS, attention_mask=IDS.ne(0).long()).logits
    for name in ("topic", "tags"):
        export_transformers(model, tokenizer, name, tmp_path / name)
    torch.save({"ids": IDS, "topic": logits["topic"], "tags": logits["tags"][IDS.ne(0)]}, tmp_path / "logits.pt")
    python = make_environment(tmp_path / "environment", without=("hf_mtl", "hf_mtl_light"))
    run_in(python, _WHERE_IT_IS_ABSENT, str(tmp_path), cwd=tmp_path)
    config = json.loads((tmp_path / "topic" / "config.json").read_text())
    assert config["id2label"] == {"0": "x", "1": "y", "2": "z"}
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert not any("hf_mtl" in str(value) for value in config.values())
    card = (tmp_path / "tags" / "README.md").read_text()
    assert "pipeline_tag: token-classification" in card
    assert "`B-x`" in card


def test_failed_export_leaves_nothing_and_keeps_what_was_there(model, tokenizer, tmp_path):
    with pytest.raises(ValueError, match="loss='ordinal'"):
        export_transformers(model, tokenizer, "ranks", tmp_path / "new" / "out")
    assert not list((tmp_path / "new").iterdir())
    export_transformers(model, tokenizer, "topic", tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(ValueError, match="loss='ordinal'"):
        export_transformers(model, tokenizer, "ranks", tmp_path / "out", overwrite=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_overwriting_replaces_all_of_an_earlier_export_and_nothing_else(model, tokenizer, tmp_path):
    export_transformers(model, tokenizer, "topic", tmp_path / "out")
    (tmp_path / "out" / "left.txt").write_text("old")
    with pytest.raises(ValueError, match=r"is not empty. Replace it with --overwrite"):
        export_transformers(model, tokenizer, "tags", tmp_path / "out")
    export_transformers(model, tokenizer, "tags", tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out" / "left.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(ValueError, match=r"holds no exported model .* so it is not replaced"):
        export_transformers(model, tokenizer, "tags", tmp_path / "mine", overwrite=True)
    with pytest.raises(ValueError, match="is a file, not a folder"):
        export_transformers(model, tokenizer, "tags", tmp_path / "mine" / "thesis.txt" / "out")


def test_empty_folder_is_filled(model, tokenizer, tmp_path):
    (tmp_path / "out").mkdir()
    stock = export_transformers(model, tokenizer, "topic", tmp_path / "out")
    assert type(stock).__name__ == "BertForSequenceClassification"
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_earlier_export_comes_back_where_its_replacement_fails(model, tokenizer, tmp_path, monkeypatch):
    export_transformers(model, tokenizer, "topic", tmp_path / "out")
    rename = Path.rename

    def refuse(path, target):
        if path.suffix == ".tmp":
            raise OSError("no space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="no space left"):
        export_transformers(model, tokenizer, "tags", tmp_path / "out", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert "BertForSequenceClassification" in (tmp_path / "out" / "config.json").read_text()
