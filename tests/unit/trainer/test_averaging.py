"""Averages of the weights: equal to a plain mean of each step's, scored, saved, resumed, and without cost when off."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from hf_mtl import MultiTaskModel, MultiTaskTrainingArguments, TaskConfig
from tests.encoders import tiny_encoder
from tests.ranks import run_on_ranks
from tests.trainers import TASKS

STEPS = 9
EMA = {"kind": "ema", "decay": 0.6}
TAIL = {"kind": "tail", "from": 0.5}
KINDS = pytest.mark.parametrize("average", [EMA, TAIL], ids=["ema", "tail"])


class Weights(TrainerCallback):
    """Keeps the weights before the training and after every step."""

    def __init__(self):
        self.after = {}

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self._note(state, model)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self._note(state, model)

    def _note(self, state, model):
        self.after[state.global_step] = {name: p.detach().clone() for name, p in model.named_parameters()}


def train(build, resume=None, **kwargs):
    seen = Weights()
    trainer = build(trainer_kwargs={"callbacks": [seen]}, **{"max_steps": STEPS, "save_strategy": "no", **kwargs})
    trainer.train(resume_from_checkpoint=resume)
    return trainer, seen.after


def reference(average, after, steps=STEPS):
    """Return the average in float64, by its definition."""
    names = after[0]
    if average["kind"] == "tail":
        first = math.floor(average["from"] * STEPS) + 1
        if steps < first:
            return after[steps]
        return {n: torch.stack([after[t][n].double() for t in range(first, steps + 1)]).mean(0) for n in names}
    found = {n: after[0][n].double() for n in names}
    for t in range(1, steps + 1):
        decay = min(average["decay"], (1 + t) / (10 + t))
        found = {n: decay * found[n] + (1 - decay) * after[t][n].double() for n in names}
    return found


def assert_close(model, expected):
    for name, value in model.items():
        assert torch.allclose(value.double(), expected[name].double(), atol=1e-6), name


def parameters(trainer):
    return {name: value.detach() for name, value in trainer.model.named_parameters()}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []


@KINDS
@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_model_ends_as_the_average_of_the_steps(build, average, accumulation):
    kwargs = {"gradient_accumulation_steps": accumulation, "learning_rate": 1e-3}
    trainer, after = train(build, average=average, **kwargs)
    assert_close(parameters(trainer), reference(average, after))
    _, plain = train(build, **kwargs)
    for step in plain:  # averaging changes no step
        assert_equal(after[step], plain[step])


def test_decay_0_and_a_tail_of_one_step_are_the_last_weights(build):
    for average in ({"kind": "ema", "decay": 0}, {"kind": "tail", "from": 0.99}):
        trainer, after = train(build, average=average)
        assert_equal(parameters(trainer), after[STEPS])


@KINDS
def test_resumed_from_any_step_steps_and_average_are_bit_equal(build, tmp_path, average):
    kwargs = {"average": average, "learning_rate": 1e-3}
    unbroken, expected = train(build, save_strategy="steps", save_steps=1, **kwargs)
    for step in (2, 4, 5, 9):
        again, after = train(build, str(tmp_path / "out" / f"checkpoint-{step}"), **kwargs)
        for each in after:
            assert_equal(after[each], expected[each])
        assert_equal(parameters(again), parameters(unbroken))


@KINDS
def test_a_checkpoint_is_the_model_that_was_scored(build, tmp_path, average, data):
    kwargs = {"eval_strategy": "steps", "eval_steps": 3, "save_strategy": "steps", "save_steps": 3}
    trainer, after = train(build, average=average, learning_rate=1e-3, **kwargs)
    losses = {log["step"]: log["eval_loss"] for log in trainer.state.log_history if "eval_loss" in log}
    for step in (3, 6, 9):
        model = MultiTaskModel.from_pretrained(tmp_path / "out" / f"checkpoint-{step}")
        assert_close(dict(model.named_parameters()), reference(average, after, step))
        assert build(model=model).evaluate()["eval_loss"] == pytest.approx(losses[step], abs=1e-6)
    trainer.save_model()
    saved = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(saved[name], value) for name, value in parameters(trainer).items() if name in saved)


def test_the_best_model_is_the_best_average(build, tmp_path):
    kwargs = {"eval_strategy": "steps", "eval_steps": 3, "save_strategy": "steps", "save_steps": 3}
    kwargs |= {"load_best_model_at_end": True, "metric_for_best_model": "loss", "learning_rate": 3e-2}
    trainer, after = train(build, average=EMA, **kwargs)
    best = int(trainer.state.best_model_checkpoint.rsplit("-", 1)[1])
    assert_close(parameters(trainer), reference(EMA, after, best))


@KINDS
def test_what_is_frozen_has_no_average_and_what_learns_later_has_the_right_one(build, average):
    trainer, _ = train(build, average=average, freeze_encoder=True, max_steps=6, save_strategy="steps", save_steps=6)
    held = load_file(f"{trainer.args.output_dir}/checkpoint-6/averaging.safetensors")
    assert held
    assert not [name for name in held if "encoder" in name]
    for at in (2, 7):
        trainer, after = train(build, average=average, freeze_encoder=True, unfreeze_at_step=at, learning_rate=1e-3)
        assert_close(parameters(trainer), reference(average, after))


def test_tied_heads_stay_one_and_buffers_are_the_last(build, data):
    tasks = [*TASKS, TaskConfig("temper", "sentiment", labels=["bad", "good"], tied_to="mood")]
    torch.manual_seed(5)
    model = MultiTaskModel.from_encoder(tiny_encoder(), tasks)
    trainer, after = train(build, model=model, average=TAIL, learning_rate=1e-3)
    mood, temper = (trainer.model.task_heads[name] for name in ("mood", "temper"))
    assert all(a is b for a, b in zip(mood.parameters(), temper.parameters(), strict=True))
    assert_close(parameters(trainer), reference(TAIL, after))


def test_thresholds_are_tuned_on_the_averaged_weights(build, data):
    tasks = [TaskConfig("topics", "multi-label-classification", labels=["film", "book"])]
    rows = data["sst"].map(lambda row: {"topics": [t for t in ("film", "book") if t in row["text"]]})
    model = MultiTaskModel.from_encoder(tiny_encoder(), tasks)
    rows = {"sst": rows.remove_columns("mood")}
    kwargs = {"train": rows, "evaluation": rows, "learning_rate": 3e-2}
    trainer, after = train(build, model=model, average=EMA, tune_thresholds="per-label", **kwargs)
    assert_close(parameters(trainer), reference(EMA, after))
    tuned = trainer.model.config.task("topics").thresholds
    trainer.tune_thresholds(how="per-label")
    assert trainer.model.config.task("topics").thresholds == tuned


def test_averages_are_kept_in_float32_where_weights_are_not(build, tmp_path):
    torch.manual_seed(5)
    model = MultiTaskModel.from_encoder(tiny_encoder(), TASKS).to(torch.bfloat16)
    kwargs = {"save_strategy": "steps", "save_steps": 3, "average": EMA, "model": model}
    train(build, max_steps=3, **kwargs)
    held = load_file(tmp_path / "out" / "checkpoint-3" / "averaging.safetensors")
    assert {str(v.dtype) for n, v in held.items() if n.startswith("average/")} == {"torch.float32"}
    assert {str(v.dtype) for n, v in held.items() if n.startswith("training/")} == {"torch.bfloat16"}


def test_a_checkpoint_of_the_model_alone_is_not_resumed(build, tmp_path):
    train(build, average=EMA, save_strategy="steps", save_steps=3, save_only_model=True)
    with (
        pytest.warns(UserWarning, match="no rng_state"),
        pytest.raises(ValueError, match=r"averaging\.safetensors is missing"),
    ):
        train(build, str(tmp_path / "out" / "checkpoint-3"), average=EMA)


def test_a_longer_training_begins_its_tail_later_or_is_refused(build, tmp_path):
    train(build, average=TAIL, save_strategy="steps", save_steps=3)  # the tail begins after step 4
    trainer, after = train(build, str(tmp_path / "out" / "checkpoint-9"), average=TAIL, max_steps=20)
    expected = {n: torch.stack([after[t][n].double() for t in range(11, 21)]).mean(0) for n in after[20]}
    assert_close(parameters(trainer), expected)
    with pytest.raises(ValueError, match="mean from step 4 on, and with 11 steps in all it would begin at step 5"):
        train(build, str(tmp_path / "out" / "checkpoint-6"), average=TAIL, max_steps=11)


def test_a_second_training_begins_a_new_average(build):
    trainer, _ = train(build, average=TAIL)
    seen = Weights()
    trainer.add_callback(seen)
    trainer.train()
    assert_close(parameters(trainer), reference(TAIL, seen.after))


def test_options_are_listed_in_full_and_read_from_json():
    args = MultiTaskTrainingArguments("out", average='{"kind": "tail"}', use_cpu=True)
    assert args.average == {"kind": "tail", "from": 0.67}
    assert json.loads(args.to_json_string())["average"] == args.average


@pytest.mark.parametrize(
    ("average", "words"),
    [
        ({"decay": 0.9}, "kind must be one of 'ema', 'tail', found None"),
        ({"kind": "emma"}, "Did you mean 'ema'"),
        ({"kind": "ema", "from": 0.5}, "no option 'from'"),
        ({"kind": "tail", "decay": 0.5}, "no option 'decay'"),
        ({"kind": "ema", "decay": 1}, "below 1"),
        ({"kind": "ema", "decay": -0.1}, "at least 0"),
        ({"kind": "ema", "decay": float("nan")}, "decay must be a number"),
        ({"kind": "tail", "from": 1}, "below 1"),
        ({"kind": "tail", "from": "0.5"}, "from must be a number"),
        ("ema", "not valid JSON"),
    ],
)
def test_a_wrong_option_is_refused(average, words):
    with pytest.raises(ValueError, match=words):
        MultiTaskTrainingArguments("out", average=average, use_cpu=True)


def test_an_optimizer_that_averages_by_itself_is_refused(build):
    with pytest.raises(ValueError, match="schedule-free optimizers average by themselves"):
        build(average=EMA, optim="schedule_free_sgd")


_SCRIPT = """
from tests.ranks import rank_and_folder, save
from tests.unit.trainer.test_averaging import on_ranks

rank, folder = rank_and_folder()
save(rank, folder, on_ranks(folder))
"""


def on_ranks(folder):
    """Train four steps of the same rows, cut by however many ranks there are."""
    from hf_mtl import MultiTaskTrainer
    from tests.conftest import make_tokenizer
    from tests.trainers import make_data, model_without_dropout

    args = {"use_cpu": True, "disable_tqdm": True, "precision": "float32", "max_steps": 4, "save_strategy": "no"}
    args = MultiTaskTrainingArguments(str(folder), average=EMA, batching="mixed", optim="sgd", **args)
    args.per_device_train_batch_size = 8 // args.world_size
    trainer = MultiTaskTrainer(model_without_dropout().double(), args, make_data(), None, make_tokenizer())
    trainer.train()
    return parameters(trainer)


def test_two_ranks_end_with_the_average_of_one(tmp_path):
    one = on_ranks(tmp_path / "one")
    for found in run_on_ranks(2, _SCRIPT, tmp_path, allowed="did not find any unused parameters"):
        for name, value in found.items():
            assert torch.allclose(value, one[name], rtol=1e-7, atol=1e-9), name
