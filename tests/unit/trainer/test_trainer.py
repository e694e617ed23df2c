import dataclasses
import itertools

import pytest
import torch
from datasets import ClassLabel, Dataset
from transformers import EarlyStoppingCallback, TrainerCallback

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig
from tests.encoders import tiny_encoder
from tests.ranks import launch_on_ranks, run_on_ranks
from tests.trainers import TASKS


class Gradients(TrainerCallback):
    """Keeps the gradients of the first optimizer step."""

    def __init__(self):
        self.first = None

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        if self.first is None:
            self.first = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def gradients_of(build, batch_size, accumulation, **kwargs):
    keeper = Gradients()
    model = MultiTaskModel.from_encoder(tiny_encoder(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0), TASKS)
    trainer = build(
        model.double(),
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=accumulation,
        max_steps=1,
        max_grad_norm=0.0,
        trainer_kwargs={"callbacks": [keeper]},
        **kwargs,
    )
    trainer.train()
    loss = next(log["loss"] for log in trainer.state.log_history if "loss" in log)
    return keeper.first, loss


# The loss does not depend on how the batch was cut


@pytest.mark.parametrize("batching", ["mixed", "homogeneous"])
def test_gradient_is_the_same_however_the_batch_is_cut(build, batching):
    whole, whole_loss = gradients_of(build, 32, 1, batching=batching)
    cut, cut_loss = gradients_of(build, 8, 4, batching=batching)
    assert set(whole) == set(cut)
    for name, expected in whole.items():
        error = (cut[name] - expected).norm() / expected.norm().clamp(min=1e-12)
        assert error < 1e-6 or expected.norm() < 1e-12, (name, float(error))
    assert cut_loss == pytest.approx(whole_loss, rel=1e-6)


def test_gradient_equals_a_hand_written_step(build, data, tokenizer):
    found, _ = gradients_of(build, 32, 1)
    torch.manual_seed(5)
    model = MultiTaskModel.from_encoder(tiny_encoder(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0), TASKS)
    trainer = build(model.double(), per_device_train_batch_size=32)
    batch = next(iter(trainer.get_train_dataloader()))
    batch = {name: batch[name] for name in ("input_ids", "token_type_ids", "attention_mask", "labels", "rows")}
    loss = 0.0
    for name, labels in batch["labels"].items():
        logits = model(**{k: v for k, v in batch.items() if k != "labels"}).logits[name]
        if name == "slots":
            kept = labels != -100
            term = torch.nn.functional.cross_entropy(logits[kept], labels[kept])
        elif name == "similarity":
            task = model.config.task(name)
            term = ((logits[:, 0] - (labels - task.target_mean) / task.target_std) ** 2).mean()
        else:
            term = torch.nn.functional.cross_entropy(logits, labels)
        loss = loss + term * len(labels) / 32
    loss.backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(found[name], parameter.grad, rtol=1e-6, atol=1e-9)


def test_last_short_step_is_divided_by_its_own_items(build):
    # 48 rows in batches of 10: the fifth has 8 rows; accumulated by 2, the third step is that batch alone.
    trainer = build(per_device_train_batch_size=10, gradient_accumulation_steps=2)
    trainer.train()
    logs = [log for log in trainer.state.log_history if "loss" in log]
    assert len(logs) == 3
    for log in logs:
        by_task = {name: log[f"loss/{name}"] for name in ("intent", "slots", "mood", "similarity")}
        rows = {"intent": log["rows/snips"], "slots": log["rows/snips"], "mood": log["rows/sst"]}
        rows["similarity"] = log["rows/sts"]
        total = log["rows/snips"] + log["rows/sst"] + log["rows/sts"]
        # The log keeps the float32 sum of the micro-batches.
        assert log["loss"] == pytest.approx(sum(by_task[n] * rows[n] / total for n in rows), rel=1e-4)


# Sampling


def test_every_row_is_drawn_once_an_epoch(build, data):
    trainer = build()
    rows = [row for batch in trainer.get_train_dataloader().batch_sampler for row in batch]
    assert sorted(rows) == list(range(sum(map(len, data.values()))))


def test_rows_drawn_are_logged_for_each_dataset(build, data):
    trainer = build()
    trainer.train()
    logs = [log for log in trainer.state.log_history if "loss" in log]
    for name, part in data.items():
        assert sum(log[f"rows/{name}"] for log in logs) == len(part)


