"""Every command that answers with a model, or hands one on, refuses one that lacks something."""

import shutil

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from hf_mtl import MultiTaskModel
from hf_mtl.cli import app
from tests.encoders import tiny_encoder
from tests.trainers import TASKS

COMMANDS = {
    "predict": ["predict", "MODEL", "texts.txt", "-o", "out.jsonl"],
    "export to transformers": ["export", "MODEL", "out", "--to", "transformers", "--task", "mood"],
    "export to onnx": ["export", "MODEL", "out", "--to", "onnx"],
    "heads": ["heads", "MODEL", "rename", "mood", "feeling", "-o", "out"],
    "merge": ["merge", "MODEL", "MODEL", "-o", "out"],
    "interpolate": ["interpolate", "MODEL", "MODEL", "-o", "out", "--factor", "0.5"],
    "push": ["push", "MODEL", "anna/x"],
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("saved")
    MultiTaskModel.from_encoder(tiny_encoder(), TASKS).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("lacking", ["a head", "the tokenizer"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_model_that_lacks_something_gives_no_answers(saved, tmp_path, monkeypatch, command, lacking):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(saved, "model")
    (tmp_path / "texts.txt").write_text("good film\n")
    if lacking == "the tokenizer":
        for file in (tmp_path / "model").glob("tokenizer*"):
            file.unlink()
    else:
        weights = load_file("model/model.safetensors")
        kept = {name: value for name, value in weights.items() if not name.startswith("heads.mood")}
        save_file(kept, "model/model.safetensors", metadata={"format": "pt"})
    result = CliRunner().invoke(app, [word.replace("MODEL", "model") for word in COMMANDS[command]])
    assert result.exit_code != 0
    words = "lack weights" if lacking == "a head" else "its tokenizer cannot be read"
    assert words in f"{result.output}{result.exception}".replace("\n", " ")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.jsonl").exists()
