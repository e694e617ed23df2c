"""A user's own head, passed in by ``heads=``, does all that a built-in one does, or says why not."""

import math
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from scipy.stats import pearsonr

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig, predict
from hf_mtl.export import export_onnx
from hf_mtl.heads import Head
from hf_mtl.heads._task_type import TaskType
from tests.encoders import tiny_encoder
from tests.own_heads import WordNumbersHead
from tests.trainers import make_data

HEADS = {"word-numbers": WordNumbersHead}
TASKS = [
    TaskConfig("intent", "sequence-classification", labels=["play", "book", "none"]),
    TaskConfig("loudness", "word-numbers"),
]


@pytest.fixture(scope="module")
def data():
    rows = make_data()["snips"].select_columns(["tokens", "intent"])
    numbers = [[None if i % 3 == 1 else float(len(w)) for i, w in enumerate(row)] for row in rows["tokens"]]
    return {"snips": rows.add_column("loudness", numbers)}


@pytest.fixture(scope="module")
def trained(data, tokenizer, tmp_path_factory):
    torch.manual_seed(1)
    model = MultiTaskModel.from_encoder(tiny_encoder(), TASKS, heads=HEADS)
    arguments = MultiTaskTrainingArguments(
        str(tmp_path_factory.mktemp("run")), max_steps=20, per_device_train_batch_size=8, use_cpu=True,
        disable_tqdm=True, learning_rate=5e-3, logging_steps=5, save_strategy="no", precision="float32",
    )  # fmt: skip
    trainer = MultiTaskTrainer(model, arguments, data, eval_dataset=data, processing_class=tokenizer)
    trainer.train()
    return trainer


def test_it_learns(trained):
    losses = [log["loss/loudness"] for log in trained.state.log_history if "loss/loudness" in log]
    assert losses[-1] < losses[0] / 2


def test_its_scores_are_over_all_words_that_have_a_number(trained, data, tokenizer):
    scores = trained.evaluate()
    rows = data["snips"]
    answers = predict(trained.model, tokenizer, [{"tokens": row} for row in rows["tokens"]])
    predicted = [[word["value"] for word in answer["loudness"]] for answer in answers]
    pairs = zip(chain(*predicted), chain(*rows["loudness"]), strict=True)
    found, true = zip(*[(p, t) for p, t in pairs if t is not None], strict=True)
    assert scores["eval_loudness_pearson"] == pytest.approx(pearsonr(found, true).statistic, abs=1e-4)
    errors = np.array(found) - np.array(true)
    assert scores["eval_loudness_mean_absolute_error"] == pytest.approx(np.abs(errors).mean(), abs=1e-4)
    assert scores["eval_loudness_loss"] == pytest.approx((errors**2).mean(), rel=1e-3)
    by_dataset = trained._scored_rows["eval"]["loudness"]["snips"]
    assert by_dataset.value == pytest.approx(scores["eval_loudness_pearson"])
    assert by_dataset.rows == len(rows)
    assert by_dataset.low <= by_dataset.value <= by_dataset.high


def test_it_is_saved_and_loaded(trained, tokenizer, tmp_path):
    trained.model.save_pretrained(tmp_path)
    texts = ["a good film", "paris"]
    loaded = MultiTaskModel.from_pretrained(tmp_path, heads=HEADS)
    assert list(predict(loaded, tokenizer, texts)) == list(predict(trained.model, tokenizer, texts))
    with pytest.raises(ValueError, match=r"unknown type 'word-numbers'.*heads=\{'word-numbers': MyHead\}"):
        MultiTaskModel.from_pretrained(tmp_path)


def test_exports_say_why_not(trained, tokenizer, tmp_path):
    with pytest.raises(ValueError, match=r"Task 'loudness': WordNumbersHead makes its answers by .*describe\(\)"):
        export_onnx(trained.model, tokenizer, tmp_path / "onnx")
    with pytest.raises(ValueError, match="Task 'loudness': no stock Transformers class"):
        trained.model.to_transformers("loudness")


