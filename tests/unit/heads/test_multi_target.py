"""Regression on several numbers a row: each scaled, trained, scored and answered by itself."""

import csv
import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, List, Value
from typer.testing import CliRunner

from hf_mtl import MultiTaskModel, TaskConfig, predict
from hf_mtl.cli import app
from hf_mtl.configuration import MultiTaskConfig
from hf_mtl.heads import RegressionHead
from hf_mtl.surgery import change_labels
from tests.encoders import tiny_encoder
from tests.trainers import WORDS, model_without_dropout
from tests.unit.recipe.recipe_files import write_recipe, write_rows

MOOD = TaskConfig("mood", "regression", labels=["valence", "arousal"])


def rows(count=24, seed=1):
    """Return texts with two numbers each, of unlike units; some numbers are null."""
    generator = np.random.default_rng(seed)
    texts = [[str(word) for word in generator.choice(WORDS, generator.integers(2, 8))] for _ in range(count)]
    numbers = [[float(len(words)), 100.0 * words.count("good") - 50] for words in texts]
    numbers = [[None if i % 5 == 0 else v, None if i % 7 == 1 else a] for i, (v, a) in enumerate(numbers)]
    return {"text": [" ".join(words) for words in texts], "mood": numbers}


@pytest.fixture
def data():
    return {"talk": Dataset.from_dict(rows())}


def test_labels_come_as_lists_or_by_name_and_null_is_no_number():
    values = [[1, 2.5], {"arousal": -1.0, "valence": None}, {"valence": 3}, [None, None]]
    encoded = RegressionHead.encode_labels(MOOD, values, [])
    expected = torch.tensor([[1, 2.5], [math.nan, -1], [3, math.nan], [math.nan] * 2], dtype=torch.float64)
    torch.testing.assert_close(encoded, expected, equal_nan=True)
    assert int(RegressionHead.count_items(encoded)) == 4
    assert [RegressionHead.reference(MOOD, value) for value in values] == [
        *([1.0, 2.5], [None, -1.0], [3.0, None], [None, None])
    ]


def test_loss_is_the_sum_of_the_targets_own_losses():
    task = dataclasses.replace(MOOD, target_mean=[2.0, -1.0], target_std=[3.0, 0.5])
    head = MultiTaskModel.from_encoder(tiny_encoder(), [task]).task_heads["mood"]
    logits, labels = torch.randn(6, 2, requires_grad=True), torch.randn(6, 2).double()
    labels[1, 0] = labels[4, 1] = math.nan
    loss = head.loss_sum(logits, labels)
    (gradient,) = torch.autograd.grad(loss, logits)
    expected = 0.0
    for i, (mean, std) in enumerate([(2.0, 3.0), (-1.0, 0.5)]):
        one = MultiTaskModel.from_encoder(
            tiny_encoder(), [TaskConfig("one", "regression", target_mean=mean, target_std=std)]
        ).task_heads["one"]
        kept = ~labels[:, i].isnan()
        expected = expected + one.loss_sum(logits[kept, i : i + 1], labels[kept, i])
    torch.testing.assert_close(loss, expected)
    assert gradient.isfinite().all()
    assert gradient[1, 0] == gradient[4, 1] == 0
    # Without nulls the mean is the squared error of the stock class.
    full = torch.randn(6, 2).double()
    scaled = ((full - torch.tensor([2.0, -1.0])) / torch.tensor([3.0, 0.5])).float()
    mean = head.loss_sum(logits, full) / head.count_items(full)
    torch.testing.assert_close(mean, torch.nn.MSELoss()(logits, scaled))


def test_one_target_trains_as_the_plain_task_does(build):
    table = rows()
    plain = {"talk": Dataset.from_dict({**table, "mood": [row[0] for row in table["mood"]]})}
    named = {"talk": Dataset.from_dict({**table, "mood": [row[:1] for row in table["mood"]]})}
    found = []
    for task, data in ((TaskConfig("mood", "regression"), plain), (TaskConfig("mood", "regression", ["x"]), named)):
        trainer = build(model_without_dropout([task]), data, data, max_steps=1, per_device_train_batch_size=24)
        trainer.train()
        found.append((trainer.model.state_dict(), trainer.evaluate()["eval_mood_pearson"]))
    (one, score), (two, other_score) = found
    # The plain column's null rows are no rows of the task; here they are rows without a number.
    assert score == pytest.approx(other_score, abs=1e-4)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5)


