"""Trainings on pictures with boxes: learning, cutting steps, resuming, what is wrong with rows."""

import io
import json
import logging
from dataclasses import replace

import pytest
import torch
from datasets import Dataset, Image
from PIL import Image as PillowImage
from transformers import BitImageProcessorPil

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig, predict
from hf_mtl.data import LabelledDataset, check_rows, infer_tasks
from hf_mtl.heads import HEADS, draw_boxes
from hf_mtl.hub import clean_copy
from hf_mtl.validation import errors
from tests.image_encoders import colours, image_processor, squares, tiny_image_encoder

OPTIONS = {"channels": 16, "strides": [0.5, 1]}
SHAPES = TaskConfig("shapes", "object-detection", labels=["red", "blue"], options=OPTIONS)
COLOUR = TaskConfig("colour", "image-classification", labels=["red", "green", "blue"])
QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def model_of(*tasks, seed=3, **kwargs):
    encoder = tiny_image_encoder(image_size=32, **QUIET, **kwargs)
    torch.manual_seed(seed)
    return MultiTaskModel.from_encoder(encoder, list(tasks))


def trainer_of(model, folder, data, **kwargs):
    given = {"num_train_epochs": 1, "per_device_train_batch_size": 8, "learning_rate": 1e-3, "report_to": "none"}
    more = {"use_cpu": True, "disable_tqdm": True, "save_strategy": "no", "lr_scheduler_type": "constant"}
    args = MultiTaskTrainingArguments(folder, **{**given, **more, **kwargs})
    return MultiTaskTrainer(model, args, data, data, image_processor=image_processor(32))


def weights(model):
    return {n: p.detach().clone() for n, p in model.named_parameters()}


def test_boxes_are_learned_scored_saved_and_answered(tmp_path):
    pytest.importorskip("faster_coco_eval", reason="COCO's metrics need faster-coco-eval")
    data = squares(24)
    model = model_of(replace(SHAPES, options={"channels": 16, "strides": [1]}), patch_size=4)
    rates = {"learning_rate": 1e-2, "head_learning_rate": 1e-2}
    photo = tmp_path / "photo.png"
    data[0]["image"].save(photo)
    given = {"num_train_epochs": 15, "card_pictures": [str(photo)], **rates}
    trainer = trainer_of(model, tmp_path, {"photos": data}, **given)
    trainer.train()
    metrics = trainer.evaluate()
    assert metrics["eval_shapes_map_50"] > 0.8
    found = errors(trainer)
    assert found["right"].isna().all()
    assert len(found) == 24
    assert found["loss"].is_monotonic_decreasing
    lines = found.set_index("row")
    assert lines["loss"].mean() > 0
    assert [item["label"] for item in lines["reference"][0]] == [
        ["red", "blue"][k] for k in data[0]["shapes"]["category"]
    ]
    assert all(item["score"] >= 0.5 for items in lines["prediction"] for item in items)
    trainer.save_model()
    trainer.create_model_card()
    card = (tmp_path / "README.md").read_text()
    assert f"| `shapes` | photos | validation | 24 | map | {metrics['eval_shapes_map']:.3f} | - |" in card
    assert "(card_picture_1.png)\n\n```json\n" in card
    assert "always picks" not in card
    assert str(tmp_path) not in card
    with PillowImage.open(tmp_path / "card_picture_1.png") as drawn:
        assert drawn.size == data[0]["image"].size
        assert drawn.tobytes() != data[0]["image"].tobytes()
    shared = clean_copy(tmp_path, tmp_path / "shared")
    assert {"preprocessor_config.json", "card_picture_1.png"} <= {*shared}
    assert "photo.png" not in shared
    loaded = MultiTaskModel.from_pretrained(tmp_path)
    answers = [found["shapes"] for found in predict(loaded, None, data["image"], image_processor=image_processor(32))]
    again = trainer.predict({"photos": data.remove_columns("shapes")}).predictions["photos"]
    # Convolutions of a batch and of one picture differ in the last digits.
    for expected, found in zip(answers[:8], (found["shapes"] for found in again), strict=False):
        assert [item["label"] for item in found] == [item["label"] for item in expected]
        for one, other in zip(expected, found, strict=True):
            assert other["score"] == pytest.approx(one["score"], abs=5e-3)
            assert other["box"] == pytest.approx(one["box"], abs=1)
    best = answers[0][0]
    left, top, width, height = data[0]["shapes"]["bbox"][0]
    assert best["label"] == ["red", "blue"][data[0]["shapes"]["category"][0]]
    expected = {"xmin": left, "ymin": top, "xmax": left + width, "ymax": top + height}
    assert best["box"] == pytest.approx(expected, abs=6)


