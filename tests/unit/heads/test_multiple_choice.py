"""Texts with choices: labels, batches, answers, losses, from the data to the command line."""

import collections
import functools
import json

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hf_mtl import AnswerOptions, MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig, predict
from hf_mtl.cli import app
from hf_mtl.data import LabelledDataset, MultiTaskCollator
from hf_mtl.heads import MultipleChoiceHead, head_class
from hf_mtl_light.words import WordMap
from tests.encoders import tiny_encoder
from tests.questions import make_choices, make_questions
from tests.trainers import model_without_dropout

TASKS = [
    TaskConfig("right", "multiple-choice"),
    TaskConfig("mood", "sentiment", labels=["bad", "good"]),
    TaskConfig("answer", "question-answering"),
]
RIGHT = TASKS[0]
HEADS = {task.name: head_class(task) for task in TASKS}
TWO = {"text": ["in ?", "by ?"], "choices": [["a", "rome"], ["anna", "b", "c"]]}


def rows_of(data, **kwargs):
    data = Dataset.from_dict(data) if isinstance(data, dict) else data
    part = LabelledDataset("d", data, TASKS, HEADS, **kwargs)
    return part.read(range(len(part)))


def train(model, tokenizer, folder, data, **kwargs):
    arguments = {"per_device_train_batch_size": 16, "learning_rate": 3e-3, "head_learning_rate": 3e-3, **kwargs}
    arguments |= {"use_cpu": True, "disable_tqdm": True, "save_strategy": "no", "precision": "float32"}
    arguments = MultiTaskTrainingArguments(str(folder), **arguments)
    # Unchecked: not every task has rows.
    trainer = MultiTaskTrainer(model, arguments, data, data, processing_class=tokenizer, check_data=False)
    trainer.train()
    return trainer


# Labels and batches


def test_each_choice_is_a_row_of_the_encoder_behind_its_text(tokenizer):
    rows = rows_of({**TWO, "right": [1, 0]})
    batch = MultiTaskCollator(tokenizer, TASKS, HEADS)(rows)
    pairs = [(row.text, choice) for row in rows for choice in row.choices]
    for ids, mask, (text, choice) in zip(batch["input_ids"], batch["attention_mask"], pairs, strict=True):
        assert ids[mask.bool()].tolist() == tokenizer(text, choice)["input_ids"]
    assert batch["rows"]["right"].tolist() == [0, 1, 2, 3, 4]
    assert batch["labels"]["right"].tolist() == [[0, 0], [0, 1], [1, 1], [1, 0], [1, 0]]
    assert MultipleChoiceHead.count_items(batch["labels"]["right"]) == 2


def test_other_tasks_of_a_row_read_its_text_alone(tokenizer):
    rows = rows_of({**TWO, "right": [1, None], "mood": ["good", "bad"]})
    batch = MultiTaskCollator(tokenizer, TASKS, HEADS)(rows)
    assert batch["rows"]["mood"].tolist() == [0, 3]
    assert batch["rows"]["right"].tolist() == [1, 2]
    for place, row in zip((0, 3), rows, strict=True):
        ids = batch["input_ids"][place][batch["attention_mask"][place].bool()]
        assert ids.tolist() == tokenizer(row.text)["input_ids"]


def test_a_choice_ends_the_second_text_of_a_pair(tokenizer):
    data = {"text": ["a"], "text_pair": ["the film is"], "choices": [["good", "bad"]], "right": [0]}
    batch = MultiTaskCollator(tokenizer, TASKS, HEADS)(rows_of(data))
    assert batch["input_ids"][1].tolist() == tokenizer("a", "the film is bad")["input_ids"]


