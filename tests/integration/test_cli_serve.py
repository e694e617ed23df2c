"""``hf-mtl serve`` as a process: it says where it listens, answers, and stops on SIGTERM."""

import http.client
import json
import os
import re
import signal
from pathlib import Path

import pytest
from transformers import pipeline

import hf_mtl.cli
from hf_mtl import MultiTaskModel, TaskConfig
from tests.encoders import tiny_encoder
from tests.serving import wait_until
from tests.warm import Script

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")


@pytest.fixture
def model_folder(tmp_path, tokenizer):
    model = MultiTaskModel.from_encoder(tiny_encoder(), [TaskConfig("mood", "sentiment", labels=["bad", "good"])])
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_model_is_served_until_the_process_is_terminated(model_folder, tmp_path):
    output = tmp_path / "output"
    errors = Path(f"{output}.errors")
    main = Path(hf_mtl.cli.__file__).with_name("__main__.py")
    process = Script(main, ["serve", str(model_folder), "--port", "0"], output).start()
    try:
        wait_until(lambda: errors.exists() and "Serving" in errors.read_text(), 60)
        assert f"{model_folder} (torch, 1 task)" in errors.read_text()
        connection = http.client.HTTPConnection(re.search(r"http://(\S+), see", errors.read_text())[1], timeout=30)
        connection.request("POST", "/predict", json.dumps({"inputs": "good"}), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        expected = pipeline("multi-task", model=str(model_folder))("good")["mood"]
        assert answer["mood"]["scores"] == pytest.approx(expected["scores"], abs=1e-5)
        os.kill(process.pid, signal.SIGTERM)  # with a connection open
        process.join(20)
        assert process.exitcode in (0, -signal.SIGTERM)
        connection.close()
    finally:
        process.kill()
    assert "Traceback" not in errors.read_text()
