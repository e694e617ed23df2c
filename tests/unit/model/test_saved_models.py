"""Models that an earlier version saved answer as they did there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

from hf_mtl import MultiTaskModel
from hf_mtl.hub._model import add_code
from hf_mtl.report import read_run

SAVED = Path(__file__).parent.parent.parent / "fixtures" / "saved_models"
NAMES = sorted(folder.name for folder in SAVED.iterdir())


@pytest.mark.parametrize("unpad", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_an_earlier_model_loads_whole_and_answers_bit_for_bit(name, unpad):
    expected = load_file(SAVED / name / "expected.safetensors")
    inputs = {key: expected[key] for key in ("input_ids", "attention_mask", "token_type_ids") if key in expected}
    model, info = MultiTaskModel.from_pretrained(SAVED / name, unpad=unpad, output_loading_info=True)
    assert not any(info.values())
    plain = AutoModel.from_config(model.config.encoder_config)
    plain.load_state_dict(model.encoder.state_dict(), strict=False)
    with torch.inference_mode():
        states = plain.eval()(**inputs).last_hidden_state
        found = model(**inputs).logits
    prefix = "unpadded/" if unpad else "padded/"
    assert [*found] == [task.name for task in model.tasks]
    assert {*found} == {key.removeprefix(prefix) for key in expected if key.startswith(prefix)}
    # Kernels of another processor round otherwise: Transformers' own encoder shows whether this one's do.
    is_same_machine = torch.equal(states, expected["states"])
    for task, logits in found.items():
        if is_same_machine:
            assert torch.equal(logits, expected[prefix + task]), task
        torch.testing.assert_close(logits, expected[prefix + task], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_an_earlier_model_is_reported_and_gets_its_code(name, tmp_path):
    folder = shutil.copytree(SAVED / name, tmp_path / name)
    (folder / "trainer_state.json").write_text(
        json.dumps({"global_step": 1, "log_history": [{"step": 1, "loss": 1.0}]})
    )
    names = [task["name"] for task in json.loads((folder / "config.json").read_text())["tasks"]]
    assert list(read_run(folder).tasks) == names
    add_code(folder)
    assert "auto_map" in json.loads((folder / "config.json").read_text())
