"""Answers to pictures, alone and beside texts."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import pipeline

from hf_mtl import MultiTaskModel, MultiTaskPipeline, TaskConfig, predict
from hf_mtl.data import read_picture
from tests.encoders import tiny_encoder
from tests.image_encoders import colours, image_processor, tiny_image_encoder

COLOUR = TaskConfig("colour", "image-classification", labels=["red", "green", "blue"])
MOOD = TaskConfig("mood", "sentiment", labels=["bad", "good"])
PICTURES = [read_picture(value) for value in colours(6)["image"]]


@pytest.fixture
def both():
    torch.manual_seed(0)
    return MultiTaskModel.from_encoder({"text": tiny_encoder(), "image": tiny_image_encoder()}, [MOOD, COLOUR])


def expected(model, picture):
    with torch.no_grad():
        pixels = image_processor()(images=[picture], return_tensors="pt")["pixel_values"]
        probabilities = model(pixel_values=pixels, tasks=["colour"]).logits["colour"].softmax(-1)[0]
    return {"label": ["red", "green", "blue"][int(probabilities.argmax())], "score": float(probabilities.max())}


def test_pictures_are_answered_alone_and_in_any_batch(both, tokenizer):
    rows = [{"image": picture} for picture in PICTURES]
    answers = list(predict(both, tokenizer, rows, tasks=["colour"], image_processor=image_processor(), batch_size=4))
    for picture, answer in zip(PICTURES, answers, strict=True):
        wanted = expected(both, picture)
        assert answer["colour"]["label"] == wanted["label"]
        assert answer["colour"]["score"] == pytest.approx(wanted["score"], abs=1e-6)


def test_rows_may_have_texts_pictures_or_both(both, tokenizer, tmp_path):
    PICTURES[1].save(tmp_path / "a.png")
    rows = ["a good film", {"text": "bad", "image": PICTURES[0]}, {"image": str(tmp_path / "a.png")}, PICTURES[2]]
    answers = list(predict(both, tokenizer, rows, image_processor=image_processor()))
    assert [answer["mood"] is None for answer in answers] == [False, False, True, True]
    assert [answer["colour"] is None for answer in answers] == [True, False, False, False]


def test_texts_alone_need_no_image_processor(both, tokenizer):
    [answer] = predict(both, tokenizer, ["a good film"])
    assert answer["mood"] is not None
    assert answer["colour"] is None


def test_a_model_of_pictures_alone_needs_no_tokenizer():
    model = MultiTaskModel.from_encoder(tiny_image_encoder(), [COLOUR])
    [answer] = predict(model, None, [PICTURES[0]], image_processor=image_processor())
    assert set(answer) == {"colour"}


def test_pictures_without_an_image_processor_are_refused(both, tokenizer):
    with pytest.raises(ValueError, match="no image processor"):
        list(predict(both, tokenizer, [PICTURES[0]], tasks=["colour"]))
    with pytest.raises(ValueError, match="'input', row 0: it has a picture"):
        list(predict(both, tokenizer, [PICTURES[0]]))


def test_a_damaged_picture_is_named_by_its_row(both, tokenizer):
    rows = [PICTURES[0], {"image": b"no picture"}]
    with pytest.raises(ValueError, match="row 1: the picture cannot be read"):
        list(predict(both, tokenizer, rows, image_processor=image_processor()))


def test_equal_sizes_are_not_taken_for_one_picture(both, tokenizer):
    flat = [Image.fromarray(np.full((16, 16, 3), level, dtype=np.uint8)) for level in (0, 255)]
    answers = list(predict(both, tokenizer, flat, image_processor=image_processor()))
    assert answers[0]["colour"]["score"] != answers[1]["colour"]["score"]


def test_the_pipeline_finds_the_image_processor_of_a_saved_model(both, tokenizer, tmp_path):
    pipe = MultiTaskPipeline(both, tokenizer, image_processor=image_processor())
    pipe.save_pretrained(tmp_path)
    loaded = pipeline("multi-task", model=str(tmp_path))
    assert loaded(PICTURES[0]) == pipe(PICTURES[0])
    assert loaded({"text": "a good film", "image": PICTURES[0]})["mood"] == loaded("a good film")["mood"]
    assert loaded([PICTURES[0], "good"])[1]["colour"] is None


def test_a_pipeline_of_pictures_alone_needs_no_tokenizer(tmp_path):
    model = MultiTaskModel.from_encoder(tiny_image_encoder(), [COLOUR])
    model.save_pretrained(tmp_path)
    image_processor().save_pretrained(tmp_path)
    assert set(pipeline("multi-task", model=str(tmp_path))(PICTURES[0])) == {"colour"}


def test_pictures_come_in_every_form_alone_and_in_lists(both, tokenizer, tmp_path):
    path = tmp_path / "a.png"
    PICTURES[0].save(path)
    forms = {
        "of Pillow": PICTURES[0],
        "a path object": path,
        "an array": np.asarray(PICTURES[0]),
        "a mapping of bytes": {"image": path.read_bytes()},
        "a URL": {"image": path.as_uri()},
        "as datasets stores it": {"image": {"bytes": None, "path": str(path)}},
    }
    alone = MultiTaskModel.from_encoder(both.image_encoder, [COLOUR])
    pipes = [
        (MultiTaskPipeline(both, tokenizer, image_processor=image_processor(), device="cpu"), forms),
        (
            MultiTaskPipeline(alone, image_processor=image_processor(), device="cpu"),
            {**forms, "bytes": path.read_bytes(), "a path": str(path), "a text of a URL": path.as_uri()},
        ),
    ]
    for pipe, given in pipes:
        wanted = pipe(PICTURES[0])
        assert [pipe(value) for value in given.values()] == [wanted] * len(given), list(given)
        assert pipe(list(given.values())) == [wanted] * len(given)
    with pytest.raises(ValueError, match="the bytes of a picture's file are"):
        pipes[0][0](path.read_bytes())
