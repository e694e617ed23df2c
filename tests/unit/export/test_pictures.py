"""Tasks of pictures as a graph beside that of texts: answered without torch as by the model."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import (
    BeitImageProcessorPil,
    BitImageProcessorPil,
    ConvNextImageProcessorPil,
    DeiTImageProcessorPil,
    ViTImageProcessorPil,
)

from hf_mtl import MultiTaskModel, MultiTaskPipeline, TaskConfig
from hf_mtl.data import pixels_of, read_picture
from hf_mtl.export import export_onnx
from hf_mtl.export._pictures import describe_pixels
from hf_mtl_light import OnnxPredictor
from tests.encoders import tiny_encoder
from tests.image_encoders import colours, image_processor, tiny_image_encoder

TASKS = [
    TaskConfig("mood", "sentiment", labels=["bad", "good"]),
    TaskConfig("colour", "image-classification", labels=["red", "green", "blue"], calibration_temperature=1.5),
    TaskConfig("kinds", "image-classification", labels=["a", "b"], problem_type="multi_label_classification"),
    TaskConfig("size", "image-regression", target_mean=2.0, target_std=3.0),
]
PICTURES = [read_picture(value) for value in colours(5)["image"]]


def model_of(tasks, family="dinov2"):
    encoders = {
        "text": tiny_encoder(num_hidden_layers=1),
        "image": tiny_image_encoder(family, num_hidden_layers=1),
    }
    torch.manual_seed(1)
    with_texts = any(task.type == "sentiment" for task in tasks)
    model = MultiTaskModel.from_encoder(encoders if with_texts else encoders["image"], tasks)
    for head in model.task_heads.values():  # clear decisions
        for parameter in head.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.2)
    return model


@pytest.fixture(scope="module")
def both(tmp_path_factory, tokenizer):
    folder, model = tmp_path_factory.mktemp("onnx") / "out", model_of(TASKS)
    report = export_onnx(model, tokenizer, folder, image_processor=image_processor())
    assert list(report.tasks) == [task.name for task in TASKS]
    assert all(found.difference < 1e-4 and found.share == 1.0 for found in report.tasks.values())
    assert report.pictures == 12
    return folder, model


def agree(mine, theirs):
    """Assert that answers are equal, but for rounding in their scores."""
    if isinstance(mine, dict):
        assert list(mine) == list(theirs)
        for name, value in mine.items():
            agree(value, theirs[name])
    elif isinstance(mine, list):
        assert len(mine) == len(theirs)
        for one, other in zip(mine, theirs, strict=True):
            agree(one, other)
    else:
        assert mine == (pytest.approx(theirs, abs=1e-5) if isinstance(mine, float) else theirs)


def test_answers_of_texts_and_pictures_are_those_of_the_pipeline(both, tokenizer, tmp_path):
    folder, model = both
    PICTURES[0].save(tmp_path / "a.png")
    rows = ["good", *PICTURES, {"text": "bad", "image": PICTURES[0]}, {"image": str(tmp_path / "a.png")}]
    predictor = OnnxPredictor(folder, threads=1)
    pipe = MultiTaskPipeline(model, tokenizer, image_processor=image_processor(), device="cpu")
    for asked in ({}, {"top_k": 2}, {"tasks": ["size", "mood"]}, {"batch_size": 2}):
        agree(predictor(rows, **asked), pipe(rows, **asked))
    logits = predictor.logits(rows)
    assert [sorted(row) for row in logits[:2]] == [["mood"], ["colour", "kinds", "size"]]
    with torch.no_grad():
        pixels = pixels_of(image_processor(), PICTURES)
        expected = model(pixel_values=pixels, tasks=["colour"]).logits["colour"]
    assert np.allclose([row["colour"] for row in logits[1:6]], expected, atol=1e-5)
    assert json.loads((folder / "tasks.json").read_text())["version"] == 3


def test_a_damaged_picture_is_named(both):
    with pytest.raises(ValueError, match="row 1: the picture cannot be read"):
        OnnxPredictor(both[0])([PICTURES[0], {"image": b"no picture"}])


def test_a_graph_answers_boxes_as_the_pipeline_does_and_no_stock_class_is_named_in_its_place(tmp_path):
    shapes = TaskConfig("shapes", "object-detection", labels=["red", "blue"], options={"channels": 8, "max_boxes": 9})
    model = model_of([shapes, TASKS[1]])
    model.heads["shapes"].classifier.label_output.bias.data.add_(4.5)  # scores on both sides of thresholds
    with pytest.raises(ValueError, match=r"Task 'shapes': no stock .* Export to ONNX"):
        model.to_transformers("shapes")
    report = export_onnx(model, None, tmp_path / "out", image_processor=image_processor())
    assert report.tasks["shapes"].difference < 1e-4
    sizes = [(40, 20), (9, 31), (32, 32), (1, 1), (64, 50)]
    rows = [picture.resize(size) for picture, size in zip(PICTURES, sizes, strict=True)]
    pipe = MultiTaskPipeline(model, image_processor=image_processor(), device="cpu")
    predictor = OnnxPredictor(tmp_path / "out", threads=1)
    for asked in ({}, {"top_k": 3}, {"thresholds": {"shapes": 0.52}}, {"thresholds": {"shapes": {"blue": 1.0}}}):
        asked = {"tasks": ["shapes"], **asked}
        agree(predictor(rows, **asked), pipe(rows, **asked))
    assert any(row["shapes"] for row in predictor(rows))


WITHOUT_TORCH = """
import json, sys
for name in ("torch", "transformers", "datasets", "hf_mtl"):
    sys.modules[name] = None
