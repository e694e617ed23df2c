"""What the pipeline takes, what it gives, and how long texts are cut and joined."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

from hf_mtl import MultiTaskModel, MultiTaskPipeline
from hf_mtl.data import Row
from hf_mtl.heads import STRATEGIES, AnswerOptions
from hf_mtl.inference import Answerer, WindowEncoder, make_answerer, plan_batches
from tests.unit.pipelines.scripts import TASKS, TEXTS, make_model, make_tokenizer

TOKENIZER = make_tokenizer()
MODEL = make_model()
PIPE = pipeline("multi-task", model=MODEL, tokenizer=TOKENIZER, device="cpu")
NAMES = {task.name for task in TASKS}


def close(one, two):
    """Compare answers: numbers nearly, all else exactly."""
    if isinstance(one, dict):
        assert list(one) == list(two)
        for key in one:
            close(one[key], two[key])
    elif isinstance(one, list):
        assert len(one) == len(two)
        for a, b in zip(one, two, strict=True):
            close(a, b)
    elif isinstance(one, float):
        assert one == pytest.approx(two, abs=1e-5)
    else:
        assert one == two


def test_a_saved_model_is_loaded_by_name(tmp_path):
    PIPE.save_pretrained(tmp_path)
    loaded = pipeline("multi-task", model=str(tmp_path), device="cpu", tasks=["topic"])
    assert isinstance(loaded, MultiTaskPipeline)
    assert isinstance(loaded.model, MultiTaskModel)
    close(loaded(TEXTS), PIPE(TEXTS, tasks=["topic"]))


def test_every_form_of_input_gives_the_same_answers():
    expected = PIPE(TEXTS)
    assert [set(answer) for answer in expected] == [NAMES] * len(TEXTS)

    class Texts:
        def __len__(self):
            return len(TEXTS)

        def __getitem__(self, i):
            return {"text": TEXTS[i]}

    assert list(PIPE(text for text in TEXTS)) == expected
    assert list(PIPE(KeyDataset(Texts(), "text"))) == expected
    assert list(PIPE(Texts())) == expected
    assert PIPE([{"text": text} for text in TEXTS]) == expected
    close([PIPE(text) for text in TEXTS], expected)
    assert PIPE([]) == []


def test_answers_are_plain_values_of_json():
    for options in ({}, {"top_k": 2}, *({"aggregation_strategy": s} for s in STRATEGIES)):
        answers = PIPE(TEXTS, **options)
        assert json.loads(json.dumps(answers)) == answers


def test_one_pass_of_the_encoder_answers_all_tasks():
    passes = []
    hook = MODEL.encoder.embeddings.register_forward_hook(lambda *args: passes.append(1))
    PIPE(TEXTS)
    hook.remove()
    assert passes == [1]


def test_chosen_tasks_are_answered_alone():
    assert set(PIPE("good", tasks=["mood", "names"])) == {"mood", "names"}
    assert set(pipeline("multi-task", model=MODEL, tokenizer=TOKENIZER, device="cpu", tasks=["mood"])("a")) == {"mood"}


def test_thresholds_are_kept_a_label():
    scores = {a["label"]: a["score"] for a in PIPE("good film", top_k=None)["tones"]}
    middle = sorted(scores.values())[1]
    named = [a["label"] for a in PIPE("good film", thresholds={"tones": middle})["tones"]]
    assert set(named) == {label for label, score in scores.items() if score >= middle}
    low = {"x": 0.0, "y": 1.0, "z": 0.0}
    assert {a["label"] for a in PIPE("good film", thresholds={"tones": low})["tones"]} == {"x", "z"}
    assert len(PIPE("good film", thresholds={"tones": low}, top_k=1)["tones"]) == 1
    assert PIPE("good film", thresholds=1.0)["tones"] == []


def test_top_k_of_a_sentiment_cuts_its_scores():
    mood = PIPE("good film", top_k=1)["mood"]
    assert mood["scores"] == {mood["label"]: mood["score"]}


@given(st.lists(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=6).map(" ".join), min_size=1, max_size=9))
def test_batches_and_order_do_not_change_answers(texts):
    together = PIPE(texts, batch_tokens=100, stride=4)
    close(together, [PIPE(text, stride=4) for text in texts])
    close(PIPE(texts[::-1], batch_size=2, look_ahead=3, stride=4)[::-1], together)


@given(st.text(max_size=120))
def test_any_text_has_valid_offsets(text):
    for options in ({}, {"stride": 3}, *({"aggregation_strategy": s} for s in STRATEGIES)):
        answer = PIPE(text, tasks=["names", "words"], max_length=16, **options)
        for entities in answer.values():
            for entity in entities:
                assert 0 <= entity["start"] <= entity["end"] <= len(text)
                assert text[entity["start"] : entity["end"]] == entity["word"]
            starts = [entity["start"] for entity in entities]
            assert starts == sorted(starts)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Co", "Cn", "Cf"]), max_size=80))
def test_words_cover_the_text_in_windows_of_any_size(text):
    """Every character that the tokenizer gives a token is in a word, once, however small the windows are."""
    whole = PIPE(text, tasks=["words"], stride=0)["words"]
    cut = PIPE(text, tasks=["words"], stride=3, max_length=12)["words"]
    assert [(e["start"], e["end"]) for e in whole] == [(e["start"], e["end"]) for e in cut]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cafe\u0301 in rome\u0301\u0323!", ["cafe\u0301", "in", "rome\u0301\u0323", "!"]),
        ("北京 好", ["北", "京", "好"]),
        ("नमस्ते", ["नमस्ते"]),
        ("שלום, עולם", ["שלום", ",", "עולם"]),
        ("\u0301", []),
        ("a \U0001f469\u200d\U0001f469\u200d\U0001f467 b", ["a", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "b"]),
    ],
)
def test_words_keep_their_marks(text, words):
    assert [e["word"] for e in PIPE(text)["words"]] == words


def test_half_a_surrogate_pair_is_named():
    with pytest.raises(ValueError, match="row 1: character 1 is half of a surrogate pair"):
        PIPE(["a", "b\ud800"])


def test_windows_of_a_long_text_lose_no_word_and_a_word_is_tagged_in_one_window():
    text = " ".join(TEXTS[4] for _ in range(40))
    assert [e["word"] for e in PIPE(text, stride=8)["words"]] == [e["word"] for e in PIPE(TEXTS[4])["words"]] * 40
    text = " ".join(TEXTS[i] for i in (0, 2, 7) for _ in range(20))  # no word has more pieces than windows share
    encoder = WindowEncoder(TOKENIZER, max_length=20, stride=6)
    (row,) = encoder.encode([Row("input", 0, text)])
    full = TOKENIZER(text, verbose=False)["input_ids"]
    owned = [token for window in row.windows for token in window.ids[window.start : window.stop]]
    assert owned == full
    ends = np.cumsum([window.stop - window.start for window in row.windows])[:-1]
    assert all(row.words.word_ids[end] != row.words.word_ids[end - 1] for end in ends)
    assert sum(window.weight for window in row.windows) == len(full) - 2


def test_a_long_texts_logits_are_the_mean_of_its_windows_weighted_by_their_own_tokens():
    text = " ".join(["play", "the", "film", "in", "new", "york"] * 15)
    answerer = make_answerer(MODEL, TOKENIZER, tasks=["stars"], stride=10)
    (row,) = answerer.encoder.encode([Row("input", 0, text)])
    assert len(row.windows) == 2
    values = []
    for window in row.windows:
        with torch.no_grad():
            output = MODEL(input_ids=torch.tensor([window.ids]), tasks=["stars"])
        values.append(float(output.logits["stars"]))
    mean = np.average(values, weights=[window.weight for window in row.windows])
    assert next(answerer([text]))["stars"]["value"] == pytest.approx(mean * 2.0 + 3.0, abs=1e-5)


def test_windows_of_a_pair_repeat_the_second_text():
    first, second = " ".join(["film"] * 100), "good book"
    encoder = WindowEncoder(TOKENIZER, max_length=30, stride=4)
    (row,) = encoder.encode([Row("input", 0, first, second)])
    ids = TOKENIZER.convert_tokens_to_ids(["good", "book", "[SEP]"])
    assert all(window.ids[-3:] == ids for window in row.windows)
    assert len(row.words.spans) == 100
    (row,) = encoder.encode([Row("input", 0, first, " ".join(["good"] * 100))])
    assert all(len(window.ids) <= 30 for window in row.windows)
    assert len(row.words.spans) == 100


def test_without_windows_what_does_not_fit_is_outside():
    text = " ".join(["film"] * 100)
    assert len(PIPE(text)["words"]) == 62  # of 64 tokens two are special
    assert len(PIPE(text, stride=0)["words"]) == 100


def test_a_generator_is_read_no_farther_than_the_look_ahead():
    read = []

    def texts():
        for i in range(100):
            read.append(i)
            yield TEXTS[i % len(TEXTS)]

    answers = PIPE(texts(), look_ahead=10)
    assert read == []
    next(answers)
    assert len(read) == 10
    for _ in range(10):
        next(answers)
    assert len(read) == 20


@given(st.lists(st.integers(1, 60), max_size=40), st.integers(1, 300), st.none() | st.integers(1, 5))
def test_batches_hold_every_window_once_within_the_budget(lengths, tokens, size):
    batches = plan_batches(lengths, tokens, size)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= tokens
        assert size is None or len(batch) <= size


def test_answers_need_no_torch_model():
    """Whatever gives logits can stand in the model's place: here numpy."""
    weights = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)

    def run(windows, tasks):
        return {
            "topic": np.stack([weights[window.ids].mean(0) for window in windows]),
            "words": np.concatenate([weights[window.ids] for window in windows]),
        }

    heads = {name: type(MODEL.task_heads[name]) for name in ("topic", "words")}
    tasks = [MODEL.config.task(name) for name in heads]
    answers = list(Answerer(run, WindowEncoder(TOKENIZER, 64), tasks, heads)(TEXTS))
    for text, answer in zip(TEXTS, answers, strict=True):
        ids = TOKENIZER(text)["input_ids"]
        assert answer["topic"]["label"] == tasks[0].labels[int(weights[ids].mean(0).argmax())]
        assert answer["words"][0]["entity"] == tasks[1].labels[int(weights[ids[1]].argmax())]


