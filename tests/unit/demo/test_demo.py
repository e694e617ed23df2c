"""The page to try a model: what its components get, and that it answers."""

import pytest

from hf_mtl import MultiTaskPipeline
from hf_mtl.demo import kinds_of, make_demo, shown
from hf_mtl_light.errors import MissingExtraError
from tests.unit.pipelines.scripts import TEXTS, make_model, make_tokenizer

PIPE = MultiTaskPipeline(make_model(), make_tokenizer())
KINDS = {"topic": "bars", "tones": "bars", "mood": "bars", "names": "entities", "words": "entities", "stars": "json"}


def test_each_task_is_shown_by_its_kind_of_answers():
    assert kinds_of(PIPE.answerer()) == KINDS


@pytest.mark.parametrize("text", TEXTS)
def test_components_get_the_labels_and_places_of_the_answers(text):
    answers = PIPE(text, top_k=None)
    for name, kind in KINDS.items():
        found = shown(kind, answers[name], text)
        if kind == "bars":
            task = PIPE.model.config.task(name)
            assert set(found) == set(task.labels)
            assert name == "tones" or sum(found.values()) == pytest.approx(1)
        elif kind == "entities":
            assert found["text"] == text
            spans = [(span["start"], span["end"]) for span in found["entities"]]
            assert [text[start:end] for start, end in spans] == [span["word"] for span in answers[name]]
        else:
            assert found == answers[name]
        assert shown(kind, None, text) is None


def test_boxes_are_drawn_into_the_picture():
    answer = [{"label": "cell", "score": 0.876, "box": {"xmin": 1.2, "ymin": 2.0, "xmax": 3.6, "ymax": 4.0}}]
    assert shown("boxes", answer, picture="a picture") == ("a picture", [((1, 2, 4, 4), "cell 0.88")])


def test_the_page_answers_by_its_interface():
    gradio = pytest.importorskip("gradio", reason="make test-demo runs it, in an environment with Gradio")
    page = make_demo(PIPE, "[tiny](model)")
    assert isinstance(page, gradio.Blocks)
    [function] = [found for found in page.fns.values() if found.api_name == "answer"]
    values = dict(zip(KINDS, function.fn(TEXTS[0], "", None), strict=True))
    expected = PIPE(TEXTS[0], top_k=None)
    assert values["names"] == shown("entities", expected["names"], TEXTS[0])
    assert values["stars"] == expected["stars"]
    assert function.fn("", "", None) == [None] * len(KINDS)


def test_a_missing_gradio_is_named():
    try:
        import gradio  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtraError, match=r"pip install 'hf-mtl\[demo-page\]'"):
            make_demo(PIPE, "tiny")
