"""What a graph costs each task: scored as the trainer scores, refused beyond a tolerance."""

import pytest
from datasets import Dataset

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig
from hf_mtl.export._scores import TaskScores, check_scores, compare_scores, score_all, score_rows
from hf_mtl.inference import make_answerer
from tests.encoders import tiny_encoder

TASKS = [
    TaskConfig("topic", "sequence-classification", labels=["x", "y"]),
    TaskConfig("mood", "sentiment", labels=["bad", "good"]),
    TaskConfig("tags", "token-classification", labels=["O", "B-x", "I-x"]),
    TaskConfig("stars", "regression", target_mean=3.0, target_std=2.0, main_metric="mean_absolute_error"),
]
DATA = {
    "texts": Dataset.from_dict(
        {
            "text": ["a good film", "a song by anna", "bob is in rome", "paris", "the film", "not good"],
            "topic": ["x", "y", "x", "y", None, "x"],
            "mood": ["good", "bad", None, "good", "bad", "bad"],
            "stars": [1.0, 2.0, 5.0, 4.0, 3.0, 2.5],
        }
    ),
    "words": Dataset.from_dict(
        {"tokens": [["anna", "in", "rome"], ["play", "a", "song"]], "tags": [["B-x", "O", "B-x"], ["O", "O", "I-x"]]}
    ),
}


@pytest.fixture(scope="module")
def model():
    return MultiTaskModel.from_encoder(tiny_encoder(), TASKS)


def test_rows_are_scored_as_the_trainer_scores_them(model, tokenizer, tmp_path):
    found = score_rows(make_answerer(model, tokenizer), model.task_heads, DATA)
    args = MultiTaskTrainingArguments(str(tmp_path), use_cpu=True, report_to=[], disable_tqdm=True)
    expected = MultiTaskTrainer(model, args, processing_class=tokenizer).evaluate(DATA)
    assert {name: rows for name, (_, rows, _) in found.items()} == {"topic": 5, "mood": 5, "tags": 2, "stars": 6}
    for name, (metric, _, score) in found.items():
        assert score == pytest.approx(expected[f"eval_{name}_{metric}"], abs=1e-5)


def test_a_task_without_labelled_rows_is_named(model, tokenizer):
    answerer = make_answerer(model, tokenizer)
    with pytest.raises(ValueError, match="Tasks 'tags': no dataset of the check"):
        score_all(answerer, model.task_heads, {"texts": DATA["texts"]})
    same = compare_scores(score_all(answerer, model.task_heads, DATA), answerer, model.task_heads, DATA)
    assert {task.lost for task in same.values()} == {0.0}


@pytest.mark.parametrize(
    ("lost", "graph", "most", "is_refused"),
    [
        (0.5, 0.8, 1.0, False),
        (1.0, 0.8, 1.0, False),
        (1.2, 0.8, 1.0, True),
        (-3.0, 0.8, 0.0, False),
        (float("nan"), float("nan"), 1.0, True),
    ],
)
def test_what_loses_more_than_it_may_is_refused_by_name(lost, graph, most, is_refused):
    scores = {"fine": TaskScores("f1", 10, 0.5, 0.5, 0.0), "topic": TaskScores("accuracy", 10, 0.81, graph, lost)}
    if not is_refused:
        check_scores(scores, most)
        return
    with pytest.raises(ValueError, match=r"Task 'topic': accuracy on 10 rows is .* by the graph and 0.8100 by the"):
        check_scores(scores, most)
