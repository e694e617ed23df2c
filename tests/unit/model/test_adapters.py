"""Adapters of PEFT: trained with the heads, saved with them alone, loaded on the same encoder, merged."""

import json
import shutil

import pytest
import torch
from safetensors import safe_open

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.export import export_onnx
from hf_mtl.model import make_adapter_config
from hf_mtl.surgery import (
    add_branch,
    add_head,
    average_models,
    drop_head,
    interpolate_encoder,
    merge_models,
    rename_branch,
)
from tests.encoders import tiny_encoder
from tests.trainers import TASKS

peft = pytest.importorskip("peft")
# peft 0.21 reads a name that Transformers 5.23 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

BATCH = {
    "input_ids": torch.tensor([[2, 5, 6, 7, 3], [2, 8, 3, 0, 0]]),
    "attention_mask": torch.tensor([[1] * 5, [1, 1, 1, 0, 0]]),
}
LORA = {"type": "LORA", "r": 4, "target_modules": ["query", "value"], "lora_alpha": 8}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("encoder"))
    tiny_encoder().save_pretrained(folder)
    return folder


def adapted(encoder, config=LORA, **kwargs):
    """A model whose adapters answer otherwise than without them."""
    torch.manual_seed(3)
    model = MultiTaskModel.from_encoder(encoder, TASKS, **kwargs)
    model.add_adapter(config)
    with torch.no_grad():
        for parameter in model.adapter_weights():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def answers(model):
    with torch.no_grad():
        return model(**BATCH).logits


def assert_same(one, other, **tolerance):
    for task, logits in one.items():
        torch.testing.assert_close(logits, other[task], **(tolerance or {"rtol": 0, "atol": 0}))


CONFIGS = {
    "lora": LORA,
    "all linear layers": {"r": 2},
    "dora": {**LORA, "use_dora": True},
    "ia3": {"type": "IA3"},
    "loha": {"type": "LOHA", "r": 2, "target_modules": ["key"]},
    "lokr": {"type": "LOKR", "r": 2, "target_modules": ["dense"]},
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_a_saved_adapter_loads_and_merges_with_equal_answers(config, encoder, tmp_path):
    model = adapted(encoder, config)
    model.disable_adapters()
    before = answers(model)
    model.enable_adapters()
    assert any(not torch.allclose(before[task], logits) for task, logits in answers(model).items())
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "config.json"
    ]  # fmt: skip
    loaded = MultiTaskModel.from_pretrained(tmp_path)
    assert_same(answers(model), answers(loaded))
    assert {name for name, p in loaded.named_parameters() if p.requires_grad} == {
        name for name, p in model.named_parameters() if p.requires_grad
    }
    merged = loaded.merge_and_unload()
    assert merged is loaded
    assert not merged.has_adapters
    assert_same(answers(model), answers(merged), rtol=1e-4, atol=1e-5)
    merged.save_pretrained(tmp_path)  # a whole model in the adapter's place
    assert not list(tmp_path.glob("adapter_*"))
    assert_same(answers(merged), answers(MultiTaskModel.from_pretrained(tmp_path)))


def test_only_adapters_and_heads_learn_and_are_saved_and_peft_reads_the_file(encoder, tmp_path):
    model = adapted(encoder)
    model.save_pretrained(tmp_path)
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    with safe_open(tmp_path / "adapter_model.safetensors", "pt") as file:
        saved = set(file.keys())
    assert saved == {"base_model.model." + name.replace(".default", "") for name in learning}
    assert all("lora_" in name or name.startswith("heads.") for name in learning)
    torch.manual_seed(0)
    by_peft = peft.PeftModel.from_pretrained(MultiTaskModel.from_encoder(encoder, TASKS), tmp_path)
    assert_same(answers(model), answers(by_peft.eval()))


def test_branches_have_adapters_of_their_layers_with_a_rank_each(encoder, tmp_path):
    tasks = [*TASKS[:1], TaskConfig("slots", "token-classification", labels=["O", "B"], branch="tagging")]
    torch.manual_seed(0)
    model = MultiTaskModel.from_encoder(encoder, tasks, branches={"tagging": 1})
    model.add_adapter({**LORA, "rank_pattern": {r"branches\.tagging\..*": 2}})
    shapes = {name: list(p.shape) for name, p in model.named_parameters() if "lora_A" in name}
    assert {shape[0] for name, shape in shapes.items() if name.startswith("encoder.")} == {4}
    assert {shape[0] for name, shape in shapes.items() if name.startswith("branches.")} == {2}
    with torch.no_grad():
        for parameter in model.adapter_weights():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(tmp_path)
    assert_same(answers(model.eval()), answers(MultiTaskModel.from_pretrained(tmp_path)))


