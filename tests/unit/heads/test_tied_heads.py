"""Two tasks with one head: held once, trained by both, reported apart."""

import copy
import json
from dataclasses import replace

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from typer.testing import CliRunner

from hf_mtl import MultiTaskConfig, MultiTaskModel, TaskConfig
from hf_mtl.cli import app
from hf_mtl.recipe import Recipe, RecipeError
from hf_mtl.surgery import (
    add_head,
    average_models,
    change_labels,
    drop_head,
    merge_models,
    rename_head,
    reorder_heads,
)
from tests.encoders import tiny_encoder
from tests.trainers import make_data, model_without_dropout

NER = TaskConfig("ner", "token-classification", labels=["O", "B-city", "I-city"])
NEWS = replace(NER, name="news", weight=0.5, label_smoothing=0.1, tied_to="ner")
MOOD = TaskConfig("mood", "sentiment", labels=["bad", "good"])
IDS = torch.tensor([[2, 4, 9, 3], [2, 6, 3, 0]])


@pytest.fixture
def model():
    # The one that shares stands before the one that holds.
    return model_without_dropout([NEWS, MOOD, NER])


@pytest.fixture
def data():
    rows = make_data()
    tagged = rows["snips"].remove_columns("intent")
    return {
        "one": tagged.select(range(12)).rename_column("slots", "ner"),
        "two": tagged.select(range(12, 24)).rename_column("slots", "news"),
        "sst": rows["sst"],
    }


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS, attention_mask=IDS.ne(0)).logits


def assert_same(found, expected):
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_the_parameters_are_held_once(model, tmp_path):
    single = model_without_dropout([MOOD, NER])
    assert model.num_parameters() == single.num_parameters()
    assert list(model.task_heads) == ["news", "mood", "ner"]
    assert [model.task_heads[name].task for name in ("news", "ner")] == [NEWS, NER]
    shared = zip(*(model.task_heads[name].parameters() for name in ("news", "ner")), strict=True)
    assert all(one is two for one, two in shared)
    model.save_pretrained(tmp_path)
    assert set(load_file(tmp_path / "model.safetensors")) == set(single.state_dict())
    loaded = MultiTaskModel.from_pretrained(tmp_path)
    assert loaded.tasks == model.tasks
    assert_same(logits(loaded), logits(model))
    with torch.no_grad():
        loaded.task_heads["ner"].classifier.stock.classifier.bias += 1
    moved = logits(loaded)
    assert torch.equal(moved["news"], moved["ner"])
    assert not torch.equal(moved["news"], logits(model)["news"])


def test_its_gradient_is_the_sum_of_both_tasks(model):
    labels = {
        "ner": torch.tensor([[-100, 1, 2, -100], [-100, 0, -100, -100]]),
        "news": torch.tensor([[-100, 0, 1, -100], [-100, -100, -100, -100]]),
    }

    def gradient(names):
        model.zero_grad()
        given = {name: labels[name] for name in names}
        model(input_ids=IDS, attention_mask=IDS.ne(0), labels=given).loss.backward()
        return [p.grad.clone() for p in model.task_heads["ner"].parameters()]

    both, first, second = gradient(["ner", "news"]), gradient(["ner"]), gradient(["news"])
    for whole, one, two in zip(both, first, second, strict=True):
        torch.testing.assert_close(whole, one + two)
        assert bool(two.any())


@pytest.mark.parametrize("kwargs", [{}, {"balancing": "gradient", "balancing_options": {"aggregator": "Mean"}}])
def test_both_tasks_are_trained_and_scored_apart(build, model, data, kwargs):
    pytest.importorskip("torchjd")
    trainer = build(model, data, data, batching="mixed", max_steps=3, **kwargs)
    before = copy.deepcopy(model)
    trainer.train()
    held = model.task_heads["ner"].classifier.stock.classifier.weight
    assert not torch.equal(held, before.task_heads["ner"].classifier.stock.classifier.weight)
    rates = [id(p) for group in trainer.optimizer.param_groups for p in group["params"]]
    assert len(rates) == len(set(rates)) == len(list(model.parameters()))
    scores = trainer.evaluate()
    assert {"eval_ner_f1", "eval_news_f1", "eval_ner_loss", "eval_news_loss"} <= set(scores)
    assert scores["eval_ner_loss"] != scores["eval_news_loss"]


