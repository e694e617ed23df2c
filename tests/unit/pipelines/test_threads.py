"""Threads that share a pipeline, a model and a tokenizer get the answers that they would get one after the other."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from hf_mtl import MultiTaskModel, TaskConfig, predict
from hf_mtl.inference import as_row, make_answerer
from hf_mtl.pipelines import MultiTaskPipeline
from tests.encoders import tiny_encoder

WORDS = "good bad film book play song by in the paris rome anna bob is was not very".split()  # noqa: SIM905
TEXTS = [" ".join(WORDS[(i * 7 + j * j) % len(WORDS)] for j in range(3 + 11 * (i % 5))) for i in range(8)]
ROWS = [as_row(text, i) for i, text in enumerate(TEXTS)]
OPTIONS = [
    *({}, {"max_length": 8}, {"max_length": 16, "stride": 2}, {"max_length": 32, "stride": 8}, {"stride": 5}),
    *({"max_length": 11, "aggregation_strategy": "first"}, {"tasks": ["mood"]}, {"tasks": ["tags"], "max_length": 20}),
    *({"tasks": ["mixed"], "max_length": 9, "stride": 1}, {"tasks": ["mood", "topic"], "batch_size": 1}),
]


@pytest.fixture(scope="module", params=["bert", "roberta", "deberta-v2"])
def model(request):
    torch.manual_seed(3)
    tasks = [
        TaskConfig("mood", "sentiment", labels=["bad", "good"]),
        TaskConfig("topic", "sequence-classification", labels=["a", "b", "c"], pooling="mean"),
        TaskConfig("tags", "token-classification", labels=["O", "B-x", "I-x"]),
        TaskConfig("mixed", "sequence-classification", labels=["a", "b"], layers="mix"),
    ]
    return MultiTaskModel.from_encoder(tiny_encoder(request.param), tasks)


def in_threads(ask, rounds=12):
    """Ask with all options in threads, and one after the other; return both."""
    jobs = [OPTIONS[(i * 3) % len(OPTIONS)] for i in range(rounds * len(OPTIONS))]
    expected = [ask(options) for options in OPTIONS]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, jobs))
    return found, [expected[OPTIONS.index(options)] for options in jobs]


def test_one_pipeline_answers_threads_as_it_answers_one_after_the_other(model, tokenizer):
    pipe = MultiTaskPipeline(model, tokenizer)
    found, expected = in_threads(lambda options: pipe(TEXTS, **options))
    assert found == expected


def test_a_thread_that_uses_the_tokenizer_by_itself_changes_no_answer(model, tokenizer, monkeypatch):
    expected = [list(predict(model, tokenizer, TEXTS, **options)) for options in ({}, {"max_length": 16, "stride": 2})]
    kind = type(tokenizer)
    set_state = kind.set_truncation_and_padding

    def set_and_disturbed(self, **kwargs):
        set_state(self, **kwargs)
        if self is tokenizer:  # as another thread's call would, before this one goes to work
            self.backend_tokenizer.enable_truncation(3)
            self.backend_tokenizer.enable_padding()

    monkeypatch.setattr(kind, "set_truncation_and_padding", set_and_disturbed)
    assert len(tokenizer(TEXTS[1])["input_ids"]) == 3, "the tokenizer is disturbed"
    assert [list(predict(model, tokenizer, TEXTS, **o)) for o in ({}, {"max_length": 16, "stride": 2})] == expected


def test_predict_and_answerers_share_a_tokenizer_and_a_model(model, tokenizer):
    plain = [{k: v for k, v in options.items() if k != "aggregation_strategy"} for options in OPTIONS]
    answerers = {repr(options): make_answerer(model, tokenizer, **options) for options in plain}

    def ask(options):
        options = plain[OPTIONS.index(options)]
        return list(predict(model, tokenizer, TEXTS, **options)), answerers[repr(options)].answer(ROWS)

    found, expected = in_threads(ask, rounds=6)
    assert found == expected