def test_batches_do_not_depend_on_global_random_state_or_workers(build):
    def seen(**kwargs):
        trainer = build(**kwargs)
        torch.manual_seed(len(kwargs))
        batches = itertools.islice(iter(trainer.get_train_dataloader()), 3)
        return [batch["input_ids"].tolist() for batch in batches]

    assert seen() == seen(dataloader_num_workers=1)


def test_drop_last_is_honoured(build):
    trainer = build(per_device_train_batch_size=10, dataloader_drop_last=True)
    assert len(trainer.get_train_dataloader()) == 4


def test_homogeneous_batches_train_one_dataset_at_a_time(build):
    trainer = build(batching="homogeneous")
    for batch in trainer.get_train_dataloader():
        assert len(set(batch["datasets"])) == 1


def test_resuming_equals_not_stopping(build, tmp_path):
    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step == 8

    whole = build(num_train_epochs=2, save_steps=8)
    whole.train()
    stopped = build(num_train_epochs=2, save_steps=8, trainer_kwargs={"callbacks": [Stop()]})
    stopped.train()
    resumed = build(num_train_epochs=2, save_steps=8)
    resumed.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-8"))
    for (name, one), two in zip(whole.model.named_parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, two), name


def test_second_training_starts_from_the_first(build):
    trainer = build()
    trainer.train()
    middle = [p.clone() for p in trainer.model.parameters()]
    trainer.train()
    assert any(not torch.equal(one, two) for one, two in zip(middle, trainer.model.parameters(), strict=True))
    first_logs = [log for log in trainer.state.log_history if "loss" in log]
    assert first_logs[0]["rows/snips"] <= 8


_RANKS = """
import torch

from hf_mtl import MultiTaskTrainer
from tests.conftest import make_tokenizer
from tests.ranks import arguments, rank_and_folder, save
from tests.trainers import make_data, model_without_dropout

rank, folder = rank_and_folder()
model = model_without_dropout()
args = arguments(
    folder, per_device_train_batch_size=SIZE, max_steps=4, per_device_eval_batch_size=5, learning_rate=1e-3,
    optim="sgd", max_grad_norm=0.0,
)
trainer = MultiTaskTrainer(model, args, make_data(), make_data(), make_tokenizer())
trainer.train()
# 48 rows in batches of 5: one rank has a batch more than the other.
scores = {k: v for k, v in trainer.evaluate().items() if "per_second" not in k and "runtime" not in k}
answers = [a["similarity"]["value"] for a in trainer.predict({"sts": make_data()["sts"]}).predictions["sts"]]
scores.update({f"answer{i}": value for i, value in enumerate(answers)})
save(rank, folder, ({n: p.detach().clone() for n, p in model.named_parameters()}, scores))
"""


def test_two_processes_of_accelerate_launch_train_as_one_with_twice_the_batch(tmp_path):
    (alone, alone_scores), *_ = run_on_ranks(1, _RANKS.replace("SIZE", "12"), tmp_path)
    (shared, shared_scores), *_ = launch_on_ranks(2, _RANKS.replace("SIZE", "6"), tmp_path)
    for name, value in alone.items():
        torch.testing.assert_close(shared[name], value, rtol=1e-4, atol=1e-6)
    assert shared_scores == {name: pytest.approx(value, rel=1e-3) for name, value in alone_scores.items()}


# Evaluation


def test_scores_equal_a_loop_over_single_rows(build, data, tokenizer):
    from seqeval.metrics import f1_score

    # Each word by itself, as in the loop below.
    slots = dataclasses.replace(TASKS[1], options={"constrained_decoding": False})
    trainer = build(MultiTaskModel.from_encoder(tiny_encoder(), [TASKS[0], slots, *TASKS[2:]]))
    scores = trainer.evaluate()
    model = trainer.model.eval()
    right, tags, gold = 0, [], []
    for row in data["snips"]:
        encoded = tokenizer(row["tokens"], is_split_into_words=True, return_tensors="pt")
        with torch.no_grad():
            logits = model(**encoded).logits
        right += TASKS[0].labels[int(logits["intent"].argmax())] == row["intent"]
        ids = encoded.word_ids()
        firsts = [ids.index(i) for i in range(len(row["tokens"]))]
        tags.append([TASKS[1].labels[int(logits["slots"][0, i].argmax())] for i in firsts])
        gold.append(row["slots"])
    assert scores["eval_intent_accuracy"] == pytest.approx(right / len(data["snips"]))
    assert scores["eval_slots_f1"] == pytest.approx(float(f1_score(gold, tags)))


