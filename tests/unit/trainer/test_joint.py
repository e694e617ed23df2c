"""Tasks that read the text and the picture of a row together: trained, scored, answered, saved, resumed."""

import base64
import io
import json

import pytest
import torch
from datasets import Dataset, Features, Image, Value, concatenate_datasets
from transformers import AutoTokenizer
from typer.testing import CliRunner

from hf_mtl import (
    MultiTaskModel,
    MultiTaskPipeline,
    MultiTaskTrainer,
    MultiTaskTrainingArguments,
    TaskConfig,
    predict,
)
from hf_mtl.cli import app
from hf_mtl.data import read_picture
from hf_mtl.demo import kinds_of, shown
from hf_mtl.export import export_onnx, export_tensorflow
from hf_mtl.surgery import add_head
from hf_mtl.validation import make_folds
from tests.encoders import tiny_encoder
from tests.image_encoders import colours, image_processor, pictures, tiny_image_encoder
from tests.serving import ask, running

INPUTS = ["text", "image"]
LABELS = ["good red", "good green", "bad red", "bad green"]
KIND = TaskConfig("kind", "sequence-classification", labels=LABELS, inputs=INPUTS)
TASKS = [
    KIND,
    TaskConfig("price", "regression", inputs=INPUTS),
    TaskConfig("scale", "sentiment", labels=["low", "high"], inputs=INPUTS, pooling="mean"),
    TaskConfig("tags", "multi-label-classification", labels=["a", "b"], inputs=INPUTS),
    TaskConfig("mood", "sentiment", labels=["bad", "good"]),
    TaskConfig("colour", "image-classification", labels=["red", "green"]),
]
QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
PHOTOS = [picture for number, picture in enumerate(colours(96)["image"]) if number % 3 < 2]
IDS = {
    "input_ids": torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]]),
    "attention_mask": torch.tensor([[1] * 4, [1] * 3 + [0]]),
}


def model_of(tasks=TASKS, seed=3):
    encoders = {"text": tiny_encoder(**QUIET), "image": tiny_image_encoder(**QUIET)}
    torch.manual_seed(seed)
    return MultiTaskModel.from_encoder(encoders, tasks)


def products(count=64, gaps=False):
    """Return titles with photos, whose kind follows from both; with gaps every fifth lacks one of the two."""
    rows = {"text": [], "image": [], "kind": [], "price": []}
    for number in range(count):
        word, colour = ("good", "bad")[number // 2 % 2], ("red", "green")[number % 2]
        has_text, has_image = not (gaps and number % 5 == 3), not (gaps and number % 5 == 4)
        rows["text"].append(f"a {word} film" if has_text else None)
        rows["image"].append(PHOTOS[number] if has_image else None)
        rows["kind"].append(f"{word} {colour}")
        rows["price"].append(float(number % 4))
    features = Features({"text": Value("string"), "image": Image(), "kind": Value("string"), "price": Value("float32")})
    return Dataset.from_dict(rows, features=features)


def trainer_of(model, folder, tokenizer, data, **kwargs):
    given = {"num_train_epochs": 1, "per_device_train_batch_size": 16, "learning_rate": 1e-3, "report_to": "none"}
    more = {"use_cpu": True, "disable_tqdm": True, "save_strategy": "no", "lr_scheduler_type": "constant"}
    args = MultiTaskTrainingArguments(folder, **{**given, **more, **kwargs})
    return MultiTaskTrainer(model, args, data, data, tokenizer, image_processor=image_processor())


def weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("joint")
    model = model_of(TASKS[:2])
    data = {"products": products(gaps=True)}
    trainer = trainer_of(model, folder, tokenizer, data, num_train_epochs=16, learning_rate=5e-3)
    trainer.train()
    trainer.save_model()
    return trainer, folder


def test_what_neither_shows_alone_is_learned_from_both(trained, tokenizer):
    trainer, _ = trained
    whole = {"products": products()}
    assert trainer.evaluate(whole)["eval_kind_accuracy"] == 1.0
    rows = whole["products"].select(range(8))
    for gone, bound in (("image", 0.8), ("text", 0.8)):
        answers = trainer.predict({"products": rows.remove_columns([gone, "kind", "price"])}).predictions["products"]
        right = [answer["kind"]["label"] == row["kind"] for answer, row in zip(answers, rows, strict=True)]
        assert sum(right) / len(right) < bound


def test_answers_of_rows_with_one_two_or_mixed_inputs_are_those_of_single_passes(trained, tokenizer):
    trainer, folder = trained
    model = MultiTaskModel.from_pretrained(folder)
    rows = [{"text": "a good film", "image": read_picture(PHOTOS[0])}, "a bad film", {"image": read_picture(PHOTOS[1])}]
    given = {"image_processor": image_processor()}
    together = list(predict(model, tokenizer, rows, **given))
    alone = [next(iter(predict(model, tokenizer, [row], **given))) for row in rows]
    for one, other in zip(together, alone, strict=True):
        assert one["kind"]["label"] == other["kind"]["label"]
        assert one["kind"]["score"] == pytest.approx(other["kind"]["score"], abs=1e-6)
        assert one["price"] == pytest.approx(other["price"], abs=1e-5)
    labelled = products(3).remove_columns(["kind", "price"])
    by_trainer = trainer.predict({"products": labelled}).predictions["products"]
    beside = predict(model, tokenizer, [{"text": r["text"], "image": r["image"]} for r in labelled], **given)
    assert [a["kind"]["label"] for a in by_trainer] == [a["kind"]["label"] for a in beside]


def test_saved_models_and_added_heads_are_the_same_bit_for_bit(trained):
    _, folder = trained
    loaded = MultiTaskModel.from_pretrained(folder)
    inputs = {**IDS, "pixel_values": pictures(2)}
    with torch.no_grad():
        before = loaded(**inputs).logits
        add_head(loaded, TASKS[2])
        after = loaded(**inputs).logits
    assert set(after) == {"kind", "price", "scale"}
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_each_type_gets_gradients_in_both_encoders_and_for_what_is_missing():
    model = model_of().train()
    labels = {
        "kind": torch.tensor([0, 3, 1]),
        "price": torch.tensor([0.0, 1.0, 2.0]),
        "scale": torch.tensor([0, 1, 1]),
        "tags": torch.tensor([[0.0, 1.0]] * 3),
    }
    pairs = torch.tensor([[1, 0], [0, -1], [-1, 1]])
    rows = dict.fromkeys(labels, torch.arange(3))
    model(**IDS, pixel_values=pictures(2), pairs=pairs, labels=labels, rows=rows).loss.backward()
    for name in labels:
        head = model.heads[name]
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in head.classifier.parameters()), name
    for encoder in (model.encoder, model.image_encoder):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