def test_one_dataset_of_either_task_trains_as_two_of_one(build, data):
    """Shared tasks of equal weight in one step are one task on the rows of both."""
    two = [NER, replace(NER, name="news", tied_to="ner")]
    found = []
    for tasks, parts in (
        (two, {"one": data["one"], "two": data["two"]}),
        ([NER], {"one": data["one"], "two": data["two"].rename_column("news", "ner")}),
    ):
        model = model_without_dropout(tasks)
        kwargs = {"max_steps": 2, "per_device_train_batch_size": 8, "batching": "homogeneous", "save_strategy": "no"}
        build(model, parts, None, **kwargs).train()
        found.append(model.state_dict())
    assert found[0].keys() == found[1].keys()
    for name in found[0]:
        torch.testing.assert_close(found[0][name], found[1][name])


def test_rates_are_given_by_the_task_that_holds_the_head(build, model, data):
    with pytest.raises(ValueError, match="head_learning_rate names 'news', which is tied to the head of 'ner'"):
        build(model, data, None, head_learning_rate={"news": 1e-3})
    assert build(model, data, None, head_learning_rate={"ner": 1e-3}).create_optimizer()


def test_what_is_learned_from_labels_is_learned_from_both(build):
    one = TaskConfig("one", "regression")
    model = model_without_dropout([replace(one, name="two", tied_to="one"), one])
    data = {
        "a": Dataset.from_dict({"text": ["a", "b"], "one": [1.0, 3.0]}),
        "b": Dataset.from_dict({"text": ["c", "d"], "two": [5.0, 7.0]}),
    }
    build(model, data, None, max_steps=1, save_strategy="no").train()
    assert {(task.target_mean, task.target_std) for task in model.tasks} == {(4.0, 5**0.5)}
    MultiTaskConfig(tasks=model.tasks)


