"""Tasks with any number of labels a text: balanced weights, thresholds that are tuned, kept and gone by."""

import json

import numpy as np
import pytest
import sklearn.metrics
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from typer.testing import CliRunner

from hf_mtl import MultiTaskModel, MultiTaskTrainingArguments, TaskConfig, predict
from hf_mtl.cli import app
from hf_mtl.heads import AnswerOptions, balanced_class_weights, balanced_pos_weight
from hf_mtl.surgery import change_labels, merge_models
from tests.encoders import tiny_encoder
from tests.ranks import run_on_ranks
from tests.trainers import WORDS
from tests.unit.recipe.recipe_files import write_recipe, write_rows

LABELS = ["good", "bad", "song", "unseen"]
TONES = TaskConfig("tones", "multi-label-classification", labels=LABELS)
TOPIC = TaskConfig("topic", "sequence-classification", labels=["song", "film"])


def rows(count, seed):
    """Return texts whose labels are words in them; some rows have none."""
    generator = np.random.default_rng(seed)
    texts = [" ".join(generator.choice(WORDS, 5)) for _ in range(count)]
    return {"text": texts, "tones": [[label for label in LABELS if label in text.split()] for text in texts]}


@pytest.fixture
def data():
    return {"talk": Dataset.from_dict(rows(48, 1))}


@pytest.fixture
def validation():
    return {"talk": Dataset.from_dict(rows(40, 2))}


def make(task=TONES, *more, seed=3):
    encoder = tiny_encoder()
    torch.manual_seed(seed)
    model = MultiTaskModel.from_encoder(encoder, [task, *more])
    for parameter in model.task_heads[task.name].parameters():  # scores far apart
        parameter.data.add_(torch.randn_like(parameter) * 0.3)
    return model


# The type


def test_type_by_its_name_is_the_same_head_as_by_its_problem_type():
    named = TONES
    spelled = TaskConfig("tones", "sequence-classification", labels=LABELS, problem_type="multi_label_classification")
    assert named.is_multi_label
    assert (named.problem_type, spelled.problem_type) == ("multi_label_classification",) * 2
    one, two = make(named), make(spelled)
    inputs = {"input_ids": torch.tensor([[2, 7, 9, 3]])}
    labels = {"tones": torch.tensor([[1.0, 0.0, 1.0, 0.0]])}
    first, second = one(**inputs, labels=labels), two(**inputs, labels=labels)
    assert torch.equal(first.loss, second.loss)
    assert one.to_transformers("tones").config.problem_type == "multi_label_classification"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"class_weights": [1.0] * 4}, "Task 'a': class_weights are for tasks with one label a text.*write pos_weight"),
        ({"type": "sequence-classification", "pos_weight": [1.0] * 4}, "Task 'a': pos_weight is for multi-label tasks"),
        ({"type": "sequence-classification", "thresholds": 0.4}, "Task 'a': thresholds is for multi-label tasks"),
        ({"type": "sentiment", "problem_type": "multi_label_classification"}, "use the type 'multi-label-classific"),
        ({"type": "sentiment", "thresholds": 0.4}, "set the type 'multi-label-classification'"),
        ({"type": "regression", "thresholds": 0.4}, "thresholds is for multi-label tasks"),
    ],
)
def test_fields_of_the_other_kind_are_refused_with_the_right_one(fields, words):
    task = TaskConfig(**{"name": "a", "type": "multi-label-classification", "labels": LABELS, **fields})
    with pytest.raises(ValueError, match=words):
        MultiTaskModel.from_encoder(tiny_encoder(), [task])


# Weights


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_balanced_class_weights_are_those_of_scikit_learn(classes):
    found = balanced_class_weights(np.bincount(classes, minlength=6).tolist())
    seen = np.unique(classes)
    expected = compute_class_weight("balanced", classes=seen, y=classes)
    assert [found[c] for c in seen] == pytest.approx(expected.tolist())
    assert all(found[c] == 1.0 for c in range(6) if c not in seen)
    assert np.mean([found[c] for c in classes]) == pytest.approx(1.0)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n), min_size=1))))