@pytest.mark.parametrize(("name", "message"), [("none.png", "no file"), ("text.png", "cannot be read")])
def test_a_card_picture_that_cannot_be_shown_is_named_before_training(tmp_path, name, message):
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ValueError, match=f"card_pictures, .*{name}.*{message}"):
        trainer_of(model_of(SHAPES), tmp_path, {"photos": squares(4)}, card_pictures=[str(tmp_path / name)])


def test_accumulated_steps_equal_whole_ones_in_float64(tmp_path):
    def trained(batch, steps):
        model = model_of(SHAPES, COLOUR).double()
        given = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": steps, "batching": "mixed"}
        trainer_of(model, tmp_path / str(batch), {"photos": squares(16), "colours": colours(16)}, **given).train()
        return weights(model)

    whole, cut = trained(8, 1), trained(2, 4)
    assert max(float((whole[name] - cut[name]).abs().max()) for name in whole) < 1e-9


def test_resuming_equals_not_stopping_with_boxes_that_move(tmp_path):
    moving = {"horizontal-flip": {}, "vertical-flip": {}, "resized-crop": {"p": 1.0}}

    def run(augmentation=moving):
        model = model_of(SHAPES)
        given = {"save_strategy": "steps", "save_steps": 1, "augmentation": augmentation}
        return model, trainer_of(model, tmp_path / str(len(augmentation)), {"photos": squares(16)}, **given)

    whole, trainer = run()
    trainer.train()
    resumed, trainer = run()
    trainer.train(resume_from_checkpoint=str(tmp_path / "3/checkpoint-1"))
    assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(whole).items())
    plain, trainer = run({})
    trainer.train()
    assert not all(torch.equal(value, weights(plain)[name]) for name, value in weights(whole).items())


def rows_of(images, objects, name="photos"):
    data = Dataset.from_dict({"image": images, "shapes": objects}).cast_column("image", Image())
    return LabelledDataset(name, data, [SHAPES], {"shapes": HEADS["object-detection"]})


def test_boxes_out_of_the_picture_are_counted_in_one_warning_a_dataset(caplog):
    pictures = [PillowImage.new("RGB", (20, 10))] * 3
    objects = [
        {"bbox": [[-5, -5, 15, 10], [2, 2, 5, 5], [3, 3, 5, 0]], "category": ["red"] * 3},
        {"bbox": [], "category": []},
        {"bbox": [[30, 30, 5, 5], [1, 1, 3, 3], [0, 0, 4, 4]], "category": ["blue"] * 3},
    ]
    with caplog.at_level(logging.WARNING):
        counts = check_rows(rows_of(pictures, objects))["shapes"]
    assert (counts.rows, counts.unlabelled, counts.clipped, counts.dropped) == (3, 0, 1, 2)
    assert dict(counts.labels) == {"red": 2, "blue": 2}
    [message] = [record.getMessage() for record in caplog.records]
    assert message == (
        "Dataset 'photos', task 'shapes': 1 boxes reach out of their picture and are clipped, 2 have no area in it and "
        "are left out, of 6; the first is in row 0. Correct them if they are wrong."
    )
    wrong = {"bbox": [[15, 8, 17, 9]] * 2, "category": ["red"] * 2}
    with caplog.at_level(logging.WARNING):
        check_rows(rows_of(pictures[:1], [wrong]))
    assert "Are they written in another format? Set the task's option box_format" in caplog.text