def test_labels_are_numbers_classes_or_the_texts_of_choices():
    for labels in ([1, 0], ["rome", "anna"]):
        assert [row.labels["right"] for row in rows_of({**TWO, "right": labels})] == [1, 0]
    data = Dataset.from_dict({**TWO, "right": [1, -1]}).cast_column("right", ClassLabel(names=["first", "second"]))
    assert [row.labels for row in rows_of(data)] == [{"right": 1}, {}]
    assert [row.labels for row in rows_of({**TWO, "right": [-1, 2]})] == [{}, {"right": 2}]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"right": [2, 0]}, "row 0, task 'right': label 2 is none of the 2 choices: 'a', 'rome'"),
        ({"right": ["rome", "1"]}, "row 1, task 'right': label '1' is none.*Cast numbers"),
        ({"right": [0, 0], "choices": [["a", "b"], ["a"]]}, "row 1, task 'right': found 1 choices"),
        ({"right": ["b", "a"], "choices": [["a", "b"], ["a", "a"]]}, "row 1.*must occur once"),
        ({"right": [0, 0], "choices": [["a", "b"], None]}, "row 1: column 'choices' is null"),
        ({"right": [0, 0], "choices": ["a", "b"]}, "column 'choices' must hold a list of strings"),
    ],
)
def test_labels_and_choices_that_do_not_fit_are_named(changes, words):
    with pytest.raises(ValueError, match=f"Dataset 'd'.*{words}"):
        rows_of({**TWO, **changes})


def test_missing_choices_are_named():
    with pytest.raises(
        ValueError, match="Dataset 'd', task 'right': its type needs a column 'choices', a list of texts"
    ):
        rows_of({"text": ["a"], "right": [0]})
    with pytest.raises(ValueError, match="Task 'right': multiple-choice takes no labels"):
        head_class(TaskConfig("right", "multiple-choice", labels=["a", "b"]))


def test_a_column_of_choices_means_nothing_to_other_tasks():
    rows = rows_of({"text": ["a"], "choices": [{"x": 1}], "mood": ["good"]})
    assert rows[0].choices is None


# The loss