from hf_mtl_light import OnnxPredictor
predictor = OnnxPredictor(sys.argv[1])
print(json.dumps(predictor(sys.argv[2])))
"""


def test_a_model_of_pictures_alone_needs_no_tokenizer_and_no_torch(tmp_path):
    model = model_of(TASKS[1:], "vit")
    export_onnx(model, None, tmp_path / "out", image_processor=image_processor())
    assert not (tmp_path / "out" / "model.onnx").exists()
    PICTURES[2].save(tmp_path / "a.png")
    arguments = [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path / "out"), str(tmp_path / "a.png")]
    found = json.loads(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)
    agree(found, MultiTaskPipeline(model, image_processor=image_processor(), device="cpu")(PICTURES[2]))
    with pytest.raises(ValueError, match="max_length is for texts"):
        OnnxPredictor(tmp_path / "out", max_length=8)


SQUARE = {"height": 24, "width": 24}
PROCESSORS = {
    "vit": ViTImageProcessorPil(size=SQUARE),
    "bicubic, cropped": BitImageProcessorPil(size={"shortest_edge": 28}, crop_size=SQUARE),
    "cropped from less": BitImageProcessorPil(size={"shortest_edge": 19}, crop_size={"height": 24, "width": 21}),
    "deit": DeiTImageProcessorPil(size={"height": 28, "width": 28}, crop_size=SQUARE),
    "beit": BeitImageProcessorPil(size=SQUARE, do_center_crop=False),
    "not normalised": ViTImageProcessorPil(size=SQUARE, do_normalize=False),
}


@pytest.mark.parametrize("kind", PROCESSORS)
def test_pixels_without_transformers_are_the_image_processors_bit_for_bit(kind):
    processor = PROCESSORS[kind]
    description, shape = describe_pixels(processor)
    generator = np.random.default_rng(0)
    for height, width in ((30, 41), (41, 30), (24, 24), (5, 9), (1, 1), (100, 33)):
        picture = read_picture(generator.integers(0, 256, (height, width, 3)).astype("uint8"))
        expected = pixels_of(processor, [picture])[0].numpy()
        found = description.pixels(picture)
        assert found.dtype == np.float32
        assert found.shape == expected.shape == shape
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        (ViTImageProcessorPil(do_resize=False), "pictures of different sizes"),
        (ConvNextImageProcessorPil(size={"shortest_edge": 64}), "ConvNextImageProcessorPil does more than resize"),
    ],
)
def test_what_pixels_cannot_be_made_by_is_refused(processor, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export_onnx(model_of(TASKS[1:2]), None, tmp_path / "out", image_processor=processor)
    assert list(tmp_path.iterdir()) == []


def test_mistakes_are_named(tokenizer, tmp_path):
    with pytest.raises(ValueError, match="Task 'colour' reads pictures, and there is no image processor"):
        export_onnx(model_of(TASKS), tokenizer, tmp_path / "out")
    joint = TaskConfig("both", "regression", inputs=["text", "image"])
    with pytest.raises(ValueError, match=r"it reads a text and a picture together. Export the other tasks\."):
        export_onnx(model_of([TASKS[0], joint]), tokenizer, tmp_path / "out", image_processor=image_processor())
    with pytest.raises(ValueError, match="quantize='int8' is for tasks of texts"):
        export_onnx(model_of(TASKS), tokenizer, tmp_path / "out", quantize="int8", image_processor=image_processor())