def test_balanced_pos_weight_evens_both_sides_within_its_bounds(case):
    count, positives = case
    for found, positive in zip(balanced_pos_weight(positives, count), positives, strict=True):
        assert 0.01 <= found <= 100.0
        if positive == 0:
            assert found == 1.0
        elif 0.01 < found < 100.0:
            assert found * positive == pytest.approx(count - positive)


def test_loss_is_that_of_torch_with_its_pos_weight():
    weights = [2.0, 0.5, 7.0, 1.0]
    head = make(TaskConfig("tones", "multi-label-classification", labels=LABELS, pos_weight=weights)).task_heads[
        "tones"
    ]
    logits, labels = torch.randn(5, 4), torch.randint(0, 2, (5, 4)).float()
    expected = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weights))(logits, labels) * 5
    torch.testing.assert_close(head.loss_sum(logits, labels), expected)


def test_weights_are_learned_from_the_training_labels_and_kept(build, data, tmp_path):
    data["talk"] = data["talk"].add_column("topic", [None, "song", "film", "song"] * 12)
    data["tags"] = Dataset.from_dict({"tokens": [["a", "film"], ["rome"]], "slots": [["O", "O"], ["B-city"]]})
    model = make(
        TaskConfig("tones", "multi-label-classification", labels=LABELS, pos_weight="balanced"),
        TaskConfig("topic", "sequence-classification", labels=["song", "film"], class_weights="balanced"),
        TaskConfig("slots", "token-classification", labels=["O", "B-city", "I-city"], class_weights="balanced"),
    )
    trainer = build(model, data, None, max_steps=1)
    assert model.config.task("topic").class_weights == "balanced"  # and weighs nothing yet
    trainer.train()
    tones = np.array([[label in row for label in LABELS] for row in data["talk"]["tones"]])
    positives = tones.sum(0)
    expected = [(48 - n) / n if n else 1.0 for n in positives]
    assert model.config.task("tones").pos_weight == pytest.approx(expected)
    assert model.config.task("topic").class_weights == pytest.approx((36 / (2 * 24), 36 / (2 * 12)))
    assert model.config.task("slots").class_weights == pytest.approx((3 / (2 * 2), 3 / (2 * 1), 1.0))
    model.save_pretrained(tmp_path / "saved")
    loaded = MultiTaskModel.from_pretrained(tmp_path / "saved")
    assert loaded.tasks == model.tasks
    # Weights that are there are not learned again.
    again = build(loaded, {"talk": data["talk"].select(range(8))}, None, max_steps=1)
    again.train()
    assert loaded.config.task("tones") == model.config.task("tones")


def test_wrong_label_met_while_learning_names_dataset_and_row(build, data):
    broken = Dataset.from_dict({"text": ["a"] * 5, "tones": [["good"], None, [], ["bda"], ["bad"]]})
    model = make(TaskConfig("tones", "multi-label-classification", labels=LABELS, pos_weight="balanced"))
    with pytest.raises(ValueError, match=r"Dataset 'second', row 3, task 'tones': label 'bda' .*Did you mean 'bad'"):
        build(model, {**data, "second": broken}, None).train()


# Thresholds

HEAD = make().task_heads["tones"]


def scores_of(model, tokenizer, texts):
    answers = predict(model, tokenizer, texts, options=AnswerOptions(top_k="all"))
    return np.array([[{a["label"]: a["score"] for a in row["tones"]}[label] for label in LABELS] for row in answers])


@given(
    st.lists(st.floats(-6, 6, width=32), min_size=4, max_size=4),
    st.lists(st.floats(0.01, 0.99), min_size=4, max_size=4),
)
def test_predictions_and_answers_decide_alike_by_the_tasks_thresholds(logits, thresholds):
    # The score itself as a threshold: a tie, on which both must agree.
    exact = HEAD.scores(torch.tensor([logits]))[0].tolist()
    for given_ in (thresholds, [min(max(score, 1e-9), 1 - 1e-9) for score in exact], 0.5):
        task = TaskConfig("tones", "multi-label-classification", labels=LABELS, thresholds=given_)
        HEAD.task = task
        (predicted,) = HEAD.predictions(torch.tensor([logits]), [])
        (answered,) = HEAD.answers(task, np.array([logits], dtype=np.float32), [])
        assert {LABELS[i] for i, flag in enumerate(predicted) if flag} == {answer["label"] for answer in answered}


