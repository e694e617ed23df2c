"""A SavedModel answers as torch does, opened by TensorFlow alone: make test-tensorflow, where it is installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from typer.testing import CliRunner

from hf_mtl import MultiTaskModel, OnnxPredictor, TaskConfig
from hf_mtl.cli import app
from hf_mtl.export import export_tensorflow
from tests.encoders import tiny_encoder
from tests.image_encoders import tiny_image_encoder
from tests.trainers import TASKS

#: The Python of an environment with tensorflow and onnx.
PYTHON = os.environ.get("HF_MTL_TEST_TENSORFLOW")
needs_tensorflow = pytest.mark.skipif(PYTHON is None, reason="needs TensorFlow: make test-tensorflow")
ALL_TASKS = [
    *TASKS,
    TaskConfig("topics of it", "multi-label-classification", labels=["a", "b"], pooling="mean"),
    TaskConfig("rank", "sentiment", labels=["a", "b", "c"], options={"loss": "ordinal"}),
]
#: Families that differ in how they count positions, attend and normalise.
FAMILIES = ["bert", "roberta", "albert", "deberta-v2", "modernbert", "mpnet", "gpt2", "llama", "t5"]
TEXTS = ["play a good song", "bob is in rome", "not very good " * 9]

_ALONE = """
import json, sys
import tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
found = serve(**{name: tf.constant(rows, tf.int64) for name, rows in json.loads(sys.argv[2]).items()})
found = {name: value.numpy().tolist() for name, value in found.items()}
import keras
layer = keras.layers.TFSMLayer(sys.argv[1], call_endpoint="call")
again = layer({name: tf.constant(rows, tf.int64) for name, rows in json.loads(sys.argv[2]).items()})
assert {name: value.numpy().tolist() for name, value in again.items()} == found
print(json.dumps([found, sorted({"torch", "transformers", "onnx", "onnxruntime"} & set(sys.modules))]))
"""


def make(family="bert", tasks=ALL_TASKS):
    torch.manual_seed(0)
    return MultiTaskModel.from_encoder(tiny_encoder(family), tasks).eval()


@needs_tensorflow
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_torch(family, tokenizer, tmp_path):
    report = export_tensorflow(make(family), tokenizer, tmp_path / "out", python=PYTHON)
    assert list(report.tasks) == [task.name for task in ALL_TASKS]
    assert max(found.difference for found in report.tasks.values()) < 1e-5


@needs_tensorflow
def test_tensorflow_alone_opens_the_folder_of_the_command(tokenizer, tmp_path):
    model, folder = make(), tmp_path / "out"
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "in.txt").write_text("\n".join(TEXTS))
    given = [str(tmp_path / "model"), str(folder), "--to", "tensorflow", "--texts", str(tmp_path / "in.txt")]
    result = CliRunner().invoke(app, ["export", *given, "--tensorflow-python", PYTHON])
    assert result.exit_code == 0, result.output
    assert "against torch on 3 texts" in result.output
    described = json.loads((folder / "tasks.json").read_text())
    reader = Tokenizer.from_file(str(folder / "tokenizer.json"))
    reader.enable_padding(pad_id=described["pad_token_id"])
    rows = reader.encode_batch(TEXTS)
    columns = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
    inputs = {name: [getattr(row, columns[name]) for row in rows] for name in described["inputs"]}
    done = subprocess.run([PYTHON, "-E", "-c", _ALONE, folder, json.dumps(inputs)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found, imported = json.loads(done.stdout)
    assert imported == []
    with torch.inference_mode():
        expected = model(**{name: torch.tensor(rows) for name, rows in inputs.items()}).logits
    mask = np.array(inputs["attention_mask"], bool)
    for name, logits in expected.items():
        one, two = np.array(found[name]), logits.numpy()
        np.testing.assert_allclose(*((one[mask], two[mask]) if two.ndim == 3 else (one, two)), atol=1e-5)
    with pytest.raises(ValueError, match="holds a SavedModel of TensorFlow"):
        OnnxPredictor(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "model", "out"]


@pytest.mark.parametrize(
    ("python", "message"),
    [
        (None, r"needs tensorflow\. .*--tensorflow-python"),
        ("no-such-python", "'no-such-python' is no Python that can be run"),
        ("/bin/false", "'/bin/false' is none"),
    ],
)
def test_an_environment_without_tensorflow_is_refused_before_any_work(python, message, tokenizer, tmp_path):
    if python is None and "tensorflow" in sys.modules:
        pytest.skip("TensorFlow is installed here")
    with pytest.raises((ImportError, ValueError), match=message):
        export_tensorflow(make(), tokenizer, tmp_path / "out", python=python)
    assert not list(Path(tmp_path).iterdir())


def test_tasks_of_pictures_are_refused(tokenizer, tmp_path):
    tasks = [*TASKS[:1], TaskConfig("colour", "image-classification", labels=["red", "blue"])]
    encoders = {"text": tiny_encoder(), "image": tiny_image_encoder()}
    with pytest.raises(ValueError, match="Task 'colour' reads pictures"):
        export_tensorflow(MultiTaskModel.from_encoder(encoders, tasks), tokenizer, tmp_path / "out")


@needs_tensorflow
def test_an_operator_that_is_not_translated_is_named_and_nothing_is_written(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.nn.functional.gelu", lambda value, **kwargs: torch.sinh(value))
    with pytest.raises(ValueError, match="operators that are not translated: Sinh"):
        export_tensorflow(make(), tokenizer, tmp_path / "out", python=PYTHON)
    assert not list(Path(tmp_path).iterdir())