def test_the_card_says_what_it_answers(trained):
    trained.create_model_card()
    text = (Path(trained.args.output_dir) / "README.md").read_text(encoding="utf-8")
    assert "| `loudness` | word-numbers | a number for each word |" in text


def test_a_wrong_label_is_named(data, tokenizer, tmp_path):
    rows = data["snips"].to_dict()
    rows["loudness"][5] = rows["loudness"][5][:-1]
    model = MultiTaskModel.from_encoder(tiny_encoder(), TASKS, heads=HEADS)
    arguments = MultiTaskTrainingArguments(str(tmp_path), max_steps=3, use_cpu=True, disable_tqdm=True)
    broken, message = {"snips": Dataset.from_dict(rows)}, r"'snips', row 5, task 'loudness'.* for \d+ tokens"
    with pytest.raises(ValueError, match=message):
        MultiTaskTrainer(model, arguments, broken, processing_class=tokenizer)
    trainer = MultiTaskTrainer(model, arguments, broken, processing_class=tokenizer, check_data=False)
    with pytest.raises(ValueError, match=r"'snips', row 5, task 'loudness'.*numbers for"):
        trainer.train()


class _Integers(WordNumbersHead):
    """Returns labels that cannot hold its mark."""

    @classmethod
    def encode_labels(cls, task, values, words):
        return super().encode_labels(task, values, words).nan_to_num(0.0).long()


class _Short(WordNumbersHead):
    """Returns a label for each word and not for each token."""

    @classmethod
    def encode_labels(cls, task, values, words):
        most = max(len(numbers) for numbers in values)
        return torch.tensor([[*[n or 0.0 for n in numbers], *[math.nan] * (most - len(numbers))] for numbers in values])


@pytest.mark.parametrize("unpad", ["auto", False])
@pytest.mark.parametrize(
    ("head", "message"),
    [
        (_Integers, r"Task 'loudness': _Integers.encode_labels returned torch.int64, which cannot hold no_label=nan"),
        (
            _Short,
            r"Task 'loudness': labels of tokens have the shape \(24, 8\), where one label for each of .* of 24 texts",
        ),
    ],
)
def test_labels_that_do_not_fit_the_contract_are_refused(head, message, unpad, data, tokenizer, tmp_path):
    model = MultiTaskModel.from_encoder(tiny_encoder(), TASKS, heads={"word-numbers": head}, unpad=unpad)
    arguments = MultiTaskTrainingArguments(
        str(tmp_path), max_steps=1, per_device_train_batch_size=24, use_cpu=True, disable_tqdm=True
    )
    trainer = MultiTaskTrainer(model, arguments, data, processing_class=tokenizer)
    with pytest.raises((TypeError, ValueError), match=message):
        trainer.train()


@pytest.mark.parametrize(
    "lacking", ["default_metrics", "encode_labels", "reference", "loss_sum", "predictions", "answers"]
)
def test_a_head_that_lacks_a_method_is_refused_before_it_is_trained(lacking):
    head = type("Unfinished", (WordNumbersHead,), {lacking: vars(Head).get(lacking) or vars(TaskType)[lacking]})
    with pytest.raises(
        ValueError, match=rf"Task type 'word-numbers': Unfinished lacks .*{lacking}.* Write these methods"
    ):
        MultiTaskModel.from_encoder(tiny_encoder(), TASKS, heads={"word-numbers": head})


@pytest.mark.parametrize(
    "given", [{"labels": ["x", "y"]}, {"class_weights": [2.0, 1.0], "labels": ["x", "y"]}, {"label_smoothing": 0.1}]
)
def test_a_type_without_labels_refuses_what_goes_with_them(given):
    tasks = [TaskConfig("loudness", "word-numbers", **given)]
    with pytest.raises(ValueError, match=f"Task 'loudness': word-numbers takes no .*{next(iter(given))}"):
        MultiTaskModel.from_encoder(tiny_encoder(), tasks, heads=HEADS)