def test_thresholds_that_are_asked_for_go_before_the_tasks_own():
    task = TaskConfig("tones", "multi-label-classification", labels=LABELS, thresholds=[0.9, 0.1, 0.5, 0.7])
    logits = np.zeros((1, 4), dtype=np.float32)  # scores of 0.5

    def named(**options):
        return {a["label"] for a in HEAD.answers(task, logits, [], AnswerOptions(**options))[0]}

    assert named() == {"bad", "song"}
    assert named(thresholds=0.6) == set()
    assert named(thresholds={"good": 0.4, "song": 0.6}) == {"good", "bad"}
    assert named(top_k="all") == set(LABELS)


@pytest.mark.parametrize("how", ["per-label", "global"])
def test_tuned_thresholds_change_what_is_scored_answered_and_saved(build, data, validation, tokenizer, tmp_path, how):
    model = make()
    trainer = build(model, data, validation)
    at_half = trainer.evaluate()
    tuned = trainer.tune_thresholds(how=how)["tones"]
    after = trainer.evaluate()
    assert tuned.rows == 40
    for key in ("f1_micro", "f1_macro", "subset_accuracy"):
        assert tuned.before[key] == at_half[f"eval_tones_{key}"]
        assert tuned.after[key] == after[f"eval_tones_{key}"]
    better = "f1_macro" if how == "per-label" else "f1_micro"
    assert tuned.after[better] > tuned.before[better]
    # By hand: the scores that answers give, every cut between two of them.
    scores, texts = scores_of(model, tokenizer, validation["talk"]["text"]), validation["talk"]["text"]
    true = np.array([[label in row for label in LABELS] for row in validation["talk"]["tones"]])
    thresholds = np.broadcast_to(np.array(tuned.thresholds), 4)
    if how == "per-label":
        for i in range(3):
            best = max(sklearn.metrics.f1_score(true[:, i], scores[:, i] >= t) for t in scores[:, i])
            assert sklearn.metrics.f1_score(true[:, i], scores[:, i] >= thresholds[i]) == pytest.approx(best)
        assert thresholds[3] == 0.5  # of a label that no row has
    named = [[a["label"] for a in row["tones"]] for row in predict(model, tokenizer, texts)]
    assert [set(labels) for labels in named] == [
        {LABELS[i] for i in np.flatnonzero(row >= thresholds)} for row in scores
    ]
    trainer.save_model(tmp_path / "saved")
    loaded = MultiTaskModel.from_pretrained(tmp_path / "saved")
    assert loaded.config.task("tones").thresholds == tuned.thresholds
    assert list(predict(loaded, tokenizer, texts)) == list(predict(model, tokenizer, texts))
    card = (tmp_path / "saved" / "README.md").read_text()
    shown = f"`good` ({thresholds[0]:.3g})" if how == "per-label" else f"from a score of {thresholds[0]:.3g} on"
    assert shown in card


def test_training_ends_with_thresholds_of_the_best_model_and_resuming_finds_the_same(build, data, validation):
    every = dict.fromkeys(("eval_strategy", "save_strategy"), "epoch")
    kwargs = {**every, "num_train_epochs": 2, "learning_rate": 1e-2, "tune_thresholds": "per-label"}
    kwargs |= {"load_best_model_at_end": True, "metric_for_best_model": "loss"}
    trainer = build(make(), data, validation, **kwargs)
    trainer.train()
    found = trainer.model.config.task("tones").thresholds
    assert trainer.tuned_thresholds["tones"].thresholds == found
    alone = build(make(), data, validation)
    alone.model.load_state_dict(trainer.model.state_dict())
    assert alone.tune_thresholds()["tones"].thresholds == found
    resumed = build(make(seed=9), data, validation, **kwargs)
    folder = f"{trainer.args.output_dir}/checkpoint-6"
    resumed.train(resume_from_checkpoint=folder)
    assert resumed.model.config.task("tones").thresholds == found


