import copy
from dataclasses import replace

import pytest
import torch
from datasets import Dataset
from typer.testing import CliRunner

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.cli import app
from hf_mtl.data import vocabulary_mark
from hf_mtl.surgery import (
    add_head,
    average_models,
    change_labels,
    drop_head,
    encoder_digest,
    merge_models,
    rename_head,
    reorder_heads,
)
from tests.encoders import tiny_encoder
from tests.image_encoders import pictures, tiny_image_encoder
from tests.trainers import TASKS, make_data

INPUTS = {
    "input_ids": torch.tensor([[2, 7, 9, 3], [2, 5, 3, 0]]),
    "attention_mask": torch.tensor([[1] * 4, [1, 1, 1, 0]]),
}
#: Heads that are new and have no rows are refused by default.
WITHOUT_CHECK = {"check_data": False}
TOPIC = TaskConfig("topic", "sequence-classification", labels=["song", "film"])


def make_model(tasks=TASKS, family="bert", seed=0):
    encoder = tiny_encoder(family)
    torch.manual_seed(seed)
    return MultiTaskModel.from_encoder(encoder, tasks)


def logits(model):
    model.eval()
    with torch.no_grad():
        return dict(model(**INPUTS).logits)


def assert_same(found, expected, names):
    for name in names:
        assert torch.equal(found[name], expected[name]), name


def topics():
    texts = ["play a song", "a good film", "song by anna", "film in rome"] * 4
    return {"topics": Dataset.from_dict({"text": texts, "topic": ["song", "film"] * 8})}


@pytest.mark.parametrize("batching", ["mixed", "homogeneous"])
def test_new_head_trained_alone_leaves_all_other_answers_bit_for_bit(build, batching):
    model = make_model()
    before, digest = logits(model), encoder_digest(model)
    add_head(model, TOPIC)
    new = {key: value.clone() for key, value in model.task_heads["topic"].state_dict().items()}
    kwargs = {"freeze_encoder": True, "weight_decay": 0.5, "learning_rate": 0.05, "max_steps": 6}
    build(model, topics(), None, WITHOUT_CHECK, batching=batching, **kwargs).train()
    assert any(not torch.equal(value, new[key]) for key, value in model.task_heads["topic"].state_dict().items())
    assert encoder_digest(model) == digest
    assert_same(logits(model), before, before)


def test_jointly_labelled_rows_leave_frozen_heads_bit_for_bit(build):
    model = make_model()
    before = logits(model)
    build(
        model,
        {"snips": make_data()["snips"]},
        None,
        WITHOUT_CHECK,
        freeze_encoder=True,
        frozen_heads=["slots"],
        weight_decay=0.5,
        learning_rate=0.05,
    ).train()
    after = logits(model)
    assert_same(after, before, ["slots", "mood", "similarity"])
    assert not torch.equal(after["intent"], before["intent"])


def test_frozen_encoder_computes_nothing_backwards():
    model = make_model()
    model.freeze(encoder=True)
    model.train()
    assert not model.encoder.training
    output = model(**INPUTS, labels={"mood": torch.tensor([0, 1])})
    assert output.last_hidden_state.grad_fn is None
    output.loss.backward()
    assert all(parameter.grad is None for parameter in model.encoder.parameters())
    assert model.task_heads["mood"].classifier.stock.classifier.weight.grad is not None


@pytest.mark.parametrize("family", ["bert", "distilbert", "modernbert", "deberta-v2"])
def test_lowest_layers_are_frozen_with_the_embeddings(family):
    model = make_model(family=family)
    model.freeze(layers=1)
    frozen = {name for name, p in model.encoder.named_parameters() if not p.requires_grad}
    assert any("embed" in name for name in frozen)
    assert any(".0." in name for name in frozen)
    assert not any(".1." in name.replace("LayerNorm", "") and "layer" in name for name in frozen)
    with pytest.raises(ValueError, match="between 0 and 2"):
        model.freeze(layers=3)


def test_frozen_parts_are_remembered_by_a_saved_model(tmp_path):
    model = make_model()
    model.freeze(encoder=True, heads=["mood"])
    model.save_pretrained(tmp_path)
    loaded = MultiTaskModel.from_pretrained(tmp_path)
    learning = {name for name, p in loaded.named_parameters() if p.requires_grad}
    assert learning
    assert all(name.startswith("heads.") and not name.startswith("heads.mood") for name in learning)
    loaded.unfreeze()
    assert all(p.requires_grad for p in loaded.parameters())
    assert loaded.config.frozen is None


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_unfreezing_comes_at_its_step_and_resuming_equals_not_stopping(build, tmp_path):
    kwargs = {"unfreeze_at_step": 3, "freeze_encoder": True, "save_steps": 1, "max_steps": 5, "learning_rate": 0.01}
    whole = build(make_model(), **kwargs)
    start = encoder_digest(whole.model)
    whole.train()
    expected = weights(whole.model)
    for step, learns in ((2, False), (3, False), (4, True)):
        saved = MultiTaskModel.from_pretrained(tmp_path / "out" / f"checkpoint-{step}")
        assert (encoder_digest(saved) != start) == learns, step
    for step in (2, 3, 4):
        resumed = build(make_model(), **kwargs)
        resumed.train(resume_from_checkpoint=str(tmp_path / "out" / f"checkpoint-{step}"))
        for name, value in weights(resumed.model).items():
            assert torch.equal(value, expected[name]), (step, name)
    assert resumed.model.frozen == {"encoder": False, "trunk": False, "layers": 0, "heads": []}


