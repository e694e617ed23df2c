"""Models made by strangers: refused in clear words, or harmless."""

import contextlib
import json
import resource
import struct

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModel

from hf_mtl import MultiTaskModel
from tests.encoders import tiny_encoder
from tests.trainers import TASKS


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    torch.manual_seed(0)
    MultiTaskModel.from_encoder(tiny_encoder(), TASKS).save_pretrained(folder)
    return folder, json.loads((folder / "config.json").read_text())


@pytest.fixture(scope="module")
def load_with(saved, tmp_path_factory):
    """Return a function that loads the saved model with another config."""
    folder = tmp_path_factory.mktemp("changed")
    (folder / "model.safetensors").symlink_to(saved[0] / "model.safetensors")

    def load(config):
        (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
        return MultiTaskModel.from_pretrained(folder)

    return load


def changed(config, path, value):
    """Return a copy of a config with one value changed: a path such as ``encoder_config.vocab_size``."""
    copy = json.loads(json.dumps(config))
    here = copy
    *parents, last = path.split(".")
    for part in parents:
        here = here[int(part) if isinstance(here, list) else part]
    here[int(last) if isinstance(here, list) else last] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("encoder_config.vocab_size", 10**12, "encoder_config.vocab_size is 1000000000000"),
        ("encoder_config.vocab_size", 2**23, "numbers, and the weights hold"),
        ("encoder_config.hidden_size", 2**23, "numbers, and the weights hold|can be built"),
        ("encoder_config.num_hidden_layers", 10**6, "encoder_config.num_hidden_layers is 1000000"),
        ("encoder_config.model_type", "nope", "nope"),
        ("encoder_config.model_type", "os.system", "os.system"),
        ("encoder_config.auto_map", {"AutoModel": "x.Y"}, "encoder_config.auto_map"),
        ("encoder_config.hidden_act", "__import__('os')", "encoder_config"),
        ("encoder_config.hidden_size", "32", "hidden_size"),
        ("encoder_config.num_attention_heads", 0, "encoder_config"),
        ("encoder_config", [1], "encoder_config must be a mapping"),
        ("transformers_weights", "../../other/model.safetensors", "transformers_weights"),
        ("encoder_config.transformers_weights", "/etc/passwd", "encoder_config.transformers_weights"),
        ("quantization_config", {"quant_method": "bitsandbytes"}, "quantization_config"),
        ("_attn_implementation", "someone/their-kernel", "_attn_implementation"),
        ("encoder_config.attn_implementation", "someone/their-kernel", "encoder_config.attn_implementation"),
        ("tasks", {"intent": {}}, "tasks must be a list"),
        ("tasks", ["intent"], "tasks"),
        ("tasks.0.type", "os.system", "unknown type 'os.system'"),
        ("tasks.0.labels", "abc", "labels must be a list"),
        ("tasks.0.labels", [1, 2], "labels must be non-empty strings"),
        ("tasks.0.labels", [str(n) for n in range(100_001)], r"tasks\[0\].labels: 100,001 labels"),
        ("tasks.0.name", "input_ids", "is reserved"),
        ("tasks.0.name", None, "name must be a non-empty string"),
        ("tasks.0.options", {"x": 1}, "unknown option 'x'"),
        ("tasks.0.options", 5, "config.json|options"),
        ("frozen", {"encoder": True, "heads": ["nope"]}, "frozen"),
        ("frozen", [1], "frozen"),
        ("frozen", {"layers": {"sound": 1}}, "frozen"),
        ("frozen", {"layers": {"text": "1"}}, "frozen"),
    ],
)
def test_config_that_asks_for_too_much_is_refused_by_the_fields_name(saved, load_with, path, value, words):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((ValueError, OSError), match=words):
        load_with(changed(saved[1], path, value))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**19  # kB: no bomb went off


def test_deeply_nested_and_broken_json_is_refused(load_with, saved):
    for text in ("{", "[]", '"x"', "null", '{"tasks": ' + "[" * 500 + "]" * 500 + "}", "[" * 100_000):
        with pytest.raises((ValueError, OSError)):
            load_with(text)


def test_pickles_are_not_read(saved, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(saved[1]))
    model = MultiTaskModel.from_pretrained(saved[0])
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    for load in (MultiTaskModel.from_pretrained, AutoModel.from_pretrained):
        with pytest.raises(OSError, match=r"no weights in safetensors.*pickle, which can run any code"):
            load(tmp_path)
    with pytest.raises(ValueError, match=r"use_safetensors=False"):
        MultiTaskModel.from_pretrained(tmp_path, use_safetensors=False)


@pytest.mark.parametrize("shard", ["../secret.safetensors", "/etc/x.safetensors", "x.bin", 7, "a/b.safetensors"])
def test_index_that_names_files_elsewhere_is_refused(saved, tmp_path, shard):
    (tmp_path / "config.json").write_text(json.dumps(saved[1]))
    index = {"metadata": {}, "weight_map": {"encoder.x": shard}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"no file beside it|no index"):
        MultiTaskModel.from_pretrained(tmp_path)


def test_cut_and_forged_weights_are_refused(saved, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(saved[1]))
    content = (saved[0] / "model.safetensors").read_bytes()
    forged = json.dumps({"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    for bad in (content[:-1], content[:5], b"", struct.pack("<Q", 2**60), struct.pack("<Q", len(forged)) + forged):
        (tmp_path / "model.safetensors").write_bytes(bad)
        with pytest.raises(OSError, match=r"is cut|no safetensors file"):
            MultiTaskModel.from_pretrained(tmp_path)


def test_new_heads_may_be_larger_than_the_files(saved):
    config = AutoConfig.from_pretrained(saved[0])
    config.tasks = [
        *config.tasks,
        type(TASKS[0])("new", "sequence-classification", labels=[str(n) for n in range(999)]),
    ]
    model, _ = MultiTaskModel.from_pretrained(saved[0], config=config, output_loading_info=True)
    assert "new" in model.task_heads


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def paths(value, prefix=""):
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield f"{prefix}{key}"
            yield from paths(item, f"{prefix}{key}.")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_a_config_gives_a_clear_error_or_a_model_that_works(saved, load_with, data):
    path = data.draw(st.sampled_from(sorted(paths(saved[1]))))
    value = data.draw(JSON | st.sampled_from([-1, 0, 2**31, 2**63, 1e308, "", "../x", "/etc/passwd"]))
    told = None
    try:
        model = load_with(changed(saved[1], path, value))
    except (ValueError, OSError, ImportError) as error:
        told = str(error)
    if told is not None:
        assert len(told) > 10
        return
    # Built: then it runs, or the encoder's own fields do not go together, which only running it finds.
    model.eval()
    with contextlib.suppress(*((Exception,) if path.startswith("encoder_config.") else ())):
        assert set(model(input_ids=torch.tensor([[2, 7, 9, 3]]), return_dict=True).logits) == set(model.task_heads)
