"""Answers hold numbers alone: whoever answers refuses logits that are infinite or not a number, naming task and row."""

import math

import pytest
import torch
from datasets import Dataset

from hf_mtl import (
    MultiTaskModel,
    MultiTaskPipeline,
    MultiTaskTrainer,
    MultiTaskTrainingArguments,
    OnnxPredictor,
    TaskConfig,
    predict,
)
from hf_mtl.export import export_onnx
from tests.encoders import tiny_encoder

TASKS = [
    TaskConfig("topic", "sequence-classification", labels=["x", "y", "z"]),
    TaskConfig("themes", "multi-label-classification", labels=["x", "y"]),
    TaskConfig("mood", "sentiment", labels=["bad", "good"]),
    TaskConfig("tags", "token-classification", labels=["O", "B-x", "I-x"]),
    TaskConfig("value", "regression"),
]
#: These read more than a text, or need torch.
MORE = [
    TaskConfig("chain", "crf-tagging", labels=["O", "B-x", "I-x"]),
    TaskConfig("filled", "masked-lm"),
    TaskConfig("answer", "question-answering"),
    TaskConfig("right", "multiple-choice"),
]
#: One word, "rome", is broken where the encoder reads it: it is in row 2 alone.
ROWS = [
    {"text": "a good film", "text_pair": "by anna [MASK]", "choices": ["a", "b"]},
    {"text": "in paris", "text_pair": "by bob [MASK]", "choices": ["a", "b", "c"]},
    {"text": "in rome [MASK]", "text_pair": "by anna [MASK]", "choices": ["a", "b"]},
    {"text": "a bad book", "text_pair": "by bob", "choices": ["a", "b"]},
]
VALUES = (math.nan, math.inf, -math.inf)


def model_of(tasks):
    torch.manual_seed(1)
    return MultiTaskModel.from_encoder(tiny_encoder(num_hidden_layers=1), tasks)


def break_word(model, tokenizer, value):
    """Break a word's embedding as it is read; the table itself may be the layer that predicts tokens."""
    broken = tokenizer.convert_tokens_to_ids("rome")
    return model.get_input_embeddings().register_forward_hook(
        lambda _, args, states: states.masked_fill(args[0].eq(broken)[..., None], value)
    )


def by_trainer(model, tokenizer, rows, tmp_path):
    arguments = MultiTaskTrainingArguments(
        str(tmp_path / "out"), use_cpu=True, disable_tqdm=True, precision="float32", per_device_eval_batch_size=3
    )
    trainer = MultiTaskTrainer(model, arguments, processing_class=tokenizer)
    return trainer.predict({"input": Dataset.from_list(rows)}).predictions["input"]


RUNNERS = {
    "pipeline": lambda model, tokenizer, rows, _: MultiTaskPipeline(model, tokenizer, batch_size=3)(rows),
    "predict": lambda model, tokenizer, rows, _: list(predict(model, tokenizer, rows, look_ahead=3)),
    "windows": lambda model, tokenizer, rows, _: list(predict(model, tokenizer, rows, max_length=8)),
    "trainer": by_trainer,
}


@pytest.mark.parametrize("task", [*TASKS, *MORE], ids=lambda task: task.type)
def test_every_runner_names_task_and_row(task, tokenizer, tmp_path):
    model = model_of([task])
    sound = [row for i, row in enumerate(ROWS) if i != 2]
    for value in VALUES:
        hook = break_word(model, tokenizer, value)
        for name, run in RUNNERS.items():
            with pytest.raises(ValueError, match=rf"Dataset 'input', row 2, task '{task.name}': .* float32"):
                run(model, tokenizer, ROWS, tmp_path)
            assert len(run(model, tokenizer, sound, tmp_path)) == 3, name
        hook.remove()


def test_a_task_whose_own_weights_are_broken_is_named(tokenizer, tmp_path):
    model = model_of([*TASKS, *MORE[:1]])
    list(model.task_heads["value"].parameters())[-1].data.fill_(math.inf)
    for run in RUNNERS.values():
        with pytest.raises(ValueError, match="Dataset 'input', row 0, task 'value'"):
            run(model, tokenizer, ROWS, tmp_path)
    assert len(list(predict(model, tokenizer, ROWS, tasks=["topic", "tags"]))) == 4  # theirs are sound


def test_an_exported_graph_with_broken_weights_gives_no_answer(tokenizer, tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    model = model_of(TASKS)
    export_onnx(model, tokenizer, tmp_path / "graph")
    file = tmp_path / "graph" / OnnxPredictor(tmp_path / "graph").description.model
    graph = onnx.load(str(file))
    shape = list(model.get_input_embeddings().weight.shape)
    (table,) = [item for item in graph.graph.initializer if list(item.dims) == shape]
    values = onnx.numpy_helper.to_array(table).copy()
    values[tokenizer.convert_tokens_to_ids("rome")] = math.nan
    table.CopyFrom(onnx.numpy_helper.from_array(values, table.name))
    onnx.save(graph, str(file))
    predictor = OnnxPredictor(tmp_path / "graph")
    for task in TASKS:
        for ask in (predictor, predictor.logits):
            with pytest.raises(ValueError, match=rf"Dataset 'input', row 2, task '{task.name}'"):
                ask(ROWS, tasks=[task.name])
    assert len(predictor(ROWS[:2])) == 2