@pytest.mark.parametrize("family", ["deberta-v2", "distilbert", "roberta", "modernbert"])
def test_other_families_answer_alike_alone_and_together(family):
    pipe = pipeline("multi-task", model=make_model(family), tokenizer=TOKENIZER, device="cpu")
    close(pipe(TEXTS, stride=4), [pipe(text, stride=4) for text in TEXTS])


def test_bfloat16_trades_digits_for_speed():
    exact, rough = PIPE(TEXTS, tasks=["topic"]), PIPE(TEXTS, tasks=["topic"], precision="bfloat16")
    for one, two in zip(exact, rough, strict=True):
        assert one["topic"]["score"] == pytest.approx(two["topic"]["score"], abs=0.1)
    assert exact != rough


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tasks": ["topics"]}, "Did you mean 'topic'"),
        ({"top_n": 1}, "Unknown argument 'top_n'. Did you mean 'top_k'"),
        ({"top_k": 0}, "top_k must be"),
        ({"aggregation_strategy": "simpel"}, "Did you mean 'simple'"),
        ({"thresholds": {"tone": 0.1}}, "Did you mean 'tones'"),
        ({"thresholds": {"tones": {"w": 0.1}}}, "Task 'tones': a threshold is given for 'w'"),
        ({"thresholds": 2}, "A threshold is a number in"),
        ({"ignore_labels": ["x"]}, "would be without effect: without an aggregation_strategy"),
        ({"num_workers": 2}, "num_workers"),
        ({"ignore_labels": "O"}, "ignore_labels must be a list"),
        ({"stride": 40}, "stride must lie between 0 and 29 tokens for windows of 64, found 40"),
        ({"max_length": 65}, "max_length must lie between 3 and 64"),
        ({"batch_tokens": 0}, "batch_tokens must be"),
        ({"precision": "half"}, "precision must be one of"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        PIPE("a", **arguments)


def test_wrong_inputs_are_named():
    with pytest.raises(ValueError, match="row 1: expected 'text'"):
        PIPE(["a", 3])
    with pytest.raises(ValueError, match="found a int"):
        PIPE(3)
    with pytest.raises(ValueError, match="needs a MultiTaskModel, found a BertModel"):
        MultiTaskPipeline(MODEL.encoder, TOKENIZER)


def test_fields_of_answers_hold_what_answers_hold():
    for options in (AnswerOptions(), AnswerOptions(top_k=2), AnswerOptions(aggregation_strategy="none")):
        for answers in make_answerer(MODEL, TOKENIZER, options=options)(TEXTS):
            for name, answer in answers.items():
                check_fields(type(MODEL.task_heads[name]).answer_fields(MODEL.config.task(name), options), answer)


def check_fields(fields, value):
    if isinstance(fields, dict):
        assert set(value) <= set(fields)
        for key in value:
            check_fields(fields[key], value[key])
    elif isinstance(fields, list):
        for item in value:
            check_fields(fields[0], item)
    else:
        assert isinstance(value, fields)


#: Each argument that answers are asked for by, and a value that changes them.
SEEN = {
    "tasks": ["topic"],
    "top_k": None,
    "thresholds": 0.0,
    "aggregation_strategy": "none",
    "ignore_labels": ["O", "B-film"],
    "stride": 2,
    "max_length": 5,
    "batch_tokens": 8,
    "batch_size": 1,
    "look_ahead": 1,
    "coverage": 0.9,
    "precision": "bfloat16",
}
#: Which answers do not depend on, but how they are computed.
QUIET = ("batch_tokens", "batch_size", "look_ahead")
#: Needs thresholds: tests/unit/trainer/test_conformal_sets.py.
CALIBRATED = ("coverage",)


def test_every_argument_of_the_pipeline_is_tried_here():
    from hf_mtl.pipelines import _pipeline

    assert set(SEEN) == {*_pipeline._RUNNING, *_pipeline._ASKING}
    assert set(AnswerOptions.__dataclass_fields__) == set(_pipeline._ASKING)


@pytest.mark.parametrize("name", sorted({*SEEN} - {"stride", "ignore_labels", *QUIET, *CALIBRATED}))
def test_an_argument_changes_the_answers(name):
    text = " ".join(TEXTS)
    assert PIPE(text, **{name: SEEN[name]}) != PIPE(text)


@pytest.mark.parametrize(
    ("name", "beside"),
    [("stride", {"max_length": 12}), ("ignore_labels", {"aggregation_strategy": "none"})],
)
def test_an_argument_changes_the_answers_beside_another(name, beside):
    text = " ".join(TEXTS)
    assert PIPE(text, **beside, **{name: SEEN[name]}) != PIPE(text, **beside)


@pytest.mark.parametrize(
    "name", ["feature_extractor", "image_processor", "video_processor", "processor", "binary_output", "num_workers"]
)
def test_arguments_of_other_pipelines_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} is not supported"):
        MultiTaskPipeline(MODEL, TOKENIZER, device="cpu", **{name: 1})
    MultiTaskPipeline(MODEL, TOKENIZER, device="cpu", **{name: None})