def test_dataset_that_would_train_nothing_is_refused(build):
    with pytest.raises(ValueError, match=r"Dataset 'sst' labels 'mood'.*would train nothing"):
        build(make_model(), freeze_encoder=True, frozen_heads=["mood"]).train()


def test_dropping_renaming_and_reordering_leave_the_rest_bit_for_bit(tmp_path):
    model = make_model()
    before = logits(model)
    drop_head(model, "similarity")
    rename_head(model, "mood", "feeling")
    reorder_heads(model, ["slots", "feeling", "intent"])
    model.save_pretrained(tmp_path)
    loaded = MultiTaskModel.from_pretrained(tmp_path)
    after = logits(loaded)
    assert list(after) == ["slots", "feeling", "intent"]
    assert_same(after, {**before, "feeling": before["mood"]}, after)
    assert [task.name for task in loaded.tasks] == list(after)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "modernbert"])
def test_known_labels_keep_what_they_learned(family):
    model = make_model(family=family)
    before = logits(model)
    change_labels(model, "intent", ["stop", "none", "play", "book"])
    change_labels(model, "slots", ["O", "B-town", "I-town", "B-x"], renamed={"B-city": "B-town", "I-city": "I-town"})
    after = logits(model)
    assert after["intent"].shape[1] == 4
    torch.testing.assert_close(after["intent"][:, [2, 3, 1]], before["intent"])
    torch.testing.assert_close(after["slots"][..., :3], before["slots"])
    assert_same(after, before, ["mood", "similarity"])


def test_ordinal_scales_take_new_names_but_no_new_labels():
    model = make_model([TaskConfig("mood", "sentiment", labels=["bad", "so", "good"], options={"loss": "ordinal"})])
    before = logits(model)
    change_labels(model, "mood", ["low", "so", "high"], renamed={"bad": "low", "good": "high"})
    assert_same(logits(model), before, ["mood"])
    with pytest.raises(ValueError, match="ordinal scale"):
        change_labels(model, "mood", ["low", "so", "high", "top"])


def test_heads_trained_apart_on_one_encoder_answer_the_same_when_merged(build):
    one, two = make_model([TASKS[0]]), make_model([TASKS[2]], seed=1)
    for model, name in ((one, "snips"), (two, "sst")):
        data = {name: make_data()[name].remove_columns(["slots"] if name == "snips" else [])}
        build(model, data, None, freeze_encoder=True, learning_rate=0.05, max_steps=3).train()
    expected = {**logits(one), **logits(two)}
    merged = merge_models([one, two])
    assert list(merged.task_heads) == ["intent", "mood"]
    assert_same(logits(merged), expected, expected)
    assert list(one.task_heads) == ["intent"]


def test_models_on_other_encoders_are_not_merged():
    one, two = make_model([TASKS[0]]), make_model([TASKS[2]])
    with torch.no_grad():
        next(two.encoder.parameters())[0, 0] += 1e-6
    with pytest.raises(ValueError, match=r"1 of \d+ tensors have other values.*freeze_encoder"):
        merge_models([one, two])
    with pytest.raises(ValueError, match="families 'bert' and 'roberta'"):
        merge_models([one, make_model([TASKS[2]], "roberta")])
    with pytest.raises(ValueError, match="both have a task 'intent'"):
        merge_models([one, make_model([TASKS[0]], seed=3)])