def test_score_is_the_mean_of_the_main_metrics(build):
    scores = build().evaluate()
    main = ["eval_intent_accuracy", "eval_slots_f1", "eval_mood_accuracy", "eval_similarity_pearson"]
    assert scores["eval_score"] == pytest.approx(sum(scores[name] for name in main) / 4)


def test_truncated_words_are_counted_as_outside(build, data):
    scores = build(max_length=4).evaluate({"snips": data["snips"]})
    cities = sum(tag != "O" for row in data["snips"]["slots"] for tag in row)
    assert scores["eval_slots_city_support"] == cities


def test_words_without_a_token_count_as_wrong_for_plain_tags(build, tokenizer):
    tasks = [TaskConfig("pos", "token-classification", labels=["NOUN", "VERB"])]
    model = MultiTaskModel.from_encoder(tiny_encoder(), tasks)
    data = Dataset.from_dict({"tokens": [["\ufffd"], ["\ufffd", "\ufffd"]], "pos": [["NOUN"], ["VERB", "NOUN"]]})
    assert build(model, {"d": data}, {"d": data}).evaluate()["eval_pos_accuracy"] == 0


def test_own_metrics_take_the_place_of_the_types(build):
    def misses(predictions, references):
        return sum(p != r for p, r in zip(predictions, references, strict=True))

    tasks = [*TASKS[:2], TaskConfig("mood", "sentiment", labels=["bad", "good"], main_metric="misses"), TASKS[3]]
    model = MultiTaskModel.from_encoder(tiny_encoder(), tasks)
    scores = build(model, trainer_kwargs={"metrics": {"mood": [misses, "accuracy"]}}).evaluate()
    assert scores["eval_mood_misses"] == 16 * (1 - scores["eval_mood_accuracy"])


def test_metric_that_does_not_fit_is_refused_before_training(build):
    with pytest.raises(ValueError, match="Task 'slots': metric 'pearson' does not fit"):
        build(trainer_kwargs={"metrics": {"slots": ["pearson"]}})


def test_one_task_in_two_datasets_is_scored_over_all_its_rows(build, data):
    half = {"a": data["sst"].select(range(4)), "b": data["sst"].select(range(4, 16))}
    trainer = build()
    assert trainer.evaluate(half)["eval_mood_accuracy"] == trainer.evaluate({"c": data["sst"]})["eval_mood_accuracy"]


def test_predictions_are_answers_in_the_order_of_the_rows(build, data):
    trainer = build(per_device_eval_batch_size=3)
    output = trainer.predict({"sst": data["sst"].remove_columns("mood")})
    assert output.metrics is None
    assert len(output.predictions["sst"]) == 16
    first = output.predictions["sst"][0]
    assert set(first) == {"intent", "slots", "mood", "similarity"}
    assert -1 <= first["mood"]["polarity"] <= 1
    alone = trainer.predict({"x": data["sst"].select([7])}).predictions["x"][0]
    assert alone["mood"]["label"] == output.predictions["sst"][7]["mood"]["label"]
    assert alone["similarity"]["value"] == pytest.approx(output.predictions["sst"][7]["similarity"]["value"], rel=1e-4)