def test_freezing_holds_the_head_of_both(model, tmp_path):
    model.freeze(heads=["news"])
    assert model.frozen["heads"] == ["ner", "news"]
    assert not any(p.requires_grad for p in model.task_heads["ner"].parameters())
    model.train()
    assert not model.heads["ner"].training
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["frozen"]["heads"] = ["news"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = MultiTaskModel.from_pretrained(tmp_path)
    assert not any(p.requires_grad for p in loaded.task_heads["ner"].parameters())


# Surgery


def test_dropping_the_holder_leaves_the_head_to_the_other(model):
    expected = logits(model)
    add_head(model, replace(NER, name="third", tied_to="ner"))
    drop_head(model, "ner")
    assert [(task.name, task.tied_to) for task in model.tasks] == [("news", None), ("mood", None), ("third", "news")]
    found = logits(model)
    assert torch.equal(found["third"], expected["ner"])
    assert_same({name: found[name] for name in ("news", "mood")}, expected)
    drop_head(model, "news", "third")
    assert list(model.state_dict()) == list(model_without_dropout([MOOD]).state_dict())


def test_dropping_the_other_leaves_the_holder(model):
    expected = logits(model)
    drop_head(model, "news")
    assert_same(logits(model), {name: expected[name] for name in ("mood", "ner")})


def test_renaming_and_reordering_keep_the_tie(model):
    expected = logits(model)
    rename_head(model, "ner", "places")
    reorder_heads(model, ["places", "news", "mood"])
    assert [(task.name, task.tied_to) for task in model.tasks] == [
        ("places", None),
        ("news", "places"),
        ("mood", None),
    ]
    MultiTaskConfig(tasks=model.tasks)
    assert torch.equal(logits(model)["places"], expected["ner"])
    rename_head(model, "news", "press")
    assert torch.equal(logits(model)["press"], expected["news"])


def test_labels_change_for_both(model):
    before = model.task_heads["ner"].classifier.stock.classifier.weight.detach().clone()
    change_labels(model, "news", ["O", "B-place", "I-place", "B-x"], renamed={"B-city": "B-place", "I-city": "I-place"})
    assert [model.config.task(name).labels for name in ("ner", "news")] == [("O", "B-place", "I-place", "B-x")] * 2
    assert model.config.task("news").tied_to == "ner"
    assert torch.equal(model.task_heads["news"].classifier.stock.classifier.weight[:3], before)
    assert torch.equal(logits(model)["news"], logits(model)["ner"])


def test_merged_and_averaged_models_share_as_before(model):
    other = copy.deepcopy(model)
    for name in ("ner", "news", "mood"):
        rename_head(other, name, f"{name}_2")
    merged = merge_models([model, other])
    assert merged.config.task("news_2").tied_to == "ner_2"
    assert list(merged.heads) == ["mood", "ner", "mood_2", "ner_2"]
    assert torch.equal(logits(merged)["news_2"], logits(model)["news"])
    assert_same(logits(average_models([model, copy.deepcopy(model)])), logits(model))


def test_either_leaves_as_a_stock_model(model):
    model.unpad = False
    expected = logits(model)
    for name in ("ner", "news"):
        stock = model.to_transformers(name)
        with torch.no_grad():
            assert torch.equal(stock(input_ids=IDS, attention_mask=IDS.ne(0).long()).logits[0], expected[name][0])


# What is refused, and what users see


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([NEWS, MOOD], "'news': tied_to names 'ner', which is no task of the model"),
        ([replace(NER, tied_to="ner")], "'ner', which is tied itself. A task cannot be tied to itself"),
        (
            [NER, NEWS, replace(NER, name="third", tied_to="news")],
            "'third': tied_to names 'news', which is tied itself",
        ),
        (
            [replace(NER, tied_to="news"), NEWS],
            "'ner': tied_to names 'news', which is tied itself",
        ),
        ([NER, replace(NEWS, labels=["O", "I-city", "B-city"])], "they differ in labels"),
        ([NER, replace(NEWS, layers=1)], "they differ in layers: 1 and None"),
        ([NER, replace(NEWS, options={"scheme": "IOB2"})], "they differ in options"),
        ([NER, replace(NEWS, type="crf-tagging", label_smoothing=0.0)], "they differ in type"),
    ],
)
def test_wrong_shares_are_refused_wherever_they_stand(tasks, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        MultiTaskConfig(tasks=tasks)
    values = MultiTaskConfig(tasks=[NER]).to_dict()
    with pytest.raises(ValueError, match=message):
        MultiTaskConfig.from_dict({**values, "tasks": [task.to_dict() for task in tasks]})


def test_a_share_that_is_no_name_is_refused():
    with pytest.raises(TypeError, match="'a': tied_to must be a task's name"):
        TaskConfig("a", "regression", tied_to=["b"])
    with pytest.raises(ValueError, match="is no task of the model"):
        add_head(MultiTaskModel.from_encoder(tiny_encoder(), [MOOD]), NEWS)


def test_a_recipe_gives_both_the_labels_of_both(encoder_folder, tmp_path):
    def recipe(**fields):
        datasets = {}
        for name, tag in (("ner", "B-city"), ("news", "B-person")):
            path = tmp_path / f"{name}.jsonl"
            rows = [{"tokens": ["a", "b"], "tags": ["O", tag]}] * 12
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
            load = {"path": "json", "data_files": str(path)}
            datasets[name] = {"load": load, "columns": {"tokens": "tokens", "tags": name}}
        return Recipe.from_dict(
            {
                "encoder": str(encoder_folder),
                "datasets": datasets,
                "tasks": {"news": {"tied_to": "ner", **fields}},
                "training": {"output_dir": str(tmp_path / "run"), "use_cpu": True},
            }
        )

    prepared = recipe().prepare()
    assert [task.labels for task in prepared.tasks] == [("B-city", "O", "B-person")] * 2
    assert prepared.tasks[1].tied_to == "ner"
    assert Recipe.from_dict(prepared.resolved()).prepare().tasks == prepared.tasks
    with pytest.raises(RecipeError, match="'news' is tied to the head of 'ner', but they differ in layers"):
        recipe(layers=1).prepare()
    with pytest.raises(RecipeError, match=r"tied_to names 'nre', which is no task of the model\. Did you mean 'ner'"):
        recipe(tied_to="nre").prepare()


def test_the_command_lists_and_adds_ties(model, tokenizer, tmp_path):
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    arguments = ["heads", str(tmp_path / "model"), "add", "web", "--tied-to", "ner", "-o", str(tmp_path / "more")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert result.output.count("those of ner") == 2
    assert_same(logits(model), logits(MultiTaskModel.from_pretrained(tmp_path / "more")))