def test_models_of_other_pictures_are_not_merged():
    def of_both(mood, digit, seed=0):
        tasks = [replace(TASKS[2], name=mood), TaskConfig(digit, "image-classification", labels=["0", "1"])]
        encoders = {"text": tiny_encoder(), "image": tiny_image_encoder(seed=seed)}
        return MultiTaskModel.from_encoder(encoders, tasks).eval()

    one, two, pixels = of_both("a", "b"), of_both("c", "d"), pictures(2)
    merged = merge_models([one, two])
    assert torch.equal(merged(pixel_values=pixels).logits["d"], two(pixel_values=pixels).logits["d"])
    with pytest.raises(ValueError, match=r"of \d+ tensors have other values, the first is image_encoder\."):
        merge_models([one, of_both("c", "d", seed=1)])
    for models in ([one, make_model([TASKS[0]])], [make_model([TASKS[0]]), one]):
        with pytest.raises(ValueError, match=r"families 'bert.*' and 'bert.*'"):
            merge_models(models)
    with pytest.raises(ValueError, match="different encoders: of text and image, and of text"):
        average_models([one, make_model([one.tasks[0]])])
    other = {"text": tiny_encoder(), "image": tiny_image_encoder(hidden_act="relu")}
    with pytest.raises(ValueError, match="different encoders: hidden_act is 'gelu' and 'relu'"):
        average_models([one, MultiTaskModel.from_encoder(other, one.tasks)])


@pytest.mark.parametrize("marks", [("one", "one"), (None, "one"), ("one", None), (None, None)])
def test_the_vocabulary_of_the_training_is_kept(marks):
    models = [make_model([TASKS[0]]), make_model([TASKS[2]])]
    for model, mark in zip(models, marks, strict=True):
        model.config.vocabulary = mark
    assert merge_models(models).config.vocabulary == (marks[0] or marks[1])
    again = [copy.deepcopy(models[0]) for _ in marks]
    for model, mark in zip(again, marks, strict=True):
        model.config.vocabulary = mark
    assert average_models(again).config.vocabulary == (marks[0] or marks[1])


def test_models_of_other_vocabularies_are_not_merged():
    models = [make_model([TASKS[0]]), make_model([TASKS[2]])]
    models[0].config.vocabulary, models[1].config.vocabulary = "one", "two"
    with pytest.raises(ValueError, match="Model 1 and model 2 were trained with different vocabularies"):
        merge_models(models)


def test_average_is_the_weighted_mean():
    one, two = make_model(seed=1), make_model(seed=2)
    average = average_models([one, two], [3, 1]).state_dict()
    for name, value in one.state_dict().items():
        expected = (3 * value.double() + two.state_dict()[name].double()) / 4 if value.is_floating_point() else value
        assert torch.equal(average[name], expected.to(value.dtype)), name
    with pytest.raises(ValueError, match=r"other tasks|different tasks"):
        average_models([one, make_model([TASKS[0]])])
    with pytest.raises(ValueError, match="not all 0"):
        average_models([one, two], [0, 0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: add_head(m, TASKS[0]), "occurs twice"),
        (lambda m: drop_head(m, "inten"), "Did you mean 'intent'"),
        (lambda m: drop_head(m, *m.task_heads), "at least one head"),
        (lambda m: rename_head(m, "mood", "slots"), "occurs twice"),
        (lambda m: rename_head(m, "mood", "text"), "reserved"),
        (lambda m: reorder_heads(m, ["mood"]), "name each task once"),
        (lambda m: change_labels(m, "similarity", ["a", "b"]), "has no labels"),
        (lambda m: change_labels(m, "intent", ["a", "b"], renamed={"x": "a"}), "cannot rename 'x'"),
        (lambda m: m.freeze(heads=["moood"]), "Did you mean 'mood'"),
    ],
)
def test_mistakes_name_what_there_is_and_change_nothing(change, words):
    model = make_model()
    before = logits(model)
    with pytest.raises(ValueError, match=words):
        change(model)
    assert_same(logits(model), before, before)


def test_command_line_changes_a_saved_model(tmp_path, tokenizer):
    def call(*arguments):
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert done.exit_code == 0, done.output
        return done.output

    model = make_model()
    before = logits(model)
    first, second, merged = (tmp_path / name for name in ("first", "second", "merged"))
    model.config.vocabulary = vocabulary_mark(tokenizer)
    model.save_pretrained(first)
    tokenizer.save_pretrained(first)
    assert "similarity" in call("heads", first)
    call("heads", first, "drop", "slots", "similarity", "-o", second)
    call("heads", second, "rename", "mood", "feeling", "-o", second)
    call("heads", second, "drop", "intent", "-o", second)
    call("heads", second, "add", "topic", "--labels", "song,film", "-o", second)
    call("heads", second, "labels", "topic", "--labels", "song,film,book", "-o", second)
    call("heads", second, "freeze", "feeling", "--encoder", "-o", second)
    assert "topic" in (second / "README.md").read_text()
    table = call("merge", first, second, "-o", merged)
    assert "topic" in table
    loaded = MultiTaskModel.from_pretrained(merged)
    after = logits(loaded)
    assert_same(after, {**before, "feeling": before["mood"]}, [*before, "feeling"])
    assert loaded.frozen["heads"] == ["feeling"]
    assert loaded.config.vocabulary == model.config.vocabulary
    done = CliRunner().invoke(app, ["merge", str(first), str(first), "-o", str(merged)])
    assert done.exit_code == 2