def test_predicting_scores_as_evaluating_does_and_runs_the_encoder_once_a_batch(build, data):
    trainer = build(per_device_eval_batch_size=5)
    # Some rows of one dataset have no label, so that heads answer rows that they are not scored on.
    data = {**data, "sst": data["sst"].remove_columns("mood").add_column("mood", ["good", None, "bad", None] * 4)}
    evaluated = trainer.evaluate(data)
    passes = []
    trainer.model.encoder.register_forward_hook(lambda *_: passes.append(1))
    output = trainer.predict(data)
    assert len(passes) == -(-sum(map(len, data.values())) // 5)
    assert {name: len(part) for name, part in data.items()} == {n: len(a) for n, a in output.predictions.items()}
    for key, value in evaluated.items():
        if not key.endswith(("runtime", "per_second", "epoch")):
            assert output.metrics[key.replace("eval_", "test_", 1)] == pytest.approx(value, rel=1e-5), key


def test_evaluation_lists_no_row_numbers(build, data):
    batches = build(per_device_eval_batch_size=3).get_eval_dataloader().batch_sampler
    assert all(isinstance(batch, range) for batch in batches)
    assert [row for batch in batches for row in batch] == list(range(sum(map(len, data.values()))))


def test_class_labels_in_another_order_give_the_same_scores(build, data):
    def with_order(names):
        return {"sst": data["sst"].cast_column("mood", ClassLabel(names=names))}

    trainer = build()
    one, two = (trainer.evaluate(with_order(names)) for names in (["bad", "good"], ["good", "bad"]))
    assert {k: v for k, v in one.items() if "mood" in k} == {k: v for k, v in two.items() if "mood" in k}


def test_regression_is_learned_in_standard_deviations_and_answered_in_its_own_unit(build, data):
    trainer = build()
    trainer.train()
    task = trainer.model.config.task("similarity")
    values = torch.tensor(data["sts"]["similarity"], dtype=torch.float64)
    assert task.target_mean == pytest.approx(float(values.mean()))
    assert task.target_std == pytest.approx(float(values.std(correction=0)))
    answers = trainer.predict({"sts": data["sts"]}).predictions["sts"]
    assert all(abs(answer["similarity"]["value"] - task.target_mean) < 3 * task.target_std for answer in answers)


def test_best_model_and_early_stopping_follow_the_score(build):
    trainer = build(
        num_train_epochs=3,
        learning_rate=0.0,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        save_total_limit=1,
        trainer_kwargs={"callbacks": [EarlyStoppingCallback(1)]},
    )
    trainer.train()
    # Nothing is learned at rate 0, so the second epoch is no better and training ends.
    assert trainer.state.epoch == 2
    assert trainer.state.best_metric == pytest.approx(trainer.evaluate()["eval_score"])


def test_saved_checkpoint_loads_with_its_tokenizer(build, tmp_path):
    trainer = build()
    trainer.train()
    trainer.save_model(str(tmp_path / "final"))
    loaded = MultiTaskModel.from_pretrained(tmp_path / "final")
    assert (tmp_path / "final" / "tokenizer.json").exists()
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), trainer.model.parameters(), strict=True))


def test_heads_and_layers_have_their_own_rates(build):
    trainer = build(learning_rate=1e-3, head_learning_rate=5e-3, encoder_layer_decay=0.5)
    groups = trainer.create_optimizer().param_groups
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    named = dict(trainer.model.named_parameters())
    assert len(rates) == len(named)
    assert rates[id(named["heads.mood.classifier.stock.classifier.weight"])] == 5e-3
    assert rates[id(named["heads.mood.classifier.pooler.dense.weight"])] == 1e-3
    assert rates[id(named["encoder.encoder.layer.1.output.dense.weight"])] == 1e-3
    assert rates[id(named["encoder.encoder.layer.0.output.dense.weight"])] == 5e-4
    assert rates[id(named["encoder.embeddings.word_embeddings.weight"])] == 2.5e-4
    assert {id(p) for g in groups if g["weight_decay"] == 0 for p in g["params"]} >= {
        id(p) for n, p in named.items() if n.endswith("LayerNorm.bias")
    }


def test_summary_says_what_will_be_trained(build):
    first = build().summary()[0]
    assert (first["dataset"], first["rows"], first["share"]) == ("snips", 24, 0.5)
    assert [task["name"] for task in first["tasks"]] == ["intent", "slots"]


def test_summary_is_printed_above_the_progress_bar(build, capsys):
    trainer = build(max_steps=1)
    trainer.args.disable_tqdm = False
    trainer.train()
    lines = capsys.readouterr().err.splitlines()
    assert any(line.split()[:4] == ["snips", "24", "50.0%", "intent"] for line in lines)


def test_callers_datasets_and_arguments_are_not_changed(build, data):
    columns = {name: part.column_names for name, part in data.items()}
    trainer = build()
    trainer.train()
    assert {name: part.column_names for name, part in data.items()} == columns


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"trainer_kwargs": {"metrics": {"moood": ["f1"]}}}, KeyError, "Did you mean 'mood'"),
        ({"train": {"x": Dataset.from_dict({"text": ["a"], "label": ["b"]})}}, ValueError, "Dataset 'x'"),
        ({"max_length": 900}, ValueError, "max_length must lie between 3 and 64"),
    ],
)
def test_mistakes_are_found_when_the_trainer_is_built(build, change, error, words):
    with pytest.raises(error, match=words):
        build(**change)


def test_missing_tokenizer_and_wrong_arguments_say_what_to_pass(tmp_path):
    model = MultiTaskModel.from_encoder(tiny_encoder(), TASKS)
    with pytest.raises(ValueError, match="processing_class=AutoTokenizer"):
        MultiTaskTrainer(model, MultiTaskTrainingArguments(str(tmp_path)))
    from transformers import TrainingArguments

    with pytest.raises(TypeError, match="MultiTaskTrainingArguments"):
        MultiTaskTrainer(model, TrainingArguments(str(tmp_path)))