def test_gradient_is_the_same_however_a_batch_with_nulls_is_cut(build, data):
    found = []
    for size, accumulation in ((24, 1), (6, 4)):
        trainer = build(
            model_without_dropout([MOOD]).double(),
            *(data, None),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
            max_steps=1,
            optim="sgd",
            max_grad_norm=0.0,
        )
        trainer.train()
        found.append((trainer.state.log_history[0]["loss/mood"], trainer.model.state_dict()))
    (whole, weights), (cut, others) = found
    assert cut == pytest.approx(whole, rel=1e-6)
    assert all(torch.allclose(others[name], value, rtol=1e-9, atol=1e-12) for name, value in weights.items())


def test_each_target_is_learned_in_its_own_unit_and_answered_in_it(build, data, tokenizer, tmp_path):
    trainer = build(MultiTaskModel.from_encoder(tiny_encoder(), [MOOD]), data, data)
    trainer.train()
    table = np.array(data["talk"]["mood"], dtype=float)
    task = trainer.model.config.task("mood")
    assert task.target_mean == pytest.approx(np.nanmean(table, 0).tolist())
    assert task.target_std == pytest.approx(np.nanstd(table, 0).tolist())
    trainer.save_model(tmp_path / "saved")
    loaded = MultiTaskModel.from_pretrained(tmp_path / "saved")
    assert loaded.config.task("mood") == task
    answers = list(predict(loaded, tokenizer, data["talk"]["text"]))
    predicted = trainer.predict(data).predictions["talk"]
    for mine, theirs in zip(answers, predicted, strict=True):
        assert set(mine["mood"]["values"]) == {"valence", "arousal"}
        assert mine["mood"]["values"] == pytest.approx(theirs["mood"]["values"], rel=1e-4, abs=1e-3)
    metrics = trainer.evaluate()
    for i, name in enumerate(MOOD.labels):
        kept = ~np.isnan(table[:, i])
        values = np.array([row["mood"]["values"][name] for row in predicted])
        assert metrics[f"eval_mood_{name}_pearson"] == pytest.approx(
            np.corrcoef(values[kept], table[kept, i])[0, 1], abs=1e-4
        )
        error = np.abs(values - table[:, i])[kept].mean()
        assert metrics[f"eval_mood_{name}_mean_absolute_error"] == pytest.approx(error, rel=1e-4)
    for key in ("pearson", "spearman", "mean_absolute_error"):
        each = [metrics[f"eval_mood_{name}_{key}"] for name in MOOD.labels]
        assert metrics[f"eval_mood_{key}"] == pytest.approx(np.mean(each))
    assert metrics["eval_score"] == metrics["eval_mood_pearson"]
    trainer.create_model_card(output_dir=tmp_path / "saved")
    card = (tmp_path / "saved" / "README.md").read_text()
    assert "| `mood` | regression | the numbers `valence`, `arousal` |" in card
    assert f"| `mood` | talk | validation | 24 | pearson | {metrics['eval_mood_pearson']:.3f} |" in card


def test_single_targets_are_left_out_of_scores_while_training(build, data):
    trainer = build(MultiTaskModel.from_encoder(tiny_encoder(), [MOOD]), data, data, eval_strategy="epoch")
    trainer.train()
    logged = {key for log in trainer.state.log_history for key in log if key.startswith("eval_mood")}
    assert {"eval_mood_pearson", "eval_mood_spearman", "eval_mood_mean_absolute_error", "eval_mood_loss"} == logged


def test_scale_that_is_there_in_part_is_learned_in_part():
    task = dataclasses.replace(MOOD, target_mean=[7.0, None], target_std=2.0)
    learned = RegressionHead.learn(task, [[1.0, 4.0], [None, 6.0]])
    assert (learned.target_mean, learned.target_std) == ((7.0, 5.0), (2.0, 2.0))
    assert RegressionHead.learn(learned, iter(())) is learned
    never = RegressionHead.learn(MOOD, [[3.0, None], [3.0, None]])
    assert (never.target_mean, never.target_std) == ((3.0, 0.0), (1.0, 1.0))


def test_config_of_one_number_is_read_and_written_as_ever():
    config = {"name": "stars", "type": "regression", "target_mean": 3.5, "target_std": 2.0}
    task = MultiTaskConfig.from_dict({"tasks": [config]}).task("stars")
    assert task.to_dict() == config
    assert RegressionHead.answers(task, np.array([[1.0]]), []) == [{"value": 5.5}]
    assert RegressionHead.answer_fields(task) == {"value": float}