def test_a_trained_multi_task_model_can_be_adapted_with_its_branches(encoder, tmp_path):
    tasks = [*TASKS[:1], TaskConfig("slots", "token-classification", labels=["O", "B"], branch="tagging")]
    first = MultiTaskModel.from_encoder(encoder, tasks, branches={"tagging": 1})
    with torch.no_grad():
        for parameter in first.parameters():  # a trained model
            parameter.add_(torch.randn_like(parameter) * 0.1)
    first.save_pretrained(tmp_path / "first")
    model = MultiTaskModel.from_pretrained(tmp_path / "first")
    model.add_adapter(LORA)
    add_head(model, TaskConfig("mood", "sentiment", labels=["bad", "good"]))
    drop_head(model, "intent")
    model.save_pretrained(tmp_path / "adapter")
    assert_same(answers(model.eval()), answers(MultiTaskModel.from_pretrained(tmp_path / "adapter")))
    with pytest.raises(ValueError, match="holds the encoder that the adapter was trained on"):
        model.save_pretrained(tmp_path / "first")
    assert (tmp_path / "first" / "model.safetensors").is_file()


NAMED_TASKS = [*TASKS[:1], TaskConfig("slots", TASKS[1].type, labels=TASKS[1].labels, branch="tagging"), *TASKS[2:]]


def named(encoder, config, tasks=NAMED_TASKS):
    torch.manual_seed(3)
    model = MultiTaskModel.from_encoder(encoder, tasks, branches={"tagging": 1})
    model.add_adapter(config)
    with torch.no_grad():
        for parameter in model.adapter_weights():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def test_branches_and_tasks_have_an_adapter_each_that_is_saved_merged_and_exported(encoder, tmp_path):
    config = {"tagging": {"r": 2, "target_modules": ["query"]}, "mood": {"r": 4, "lora_alpha": 16}}
    model = named(encoder, config)
    assert model.config.branches == {"tagging": 1, "mood": 2}
    ranks = {(n.split(".")[1], p.shape[0]) for n, p in model.named_parameters() if "lora_A" in n}
    assert ranks == {("tagging", 2), ("mood", 4)}
    assert {m.scaling["default"] for n, m in model.named_modules() if n.endswith("query") and "mood" in n} == {4.0}
    expected = answers(model)
    model.save_pretrained(tmp_path / "adapter")
    loaded = MultiTaskModel.from_pretrained(tmp_path / "adapter")
    assert_same(expected, answers(loaded))
    model.disable_adapters()
    without = answers(model)
    assert {task for task in expected if not torch.allclose(expected[task], without[task])} == {"slots", "mood"}
    merged = loaded.merge_and_unload()
    assert_same(expected, answers(merged), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        stock = merged.to_transformers("mood")(**BATCH).logits
    torch.testing.assert_close(stock, expected["mood"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"tagging": {"rank": 2}}, r"peft.tagging: LORA has no option 'rank'"),
        ({"taging": {"r": 2}}, "'taging' is no branch and no task. Did you mean 'tagging'"),
        ({"mood": {"target_modules": ["qery"]}}, r"peft.mood: target_modules=.*'qery'.* fits none of its layers"),
        ({"mood": {}, "intent": {"type": "IA3"}}, "'intent' and 'mood' differ in their type"),
        ({"mood": {}, "intent": {"lora_dropout": 0.1}}, "'intent' and 'mood' differ in lora_dropout: 0.1, 0.0"),
        ({"mood": {"rank_pattern": {"query": 3}}}, "rank_pattern says by layer what r"),
        ({"slots": {"r": 2}}, "task 'slots' shares the branch 'tagging' with 'tags'"),
    ],
)
def test_adapters_by_name_that_cannot_be_are_refused_and_leave_the_model_as_it_was(config, words, encoder):
    tags = TaskConfig("tags", "token-classification", labels=["O", "B"], branch="tagging")
    model = MultiTaskModel.from_encoder(encoder, [*NAMED_TASKS, tags], branches={"tagging": 1})
    before, names = model.config.to_dict(), list(model.state_dict())
    with pytest.raises(ValueError, match=words):
        model.add_adapter(config)
    assert (model.config.to_dict(), list(model.state_dict())) == (before, names)
    assert not model.has_adapters


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"type": "LORE"}, "'LORE' is not supported. Did you mean 'LORA'"),
        ({"type": "PREFIX_TUNING"}, "Types: 'LORA'"),
        ({"rank": 3}, "LORA has no option 'rank'"),
        ({"r": 0}, "r"),
        ({"target_modules": ["qery"]}, "Linear layers of this encoder: 'dense', 'key', 'query', 'value'"),
        ({"init_lora_weights": "pissa"}, "changes the encoder's own weights"),
        ({"modules_to_save": ["heads"]}, "no option 'modules_to_save'"),
        (peft.LoraConfig(target_modules=["query"], modules_to_save=["embeddings"]), "saved whole without it"),
        (peft.PromptTuningConfig(), "'PROMPT_TUNING' is not supported"),
        (3, "must be a peft.PeftConfig or a mapping, found int"),
    ],
)
def test_a_config_that_cannot_be_right_is_refused_and_leaves_the_model_as_it_was(config, words, encoder):
    model = MultiTaskModel.from_encoder(encoder, TASKS)
    names = list(model.state_dict())
    with pytest.raises((ValueError, TypeError), match=words.replace("(", ".")):
        model.add_adapter(config)
    assert list(model.state_dict()) == names
    assert not model.has_adapters
    assert all(parameter.requires_grad for parameter in model.parameters())