_ON_RANKS = """
from tests.conftest import make_tokenizer
from tests.ranks import arguments, rank_and_folder, save
from tests.unit.heads.test_multi_label import Dataset, make, rows
from hf_mtl import MultiTaskTrainer

rank, folder = rank_and_folder()
data = {"talk": Dataset.from_dict(rows(37, 2))}
trainer = MultiTaskTrainer(make(), arguments(folder, per_device_eval_batch_size=4), None, data, make_tokenizer())
trainer.tune_thresholds()
save(rank, folder, trainer.model.config.task("tones").thresholds)
"""


def test_processes_find_the_thresholds_of_one_process(build, tmp_path):
    alone = build(make(), None, {"talk": Dataset.from_dict(rows(37, 2))}).tune_thresholds()["tones"].thresholds
    first, second = run_on_ranks(2, _ON_RANKS, tmp_path)
    assert first == second
    assert first == pytest.approx(alone, abs=1e-6)  # other rows share a batch


def test_labels_that_are_distributions_are_tuned_by_what_metrics_compare_with(build, data, validation):
    def soft(labels):
        return [0.9 if label in labels else 0.3 for label in LABELS]

    given = validation["talk"]
    votes = Dataset.from_dict({"text": given["text"], "tones": [soft(labels) for labels in given["tones"]]})
    certain, likely = (build(make(), data, {"talk": rows}).tune_thresholds()["tones"] for rows in (given, votes))
    assert likely == certain


def test_rows_without_a_label_and_other_tasks_are_left_out_of_tuning(build, data, validation):
    some = {"text": ["a film", "good"], "tones": [None, ["good"]], "topic": ["film", "song"]}
    evaluation = {
        **validation,
        "more": Dataset.from_dict(some),
        "other": Dataset.from_dict({k: some[k] for k in ("text", "topic")}),
    }
    trainer = build(make(TONES, TOPIC), data, evaluation, {"check_data": False})
    tuned = trainer.tune_thresholds()
    assert list(tuned) == ["tones"]
    assert tuned["tones"].rows == 41
    assert trainer.tune_thresholds("more")["tones"].rows == 1


@pytest.mark.parametrize(
    ("tasks", "evaluation", "words"),
    [
        ([TONES], None, "needs validation rows of the multi-label tasks 'tones', and there are none"),
        ([TONES, TOPIC], {"o": {"text": ["a"], "topic": ["film"]}}, "nor on test rows, which are to judge them"),
        ([TONES], {"o": {"text": ["a"], "tones": [None]}}, "needs validation rows of the multi-label tasks 'tones'"),
        ([TOPIC], None, "is for multi-label tasks, and there is none"),
    ],
)
def test_tuning_without_rows_to_tune_on_is_refused_before_training(build, tasks, evaluation, words):
    train = {
        "talk": Dataset.from_dict({"text": ["a"] * 8, tasks[-1].name: [["song"] if tasks[-1] is TONES else "song"] * 8})
    }
    evaluation = evaluation and {name: Dataset.from_dict(part) for name, part in evaluation.items()}
    with pytest.raises(ValueError, match=words):
        build(
            MultiTaskModel.from_encoder(tiny_encoder(), tasks),
            train,
            evaluation,
            {"check_data": False},
            tune_thresholds="global",
        )


def test_wrong_words_are_refused(build, data, validation):
    with pytest.raises(ValueError, match=r"tune_thresholds must be one of .*Did you mean 'per-label'"):
        MultiTaskTrainingArguments("out", tune_thresholds="per_label")
    trainer = build(make(), data, validation)
    with pytest.raises(ValueError, match="how must be 'per-label' or 'global', found 'micro'"):
        trainer.tune_thresholds(how="micro")
    with pytest.raises(ValueError, match="No row labels a multi-label task"):
        trainer.tune_thresholds({"x": Dataset.from_dict({"text": ["a"], "tones": [None]})})