def test_other_targets_keep_their_scale_and_new_ones_are_to_be_learned():
    task = dataclasses.replace(MOOD, target_mean=[2.0, -1.0], target_std=[3.0, 0.5])
    model = MultiTaskModel.from_encoder(tiny_encoder(), [task])
    inputs = {"input_ids": torch.tensor([[2, 7, 9, 3]])}
    model.eval()
    with torch.no_grad():
        before = model(**inputs).logits["mood"]
        change_labels(model, "mood", ["arousal", "power"])
        model.eval()
        after = model(**inputs).logits["mood"]
    changed = model.config.task("mood")
    assert (changed.target_mean, changed.target_std) == ((-1.0, None), (0.5, None))
    assert torch.equal(after[:, 0], before[:, 1])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1.0], r"row 2, task 'mood': 1 numbers for 2 targets. Give a list of 2 numbers, of 'valence', 'arousal'"),
        (0.5, r"row 2, task 'mood': found 0.5. Give a list of 2 numbers"),
        ([1.0, "high"], r"label 'high' is not a finite number. A target needs a number, or null"),
        ([1.0, math.inf], r"label inf is not a finite number"),
        ({"valense": 1.0}, r"'valense' is none of the task's targets. Did you mean 'valence'\?"),
    ],
)
def test_wrong_labels_name_dataset_row_and_remedy(value, words):
    from hf_mtl.data import MultiTaskCollator, Row
    from tests.conftest import make_tokenizer

    collator = MultiTaskCollator(make_tokenizer(), [MOOD], {"mood": RegressionHead}, 16)
    batch = [Row("talk", i, "a", labels={"mood": [0.0, 1.0]}) for i in range(2)]
    with pytest.raises(ValueError, match=r"Dataset 'talk', .*" + words):
        collator([*batch, Row("talk", 2, "a", labels={"mood": value})])


def test_wrong_label_met_while_learning_names_dataset_and_row(build, data):
    column = {"text": ["a"] * 3, "mood": [[1.0, 2.0], None, [1.0]]}
    with pytest.raises(ValueError, match=r"Dataset 'short', row 2, task 'mood': 1 numbers for 2 targets"):
        build(
            MultiTaskModel.from_encoder(tiny_encoder(), [MOOD]), {**data, "short": Dataset.from_dict(column)}, None
        ).train()
    plain = MultiTaskModel.from_encoder(tiny_encoder(), [TaskConfig("mood", "regression")])
    with pytest.raises(ValueError, match=r"Dataset 'talk', row 0.*for several targets name them: labels=\[...\]"):
        build(plain, data, None).train()


def test_numbers_by_name_are_a_column_of_a_dataset(build):
    table = rows()
    named = [{"valence": v, "arousal": a} for v, a in table["mood"]]
    features = Features({"text": Value("string"), "mood": {"valence": Value("float32"), "arousal": Value("float32")}})
    by_name = Dataset.from_dict({**table, "mood": named}, features=features)
    listed = Dataset.from_dict(table, features=Features({"text": Value("string"), "mood": List(Value("float32"))}))
    scores = []
    for part in (by_name, listed):
        trainer = build(
            MultiTaskModel.from_encoder(tiny_encoder(), [MOOD]), {"talk": part}, {"talk": part}, max_steps=2
        )
        trainer.train()
        scores.append({k: v for k, v in trainer.evaluate().items() if k.startswith("eval_mood")})
    assert scores[0] == scores[1]


def test_recipe_trains_and_predicts_several_numbers(tmp_path, monkeypatch, encoder_folder):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    table = rows(30)
    lines = [
        {"text": text, "feel": {"valence": v, "arousal": a}}
        for text, (v, a) in zip(table["text"], table["mood"], strict=True)
    ]
    write_rows(tmp_path / "talk.jsonl", lines)
    values = {
        "encoder": str(encoder_folder),
        "datasets": {
            "talk": {
                "load": {"path": "json", "data_files": str(tmp_path / "talk.jsonl")},
                "columns": {"text": "text", "feel": "mood"},
            }
        },
        "training": {"output_dir": str(tmp_path / "run"), "max_steps": 2, "precision": "float32", "use_cpu": True},
    }

    def call(*arguments):
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert done.exit_code == 0, done.output
        return done.output

    shown = call("train", write_recipe(tmp_path, values))
    assert "regression" in shown
    results = json.loads((tmp_path / "run" / "all_results.json").read_text())
    assert {"eval_mood_pearson", "eval_mood_valence_pearson", "eval_mood_arousal_spearman"} <= set(results)
    (tmp_path / "in.jsonl").write_text('{"text": "a good song"}\n')
    call("predict", tmp_path / "run", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl")
    call("predict", tmp_path / "run", tmp_path / "in.jsonl", "-o", tmp_path / "out.csv")
    answer = json.loads((tmp_path / "out.jsonl").read_text())["mood"]["values"]
    assert set(answer) == {"valence", "arousal"}
    (row,) = csv.DictReader((tmp_path / "out.csv").read_text().splitlines())
    assert json.loads(row["mood.values"]) == answer
