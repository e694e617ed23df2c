"""An option of answers is read by a task that is asked, or refused: by the pipeline, `predict` and `OnnxPredictor`."""

import dataclasses
from pathlib import Path

import pytest
import torch

from hf_mtl import MultiTaskModel, MultiTaskPipeline, OnnxPredictor, TaskConfig, predict
from hf_mtl.export import export_onnx
from hf_mtl.heads import HEADS, AnswerOptions
from tests.encoders import tiny_encoder

TAGS = ["O", "B-x", "I-x"]
SETS = {"0.9": 0.2}
#: Of every type a task, and the options that it reads.
TASKS = {
    "label": (
        TaskConfig("label", "sequence-classification", labels=["x", "y", "z"], conformal_thresholds=SETS),
        {"top_k", "coverage"},
    ),
    "labels": (TaskConfig("labels", "multi-label-classification", labels=["x", "y"]), {"top_k", "thresholds"}),
    "mood": (
        TaskConfig("mood", "sentiment", labels=["bad", "fair", "good"], conformal_thresholds=SETS),
        {"top_k", "coverage"},
    ),
    "tags": (TaskConfig("tags", "token-classification", labels=TAGS), {"aggregation_strategy", "ignore_labels"}),
    "chain": (TaskConfig("chain", "crf-tagging", labels=TAGS), {"aggregation_strategy", "ignore_labels"}),
    "value": (TaskConfig("value", "regression"), set()),
    "filled": (TaskConfig("filled", "masked-lm"), {"top_k"}),
    "answer": (TaskConfig("answer", "question-answering"), {"top_k"}),
    "right": (TaskConfig("right", "multiple-choice"), {"top_k"}),
}
#: For each option arguments of a call that differ in it alone.
VALUES = {
    "top_k": ({}, {"top_k": 2}),
    "thresholds": ({}, {"thresholds": 0.0}),
    "aggregation_strategy": ({}, {"aggregation_strategy": "none"}),
    "ignore_labels": (
        {"aggregation_strategy": "none"},
        {"aggregation_strategy": "none", "ignore_labels": ["O", "B-x", "I-x"]},
    ),
    "coverage": ({}, {"coverage": 0.9}),
}
ROW = {"text": "a good film [MASK] in paris", "text_pair": "by anna", "choices": ["a", "b", "c"]}
ONNX = ("label", "labels", "mood", "tags", "value")


def model_of(*names):
    torch.manual_seed(3)
    return MultiTaskModel.from_encoder(tiny_encoder(), [TASKS[name][0] for name in names])


MODELS = {name: model_of(name) for name in TASKS}


def test_every_type_and_every_option_is_in_the_tables():
    of_texts = {name for name, head in HEADS.items() if head.modality() == "text"}
    missing = of_texts - {task.type for task, _ in TASKS.values()}
    assert not missing, (
        f"TASKS in {Path(__file__).name} needs a task of {sorted(missing)}, and the options that it reads"
    )
    assert list(VALUES) == [field.name for field in dataclasses.fields(AnswerOptions)]


def ask_pipeline(model, tokenizer, kwargs):
    return MultiTaskPipeline(model, tokenizer, **kwargs)(ROW)


def ask_call(model, tokenizer, kwargs):
    return MultiTaskPipeline(model, tokenizer)(ROW, **kwargs)


def ask_predict(model, tokenizer, kwargs):
    return next(predict(model, tokenizer, [ROW], options=AnswerOptions(**kwargs)))


@pytest.mark.parametrize("ask", [ask_pipeline, ask_call, ask_predict])
@pytest.mark.parametrize("name", TASKS)
def test_an_option_changes_the_answer_or_is_refused(name, ask, tokenizer):
    task, reads = TASKS[name]
    for option, (without, given) in VALUES.items():
        if option in reads:
            before, after = (ask(MODELS[name], tokenizer, kwargs) for kwargs in (without, given))
            assert before != after, option
        else:
            with pytest.raises(ValueError, match=rf"without effect.*'{name}' \({task.type}\)\. \w+ is read by"):
                ask(MODELS[name], tokenizer, given)


def test_a_predictor_refuses_what_no_task_reads(tokenizer, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    export_onnx(model_of(*ONNX), tokenizer, tmp_path / "graph")
    predictor = OnnxPredictor(tmp_path / "graph")
    for name in ONNX:
        for option, (without, given) in VALUES.items():
            if option in TASKS[name][1]:
                assert predictor(ROW, tasks=[name], **without) != predictor(ROW, tasks=[name], **given)
            else:
                with pytest.raises(ValueError, match="would be without effect"):
                    predictor(ROW, tasks=[name], **given)
    predictor(ROW, top_k=2, thresholds=0.1, aggregation_strategy="first")  # some task reads each


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"thresholds": {"labels": 0.2}, "tasks": ["tags"]}, r"thresholds of 'labels'=0\.2 .*'tags'"),
        ({"thresholds": {"label": 0.2}}, r"thresholds of 'label'=0\.2 would be without effect"),
        ({"thresholds": {"label": 0.3, "labels": 0.2}}, r"thresholds of 'label'=0\.3 would be without effect"),
        ({"top_k": None, "tasks": "tags"}, r"top_k='all' would be without effect"),
        ({"stride": 4, "tasks": ["right"]}, r"stride=4 would be without effect.*'right' \(multiple-choice\)"),
    ],
)
def test_options_of_single_tasks(kwargs, words, tokenizer):
    pipe = MultiTaskPipeline(model_of("label", "labels", "tags", "right"), tokenizer)
    with pytest.raises(ValueError, match=words):
        pipe(ROW, **kwargs)


def test_what_a_pipeline_was_built_with_holds_where_it_is_read(tokenizer):
    pipe = MultiTaskPipeline(model_of("label", "tags", "right"), tokenizer, top_k=2, stride=4)
    assert pipe(ROW, tasks=["tags"]).keys() == {"tags"}
    assert len(pipe(ROW, tasks=["label"])["label"]) == 2
    assert pipe(ROW, tasks=["right"]).keys() == {"right"}
    with pytest.raises(ValueError, match="top_k=2 would be without effect"):
        pipe(ROW, tasks=["tags"], top_k=2)


def test_options_for_what_is_no_task_are_refused(tokenizer):
    with pytest.raises(ValueError, match=r"options are given for 'lable', which is no task\. Did you mean 'label'"):
        predict(MODELS["label"], tokenizer, [ROW], options={"lable": AnswerOptions(top_k=2)})
