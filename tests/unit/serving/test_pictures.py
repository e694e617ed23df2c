"""Pictures over HTTP: answered as the pipeline answers them, within limits, and never read by a name."""

import base64
import io
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from hf_mtl import MultiTaskModel, MultiTaskPipeline, TaskConfig
from hf_mtl.data import read_picture
from tests.conftest import make_tokenizer
from tests.encoders import tiny_encoder
from tests.image_encoders import colours, image_processor, tiny_image_encoder
from tests.serving import ask, running

COLOUR = TaskConfig("colour", "image-classification", labels=["red", "green", "blue"])
MOOD = TaskConfig("mood", "sentiment", labels=["bad", "good"])
CELLS = TaskConfig("cells", "object-detection", labels=["a", "b"], options={"score_threshold": 0.0, "max_boxes": 2})
PICTURES = [read_picture(value) for value in colours(6)["image"]]


def encoded(picture, kind="PNG"):
    """Return a picture's file in base64."""
    file = io.BytesIO()
    picture.save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def backend(*tasks, with_texts=True):
    torch.manual_seed(0)
    encoders = {"text": tiny_encoder(), "image": tiny_image_encoder()} if with_texts else tiny_image_encoder()
    model = MultiTaskModel.from_encoder(encoders, list(tasks))
    return MultiTaskPipeline(model, make_tokenizer() if with_texts else None, image_processor())


BOTH = backend(MOOD, COLOUR, CELLS)
FILES = [encoded(picture) for picture in PICTURES]


@pytest.fixture(scope="module")
def server():
    with running(BOTH, max_pixels=80 * 80, max_body=100_000) as server:
        yield server


def test_pictures_are_answered_as_by_the_pipeline_alone_and_beside_texts(server):
    asked = [
        ([{"image": file} for file in FILES], [{"image": picture} for picture in PICTURES], {}),
        ({"image": f"data:image/png;base64,{FILES[0]}"}, {"image": PICTURES[0]}, {"tasks": ["colour"], "top_k": None}),
        ({"image": FILES[1], "text": "a good film"}, {"image": PICTURES[1], "text": "a good film"}, {}),
        (["a good film", {"image": FILES[2]}], ["a good film", {"image": PICTURES[2]}], {}),
        ([{"image": FILES[3]}], [{"image": PICTURES[3]}], {"tasks": ["cells"]}),
    ]

    def send(inputs, parameters):
        return ask(server, {"inputs": inputs, "parameters": parameters})

    with ThreadPoolExecutor(5) as pool:
        found = list(pool.map(send, [inputs for inputs, _, _ in asked] * 3, [options for *_, options in asked] * 3))
    for (status, answer, _), (_, rows, options) in zip(found, asked * 3, strict=True):
        assert status == 200, answer
        assert answer == _nearly(BOTH(rows, **options))


def _nearly(value):
    if isinstance(value, dict):
        return {name: _nearly(own) for name, own in value.items()}
    if isinstance(value, list):
        return [_nearly(own) for own in value]
    return pytest.approx(value, abs=1e-5) if isinstance(value, float) else value


def bomb():
    """Return a small file of many pixels."""
    from PIL import Image

    return encoded(Image.new("1", (4000, 4000)))


#: What an input is, and what the answer says.
REFUSED = {
    "a path": ({"image": "/etc/passwd"}, "paths and addresses are not read"),
    "a file: URL": ({"image": "file:///etc/passwd"}, "paths and addresses are not read"),
    "an address": ({"image": "https://example.com/a.png"}, "paths and addresses are not read"),
    "a data: URL that is not base64": ({"image": "data:image/png,abc"}, "in base64"),
    "nothing": ({"image": ""}, "not a picture that can be opened"),
    "no picture": ({"image": base64.b64encode(b"a text").decode()}, "not a picture"),
    "a program of PostScript": ({"image": base64.b64encode(b"%!PS-Adobe-3.0 EPSF-3.0\n").decode()}, "not a picture"),
    "half a picture": ({"image": FILES[0][: len(FILES[0]) // 8 * 4]}, "picture"),
    "more pixels than are taken": ({"image": bomb()}, "4000 x 4000 pixels; at most 6,400"),
    "a number": ({"image": 3}, "image"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture_within_the_limits_is_refused(server, name):
    value, reason = REFUSED[name]
    status, answer, _ = ask(server, {"inputs": ["a good film", value]})
    assert status == 422
    assert reason in answer["detail"]
    assert "1" in answer["detail"], "the input is named"


def test_a_picture_that_no_task_would_answer_is_refused(server):
    status, answer, _ = ask(server, {"inputs": {"image": FILES[0], "text": "a"}, "parameters": {"tasks": ["mood"]}})
    assert status == 422
    assert "'colour', 'cells'" in answer["detail"]


def test_questions_about_a_picture_are_answered(server):
    questions = {"colour": {"type": "choice"}, "colour/red": {"type": "noul"}}
    asset = {"img-1": {"type": "image", "format": "png", "data_base64": FILES[0]}}
    expected = {
        one["label"]: one["score"] for one in BOTH({"image": PICTURES[0]}, tasks=["colour"], top_k=None)["colour"]
    }
    for body in ({"state": {"image": FILES[0]}}, {"state": "img-1", "assets": asset}):
        status, answer, _ = ask(server, {**body, "questions": questions}, "/v1/systemone")
        assert status == 200, answer
        assert answer["answers"]["colour"]["probabilities"] == _nearly(expected)
        assert answer["answers"]["colour/red"]["noul"] == _nearly(expected["red"])
    status, answer, _ = ask(server, {"state": "a text", "questions": questions}, "/v1/systemone")
    assert status == 422
    assert "lacks what the task 'colour' reads" in answer["detail"]


def test_a_model_of_pictures_alone_takes_them_as_strings():
    alone = backend(COLOUR, with_texts=False)
    with running(alone) as server:
        status, answer, _ = ask(server, {"inputs": [FILES[0], {"image": FILES[1]}]})
        assert status == 200, answer
        assert answer == _nearly(alone([{"image": picture} for picture in PICTURES[:2]]))
        assert ask(server, path="/info", method="GET")[1]["limits"]["max_length"] is None