def other_weights(model):
    with torch.no_grad():
        model.encoder.embeddings.word_embeddings.weight.add_(1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_weights, "has other weights than"),
        (lambda model: model.resize_token_embeddings(130), "other weights|cannot be loaded"),
        (lambda model: setattr(model.encoder.config, "_name_or_path", ""), "was not loaded from a folder or the Hub"),
    ],
)
def test_an_encoder_that_could_not_be_loaded_again_is_refused_before_training(change, words, encoder):
    model = MultiTaskModel.from_encoder(encoder, TASKS)
    change(model)
    with pytest.raises(ValueError, match=words):
        model.add_adapter(LORA)


def test_an_encoder_that_changed_since_or_is_gone_is_named_when_loading(encoder, tmp_path):
    own = tmp_path / "encoder"
    shutil.copytree(encoder, own)
    adapted(str(own)).save_pretrained(tmp_path / "adapter")
    tiny_encoder(seed=1).save_pretrained(own)
    with pytest.raises(ValueError, match="has other weights now"):
        MultiTaskModel.from_pretrained(tmp_path / "adapter")
    shutil.rmtree(own)
    with pytest.raises(ValueError, match=r"base_model_name_or_path in adapter_config\.json"):
        MultiTaskModel.from_pretrained(tmp_path / "adapter")


@pytest.mark.parametrize("wrong", ["cut", "missing", "another type", "no config of a model"])
def test_files_of_an_adapter_that_are_wrong_are_named(wrong, encoder, tmp_path):
    adapted(encoder).save_pretrained(tmp_path)
    weights, config = tmp_path / "adapter_model.safetensors", tmp_path / "adapter_config.json"
    if wrong == "cut":
        weights.write_bytes(weights.read_bytes()[:-10])
    elif wrong == "missing":
        weights.unlink()
    elif wrong == "another type":
        config.write_text(json.dumps({**json.loads(config.read_text()), "peft_type": "PREFIX_TUNING"}))
    else:
        config.write_text("[]")
    with pytest.raises((ValueError, OSError), match=r"adapter_model.safetensors|PREFIX_TUNING|adapter_config.json"):
        MultiTaskModel.from_pretrained(tmp_path)


SURGERY = {
    "average": lambda model: average_models([model, model]),
    "merge": lambda model: merge_models([model, model]),
    "interpolate": lambda model: interpolate_encoder(model, tiny_encoder(), 0.5),
    "branch": lambda model: add_branch(model, "tagging", 1),
    "renamed branch": lambda model: rename_branch(model, "tagging", "other"),
    "stock model": lambda model: model.to_transformers("intent"),
    "ONNX": lambda model: export_onnx(model, None, "never"),
    "encoder": lambda model: model.save_encoder("never"),
    "code": lambda model: model.save_pretrained("never", self_contained=True),
    "second adapter": lambda model: model.add_adapter(LORA),
    "foreign adapter": lambda model: model.load_adapter("never"),
}


@pytest.mark.parametrize("by_name", [False, True], ids=["one for all", "by name"])
@pytest.mark.parametrize("act", SURGERY.values(), ids=list(SURGERY))
def test_what_would_lose_adapters_says_to_merge_them(act, by_name, encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = named(encoder, {"tagging": {"r": 2}, "mood": {"r": 4}}) if by_name else adapted(encoder)
    with pytest.raises(ValueError, match=r"merge_and_unload|from_pretrained\(folder\) loads"):
        act(model)
    assert not list(tmp_path.iterdir())


def test_a_merged_model_leaves_as_a_stock_model(encoder):
    model = adapted(encoder)
    expected = answers(model)["intent"]
    stock = model.merge_and_unload().to_transformers("intent")
    with torch.no_grad():
        torch.testing.assert_close(stock(**BATCH).logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_without_padding_the_answers_are_those_with_it(family, tmp_path):
    tiny_encoder(family).save_pretrained(tmp_path)
    model = adapted(str(tmp_path), {"r": 2})
    flat = answers(model)
    model.unpad = False
    assert_same(
        {t: v[:1] for t, v in flat.items()}, {t: v[:1] for t, v in answers(model).items()}, rtol=1e-4, atol=1e-5
    )


def test_a_config_is_read_once_and_the_given_one_is_not_changed():
    given = peft.LoraConfig(target_modules=["query"], exclude_modules=["key"])
    before = given.to_dict()
    made = make_adapter_config(given)
    assert given.to_dict() == before
    assert make_adapter_config(made).exclude_modules == made.exclude_modules