def test_other_labels_and_merging_keep_each_labels_own_numbers():
    task = TaskConfig(
        *("tones", "multi-label-classification", LABELS),
        pos_weight=[1.0, 2.0, 3.0, 4.0],
        thresholds=[0.1, 0.2, 0.3, 0.4],
    )
    model = make(task)
    change_labels(model, "tones", ["fresh", "tune", "good"], renamed={"song": "tune"})
    changed = model.config.task("tones")
    assert (changed.pos_weight, changed.thresholds) == ((1.0, 3.0, 1.0), (0.5, 0.3, 0.1))
    other = MultiTaskModel.from_encoder(tiny_encoder(), [TOPIC])
    other.encoder.load_state_dict(model.encoder.state_dict())
    assert merge_models([model, other]).config.task("tones") == changed


# The command line


def test_recipe_tunes_on_validation_and_the_command_tunes_again(tmp_path, monkeypatch, encoder_folder):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for split, seed in (("train", 1), ("validation", 2), ("test", 3)):
        table = rows(40, seed)
        write_rows(
            tmp_path / f"{split}.jsonl",
            [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)],
        )
    files = {split: str(tmp_path / f"{split}.jsonl") for split in ("train", "validation", "test")}
    training = {"output_dir": str(tmp_path / "run"), "max_steps": 2, "precision": "float32", "use_cpu": True}
    values = {
        "encoder": str(encoder_folder),
        "datasets": {
            "talk": {"load": {"path": "json", "data_files": files}, "columns": {"text": "text", "tones": "tones"}}
        },
        "tasks": {"tones": {"type": "multi-label-classification", "labels": LABELS, "pos_weight": "balanced"}},
        "training": {**training, "learning_rate": 1e-2, "tune_thresholds": "per-label"},
    }
    recipe = write_recipe(tmp_path, values)

    def call(*arguments, code=0):
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert done.exit_code == code, done.output
        return done.output

    shown = call("train", recipe)
    assert "Thresholds of 'tones': " in shown
    assert "tuned on 40 validation rows (f1_micro " in shown
    assert "judge them by others, such as a test split" in shown
    config = json.loads((tmp_path / "run" / "config.json").read_text())["tasks"][0]
    assert len(config["thresholds"]) == len(config["pos_weight"]) == 4
    shown = call("tune", tmp_path / "run", recipe, "-o", tmp_path / "one", "--how", "global")
    assert "tuned on 40 validation rows" in shown
    one = json.loads((tmp_path / "one" / "config.json").read_text())["tasks"][0]
    assert isinstance(one["thresholds"], float)
    assert {**one, "thresholds": None} == {**config, "thresholds": None}
    assert "from a score of" in (tmp_path / "one" / "README.md").read_text()
    output = tmp_path / "scores.json"
    call("evaluate", tmp_path / "run", recipe, "--split", "test", "-o", output)
    expected = json.loads((tmp_path / "run" / "test_results.json").read_text())
    assert json.loads(output.read_text())["test_tones_f1_macro"] == pytest.approx(expected["test_tones_f1_macro"])
    (tmp_path / "in.jsonl").write_text('{"text": "a good song"}\n')
    call("predict", tmp_path / "run", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl")
    answer = json.loads((tmp_path / "out.jsonl").read_text())["tones"]
    by_label = dict(zip(LABELS, config["thresholds"], strict=True))
    assert all(a["score"] >= by_label[a["label"]] for a in answer)
    del files["validation"]
    values["datasets"]["talk"] |= {"load": {"path": "json", "data_files": files}, "validation_size": 0}
    shown = call("train", write_recipe(tmp_path, values), "--dry-run", code=2)
    assert "training.tune_thresholds: " in shown
    assert "nor on test rows" in shown