@given(sizes=st.lists(st.integers(2, 5), min_size=1, max_size=6), seed=st.integers(0, 2**16))
def test_loss_is_the_cross_entropy_over_each_rows_choices(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    head = MultiTaskModel.from_encoder(tiny_encoder(), [RIGHT]).task_heads["right"]
    words = [WordMap("a", (), (), choices=[str(i) for i in range(size)]) for size in sizes]
    right = [int(torch.randint(size, (1,), generator=generator)) for size in sizes]
    logits = torch.randn(sum(sizes), 1, generator=generator) * 5
    expected = sum(
        torch.nn.functional.cross_entropy(part[None, :, 0], torch.tensor([label]))
        for part, label in zip(logits.split(sizes), right, strict=True)
    )
    labels = head.encode_labels(RIGHT, right, words)
    torch.testing.assert_close(head.loss_sum(logits, labels), expected, rtol=1e-5, atol=1e-5)
    assert head.count_items(labels) == len(sizes)
    assert head.predictions(logits, words) == [int(part.argmax()) for part in logits.split(sizes)]


@pytest.mark.parametrize("batching", ["mixed", "homogeneous"])
def test_the_cut_of_a_step_does_not_change_its_gradient(tokenizer, tmp_path, batching):
    data = {
        "choose": make_choices(12, 1),
        "moods": Dataset.from_dict({"text": ["good", "bad", "a", "b"], "mood": ["good", "bad", None, "bad"]}),
    }
    found, losses = [], []
    for size, steps in ((16, 1), (4, 4)):
        model = model_without_dropout(TASKS).double()
        gradients = collections.defaultdict(float)

        def add(gradient, name, sums=gradients):
            sums[name] = sums[name] + gradient

        for name, parameter in model.named_parameters():
            parameter.register_hook(functools.partial(add, name=name))
        options = {"per_device_train_batch_size": size, "gradient_accumulation_steps": steps, "max_steps": 1}
        trainer = train(model, tokenizer, tmp_path, data, batching=batching, logging_steps=1, **options)
        found.append(gradients)
        losses.append(trainer.state.log_history[0])
    whole, cut = found
    assert whole.keys() == cut.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(cut[name], gradient, rtol=1e-6, atol=1e-9)
    if batching == "mixed":  # 12 rows choose, 3 have a mood; the encoder's rows do not count
        assert losses[0]["loss"] == pytest.approx(
            (12 * losses[0]["loss/right"] + 3 * losses[0]["loss/mood"]) / 15, rel=1e-5
        )


# Answers


def test_answers_name_choice_number_and_probability():
    words = [WordMap("a", (), (), choices=["x", "y"]), WordMap("b", (), (), choices=["p", "q", "r"])]
    logits = np.log(np.array([[1.0], [3.0], [2.0], [5.0], [3.0]], dtype=np.float32))
    one, two = MultipleChoiceHead.answers(RIGHT, logits, words)
    assert one == {"choice": "y", "index": 1, "score": pytest.approx(0.75)}
    assert two == {"choice": "q", "index": 1, "score": pytest.approx(0.5)}
    best, every = (MultipleChoiceHead.answers(RIGHT, logits, words, AnswerOptions(top_k=k))[1] for k in (2, "all"))
    assert [answer["choice"] for answer in best] == ["q", "r"]
    assert [answer["choice"] for answer in every] == ["q", "r", "p"]
    assert sum(answer["score"] for answer in every) == pytest.approx(1)


def test_batches_do_not_change_answers_and_other_rows_are_answered_null(tokenizer):
    model = MultiTaskModel.from_encoder(tiny_encoder(), TASKS)
    rows = [*make_choices(5, 3), "a film", ("by ?", "by anna"), {"tokens": ["in", "?"], "choices": ["rome", "anna"]}]
    together = list(predict(model, tokenizer, rows))
    alone = [answer for row in rows for answer in predict(model, tokenizer, [row], batch_size=1)]
    for one, two in zip(together, alone, strict=True):
        assert (one["right"] is None) == (two["right"] is None)
        if one["right"] is not None:
            assert one["right"]["index"] == two["right"]["index"]
            assert one["right"]["score"] == pytest.approx(two["right"]["score"], rel=1e-4)
    assert [row["right"] is None for row in together] == [False] * 5 + [True, True, False]
    assert [row["answer"] is None for row in together] == [True] * 6 + [False, True]


@pytest.mark.parametrize("choices", [["a"], "ab", ["a", 3], []])
def test_choices_that_are_none_are_named(tokenizer, choices):
    model = MultiTaskModel.from_encoder(tiny_encoder(), TASKS)
    with pytest.raises(ValueError, match="row 0: 'choices' must be a list of at least 2 strings"):
        list(predict(model, tokenizer, [{"text": "a", "choices": choices}]))


# Training


def test_a_short_training_chooses_right_and_goes_on_doing_so_when_saved(tokenizer, tmp_path):
    data = {"choose": make_choices(120, 1), "ask": make_questions(40, 2)}
    model = model_without_dropout(TASKS)
    trainer = train(model, tokenizer, tmp_path, data, num_train_epochs=6, batching="mixed")
    test = make_choices(60, 3)
    assert trainer.evaluate({"choose": test})["eval_right_accuracy"] > 0.9  # at random: about 0.36
    predicted = trainer.predict({"choose": test.remove_columns("right")}).predictions["choose"]
    trainer.save_model()
    loaded = MultiTaskModel.from_pretrained(tmp_path)
    rows = [test[i] for i in range(9)]
    one, two = (list(predict(m, tokenizer, rows, tasks=["right"])) for m in (model, loaded))
    assert one == two
    assert [answer["right"]["choice"] for answer in one] == [answer["right"]["choice"] for answer in predicted[:9]]
    assert "one of `choices`" in (tmp_path / "README.md").read_text(encoding="utf-8")
    lines = [*rows, {"text": "in ?"}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines), encoding="utf-8")
    files = [("in.jsonl", "out.parquet"), ("out.parquet", "out.csv"), ("out.csv", "out.jsonl")]
    for source, target in files:
        called = CliRunner().invoke(
            app, ["predict", str(tmp_path), str(tmp_path / source), "-o", str(tmp_path / target)]
        )
        assert called.exit_code == 0, called.output
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["right"]["choice"] for row in found[:-1]] == [answer["right"]["choice"] for answer in one]
    assert found[-1]["right"] is None
    (tmp_path / "bad.jsonl").write_text('{"text": "a", "choices": ["b"]}\n', encoding="utf-8")
    called = CliRunner().invoke(app, ["predict", str(tmp_path), str(tmp_path / "bad.jsonl"), "-o", "-"])
    assert called.exit_code == 2
    assert "line 1: 'choices' must be a list of at least 2 strings" in called.output
