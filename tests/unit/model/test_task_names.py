"""Any name that a spreadsheet's column can have is a name that a task can have."""

from __future__ import annotations

import string

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from hf_mtl import MultiTaskModel, TaskConfig, predict
from hf_mtl.configuration import module_key, task_of_key
from hf_mtl.pipelines import MultiTaskPipeline
from hf_mtl.surgery import add_head, drop_head, merge_models, rename_head, reorder_heads
from tests.encoders import tiny_encoder

#: Names that an earlier version could not hold, or lost when it loaded a model, and some that look like other names.
# fmt: off
NAMES = [
    "score (0-5)", "a[b", "a]b", "C:\\x", "a\\", "keys", "items", "training", "a.b", "a/b", ".", "/", "..", "../up",
    " leading", "trailing ", "\ttab", "line\nbreak", "50 %", "a*b+c?", "{x}", "a|b", "^a$", "Größe", "情感", "😀", "é",
    "e\u0301", "a\u00a0b", "\u202eabc", "task_x3a_a", "_x2e_", "a_x2e_b", "_x", "x", "_", "-", "labels", "rows",
    "tasks", "loss", "losses", "logits", "id", "score", "heads", "encoder", "weight", "gamma", "beta", "model",
    "LayerNorm", "bert", "0", "12", "=SUM(A1:B2)", '"quoted"', "it's", "<b>", "a,b;c", "#", "@", "~", "`", "$x",
    "linear", "val_0", "task_0",
]
# fmt: on
SPREADSHEET = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12
) | st.text(string.punctuation + " ax_2e3", min_size=1, max_size=12)
INPUTS = {"input_ids": torch.tensor([[2, 7, 9, 3]]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}


def tasks_of(names):
    return [TaskConfig(name, "sentiment", labels=["bad", "good"]) for name in names]


@torch.no_grad()
def model_of(names, seed=0):
    model = MultiTaskModel.from_encoder(tiny_encoder(num_hidden_layers=1), tasks_of(names))
    torch.manual_seed(seed)
    for head in model.heads.values():
        for parameter in head.parameters():
            parameter.add_(torch.randn_like(parameter))
    return model


@torch.no_grad()
def logits(model):
    return {name: value.tolist() for name, value in model(**INPUTS).logits.items()}


@given(st.lists(SPREADSHEET | st.sampled_from(NAMES), unique=True, min_size=2))
@settings(max_examples=300)
def test_keys_are_one_to_one_and_can_be_read_back(names):
    keys = [module_key(name) for name in names]
    assert len({*keys}) == len(names)
    assert [task_of_key(key) for key in keys] == names
    assert not any(set(key) & set("./()[]\\") for key in keys)
    assert not any(hasattr(torch.nn.ModuleDict(), key) for key in keys)


@pytest.mark.parametrize("name", ["intent", "my task", "mood-2", "Größe", "50%", "a*b", "情感", "_x2e_"])
def test_names_that_were_keys_before_are_keys_still(name):
    assert module_key(name) == name


def held_to_the_law(names, folder):
    """Check that names survive saving, loading, renaming, reordering and merging, each with its own head."""
    model = model_of(names)
    expected = logits(model)
    assert [*expected] == [*model.heads] == [*model.heads.keys()] == [name for name, _ in model.heads.items()] == names
    model.freeze(heads=names[:1])
    model.save_pretrained(folder)
    loaded = MultiTaskModel.from_pretrained(folder)
    assert [task.name for task in loaded.tasks] == names
    assert loaded.frozen["heads"] == names[:1]
    assert not any(parameter.requires_grad for parameter in loaded.heads[names[0]].parameters())
    assert logits(loaded) == expected
    assert {*load_file(folder / "model.safetensors")} == {*model.state_dict()}
    loaded.unfreeze()
    rename_head(loaded, names[0], "plain")
    rename_head(loaded, "plain", names[0])
    reorder_heads(loaded, names[::-1])
    loaded.save_pretrained(folder)
    again = MultiTaskModel.from_pretrained(folder)
    assert logits(again) == {name: expected[name] for name in names[::-1]}
    other = model_of(["another"])
    merged = merge_models([again, other])
    assert logits(merged) == {**logits(again), **logits(other)}
    add_head(merged, TaskConfig("tied", "sentiment", labels=["bad", "good"], tied_to=names[0]))
    drop_head(merged, names[0])  # the tied task keeps its head
    assert logits(merged)["tied"] == expected[names[0]]


def test_every_name_is_a_name(tmp_path):
    held_to_the_law(NAMES, tmp_path)


@given(st.lists(SPREADSHEET.filter(str.strip), unique=True, min_size=1, max_size=4))
@settings(max_examples=10)
def test_any_name_is_a_name(tmp_path_factory, names):
    names = [name for name in names if name not in ("plain", "another", "tied")] or ["a"]
    held_to_the_law(names, tmp_path_factory.mktemp("named"))


def test_pipeline_and_predict_answer_by_any_name(tokenizer):
    model = model_of(NAMES)
    (answer,) = predict(model, tokenizer, ["good film"])
    assert [*answer] == NAMES
    assert [*MultiTaskPipeline(model, tokenizer)("good film", tasks=NAMES[::-1])] == NAMES[::-1]
    assert {name: model.for_task(name).task.name for name in NAMES} == {name: name for name in NAMES}