def test_logits_do_not_depend_on_what_else_is_in_the_batch():
    model = model_of().eval()
    pixels = pictures(3)
    pairs = torch.tensor([[1, 2], [0, 0], [-1, 1], [1, -1]])
    with torch.no_grad():
        logits = model(**IDS, pixel_values=pixels, pairs=pairs).logits
        for number, (text, picture) in enumerate(pairs.tolist()):
            own = {name: value[text : text + 1] for name, value in IDS.items()} if text >= 0 else {}
            own |= {"pixel_values": pixels[picture : picture + 1]} if picture >= 0 else {}
            alone = model(**own).logits
            for name in ("kind", "price", "scale", "tags"):
                assert torch.allclose(logits[name][number], alone[name][0], atol=1e-6)
    with pytest.raises(ValueError, match="2 texts and 3 pictures"):
        model(**IDS, pixel_values=pixels)


def test_cut_steps_equal_whole_ones_and_resuming_equals_not_stopping(tmp_path, tokenizer):
    data = {"products": products(32, gaps=True)}

    def run(folder, resume=None, **kwargs):
        model = model_of(TASKS[:2]).double()
        trainer_of(model, folder, tokenizer, data, **kwargs).train(resume_from_checkpoint=resume)
        return weights(model)

    whole = run(tmp_path / "a", save_strategy="steps", save_steps=1)
    cut = run(tmp_path / "b", per_device_train_batch_size=4, gradient_accumulation_steps=4)
    assert max(float((whole[name] - cut[name]).abs().max()) for name in whole) < 1e-9
    resumed = run(tmp_path / "a", resume=str(tmp_path / "a" / "checkpoint-1"), save_strategy="steps", save_steps=1)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_the_command_line_answers_columns_of_both(trained, tmp_path):
    _, folder = trained
    read_picture(PHOTOS[0]).save(tmp_path / "a.png")
    rows = [{"text": "a good film", "image": "a.png"}, {"text": "a bad film"}, {"image": "a.png"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = CliRunner().invoke(app, ["predict", str(folder), str(tmp_path / "rows.jsonl")])
    assert result.exit_code == 0, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert found[0]["kind"]["label"] == "good red"
    assert all(row["kind"] is not None for row in found)
    card = (folder / "README.md").read_text()
    assert '"image": "photo.jpg"' in card
    assert '"text":' in card


WRONG = {
    "another type": ({"type": "token-classification", "labels": ["O", "B-x"]}, "is for the types"),
    "one input": ({"inputs": ["text"]}, r"inputs must be \['text', 'image'\]"),
    "an unknown input": ({"inputs": ["text", "sound"]}, "inputs must be"),
    "a layer": ({"layers": 1}, "layers=1 is for tasks of one input"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_mistakes_are_named(kind):
    given, message = WRONG[kind]
    with pytest.raises(ValueError, match=message):
        model_of([TaskConfig(**{**KIND.to_dict(), **given})])


@pytest.mark.parametrize("export", ["onnx", "int8", "tensorflow", "stock"])
def test_what_such_a_task_cannot_leave_as_says_so_before_any_work(export, trained, tmp_path, tokenizer):
    model = MultiTaskModel.from_pretrained(trained[1])
    given = {"image_processor": image_processor(), "tasks": ["kind"]}
    calls = {
        "onnx": lambda: export_onnx(model, tokenizer, tmp_path / "out", **given),
        "int8": lambda: export_onnx(model, tokenizer, tmp_path / "out", quantize="int8", **given),
        "tensorflow": lambda: export_tensorflow(model, tokenizer, tmp_path / "out", tasks=["kind"]),
        "stock": lambda: model.to_transformers("kind"),
    }
    with pytest.raises(ValueError, match=r"Task 'kind'.* reads (a text and a picture together|pictures)"):
        calls[export]()
    assert not (tmp_path / "out").exists()


def test_both_encoders_are_needed():
    with pytest.raises(ValueError, match="reads pictures, and the model has no encoder of pictures"):
        MultiTaskModel.from_encoder(tiny_encoder(), [KIND])
    with pytest.raises(ValueError, match="reads texts, and the model has no encoder of texts"):
        MultiTaskModel.from_encoder(tiny_image_encoder(), [KIND])


def test_a_row_without_either_is_named(tmp_path, tokenizer):
    data = products(8)
    empty = data.map(lambda row, i: {"text": None, "image": None} if i == 5 else row, with_indices=True)
    with pytest.raises(ValueError, match="Dataset 'products', row 5: column 'text' is null"):
        trainer_of(model_of(TASKS[:2]), tmp_path, tokenizer, {"products": empty}).train()


def test_rows_with_a_title_or_a_photo_in_common_lie_in_one_fold():
    data = products(30, gaps=True)
    found = make_folds({"products": data}, [KIND], 3)["products"]
    assert set(found.tolist()) == {0, 1, 2}
    photos = data.map(lambda row, i: {"text": f"title {i}"}, with_indices=True)
    twice = concatenate_datasets([photos, photos])
    found = make_folds({"products": twice}, [KIND], 3)["products"]
    assert (found[:30] == found[30:]).all()


def test_a_teacher_sees_the_text_and_the_picture_of_each_row(trained, tmp_path, tokenizer):
    _, folder = trained
    data = products(32, gaps=True).remove_columns(["price"])
    wrong = data.map(lambda row: {"kind": LABELS[LABELS.index(row["kind"]) - 1]})
    student = MultiTaskModel.from_pretrained(folder)
    taught = {"distillation": {"teachers": str(folder), "tasks": ["kind"], "alpha": 1.0}}
    given = {"methods": taught, "max_steps": 1, "logging_steps": 1, "precision": "float32"}
    trainer = trainer_of(student, tmp_path, tokenizer, {"products": wrong}, **given)
    trainer.train()
    # Whatever the labels say, a student that answers as its teacher has nothing to learn.
    assert trainer.state.log_history[0]["loss/kind"] > 1
    assert trainer.state.log_history[0]["grad_norm"] < 1e-3


def test_a_server_and_a_page_answer_a_text_a_picture_or_both(trained):
    _, folder = trained
    model = MultiTaskModel.from_pretrained(folder)
    pipe = MultiTaskPipeline(model, AutoTokenizer.from_pretrained(folder), image_processor())
    picture = read_picture(PHOTOS[0])
    file = io.BytesIO()
    picture.save(file, "PNG")
    encoded = base64.b64encode(file.getvalue()).decode()
    with running(pipe) as server:
        for row in ({"text": "a good film"}, {"image": encoded}, {"text": "a good film", "image": encoded}):
            status, answer, _ = ask(server, {"inputs": row})
            assert status == 200, answer
            expected = pipe({**row, **({"image": picture} if "image" in row else {})})
            assert answer["kind"]["label"] == expected["kind"]["label"]
            assert answer["price"] == pytest.approx(expected["price"], abs=1e-4)
    assert kinds_of(pipe.answerer()) == {"kind": "bars", "price": "json"}
    assert set(shown("bars", pipe({"image": picture}, top_k=None)["kind"])) == set(LABELS)