BAD = {
    "label": ({"bbox": [[0, 0, 5, 5]], "category": ["green"]}, "task 'shapes': label 'green' is not one of"),
    "box": ({"bbox": [[0.0, 0.0, 5.0]], "category": ["red"]}, "task 'shapes': box 0 must be four numbers"),
    "count": ({"bbox": [[0, 0, 5, 5]], "category": []}, "task 'shapes': 1 boxes for 0 labels"),
    "texts": ({"bbox": [["0", "0", "5", "5"]], "category": ["red"]}, "task 'shapes': .* left, top, width and height"),
    "number": ({"bbox": [[0, 0, 5, 5]], "category": ["1"]}, r"task 'shapes': label '1' .* label_values=\{'1': '...'\}"),
    "null": ({"bbox": None, "category": ["red"]}, "task 'shapes': 'bbox' must be a list .* An empty list: no object"),
    "no label": ({"bbox": [[0, 0, 5, 5]], "category": [None]}, "task 'shapes': box 0 has no label. Name one"),
    "keys": ({"boxes": [[0, 0, 5, 5]], "category": ["red"]}, "task 'shapes': expected a mapping with 'bbox'.* Rename"),
    "infinite": ({"bbox": [[0, 0, 5, float("inf")]], "category": ["red"]}, "task 'shapes': box 0 .* Leave it out"),
    "nan": ({"bbox": [[0, 0, 5, float("nan")]], "category": ["red"]}, "task 'shapes': box 0 must be four finite"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_box_is_named_with_dataset_and_row(case):
    good = {"bbox": [[0.0, 0.0, 5.0, 5.0]], "category": ["red"]}
    value, message = BAD[case]
    with pytest.raises(ValueError, match=f"Dataset 'photos', row 1, {message}"):
        check_rows(rows_of([PillowImage.new("RGB", (20, 10))] * 2, [json.dumps(good), json.dumps(value)]))


def test_labels_of_pictures_without_objects_are_asked_for():
    data = rows_of([PillowImage.new("RGB", (20, 10))], [{"bbox": [], "category": []}]).data
    with pytest.raises(ValueError, match=r"Task 'shapes': no picture of 'photos' has an object.* labels: \[...\]"):
        infer_tasks({"photos": data}, [TaskConfig("shapes", "object-detection")])


def test_a_damaged_picture_with_boxes_is_named_before_training():
    good = io.BytesIO()
    PillowImage.new("RGB", (20, 10)).save(good, "png")
    pictures = [{"bytes": good.getvalue()}, {"bytes": b"no picture"}]
    with pytest.raises(ValueError, match="Dataset 'photos', row 1: the picture cannot be read"):
        check_rows(rows_of(pictures, [{"bbox": [[0.0, 0.0, 5.0, 5.0]], "category": ["red"]}] * 2))


def test_an_image_processor_that_cuts_pictures_is_refused(tmp_path):
    args = MultiTaskTrainingArguments(tmp_path, use_cpu=True)
    processor = BitImageProcessorPil(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32})
    with pytest.raises(ValueError, match=r"Task 'shapes' finds boxes in whole pictures.*do_center_crop"):
        MultiTaskTrainer(model_of(SHAPES), args, {"photos": squares(4)}, image_processor=processor)


def test_boxes_are_those_of_the_picture_seen_upright():
    turned = io.BytesIO()
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    PillowImage.new("RGB", (40, 10)).save(turned, "jpeg", exif=exif)
    data = rows_of([{"bytes": turned.getvalue()}], [{"bbox": [[0.0, 30.0, 10.0, 10.0]], "category": ["red"]}])
    [row] = data.read([0])
    assert row.labels["shapes"].boxes == ((0, 30, 10, 40),)
    assert row.picture_size == (10, 40)


def test_boxes_are_drawn_at_their_edges_and_the_picture_is_left():
    picture = PillowImage.new("RGB", (60, 40), "white")
    box = {"xmin": 10, "ymin": 20, "xmax": 50, "ymax": 35}
    for objects in ([{"label": "red", "box": box}], [{"label": "red", "score": 0.5, "box": box}]):
        drawn = draw_boxes(picture, objects, ["blue", "red"])
        assert all(drawn.getpixel(at) == (0xEE, 0x66, 0x77) for at in ((50, 34), (30, 35), (10, 34)))
        assert drawn.getpixel((48, 33)) == (255, 255, 255)
    assert draw_boxes(picture, [{"label": "red", "box": box}], colour="black").getpixel((30, 20)) == (0, 0, 0)
    assert draw_boxes(picture, []).tobytes() == picture.tobytes()
