"""The trainer's side of balancing: arguments, refusals, logs, scales, cosines, processes."""

import json
import math

import pytest
import torch

from hf_mtl import MultiTaskTrainingArguments, TaskConfig
from hf_mtl.balancers import Balancer, CosineSketches
from tests.balancing import EVEN, OPTIONS, gradients, trained
from tests.ranks import run_on_ranks
from tests.trainers import TASKS, make_data, model_without_dropout


def test_options_are_a_mapping_or_its_json(tmp_path):
    given = MultiTaskTrainingArguments(str(tmp_path), balancing="dwa", balancing_options='{"temperature": 3}')
    assert given.balancing_options == {"temperature": 3}


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"balancing": "dwwa"}, "Did you mean 'dwa'"),
        ({"balancing": "dwa", "balancing_options": {"temprature": 1}}, "Did you mean 'temperature'"),
        ({"balancing": "dwa", "balancing_options": {"temperature": 0}}, "temperature must be a number above 0"),
        ({"balancing": "dwa", "balancing_options": "{temperature"}, "balancing_options is not valid JSON"),
        ({"balancing": "fixed", "balancing_options": {"x": 1}}, "no option 'x'. Options: none"),
        ({"loss_scaling": "log"}, "loss_scaling must be one of"),
        ({"gradient_cosine_steps": 0}, "at least 1"),
        ({"head_learning_rate": "a lot"}, "a mapping from tasks to numbers"),
        ({"head_learning_rate": {"mood": -1.0}}, "'mood' must be a number of at least 0, found -1.0"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, kwargs, words):
    with pytest.raises(ValueError, match=words):
        MultiTaskTrainingArguments(str(tmp_path), **kwargs)


@pytest.mark.parametrize("method", ["famo", "geometric", "gradient"])
def test_steps_of_one_dataset_are_refused_where_the_method_needs_all_tasks(build, method):
    with pytest.raises(ValueError, match=r"'sts' label only some.*Set batching='mixed'"):
        build(balancing=method, batching="homogeneous")
    jointly = {"snips": make_data()["snips"]}
    unchecked = {"check_data": False}  # of tasks without rows
    build(None, jointly, None, unchecked, balancing=method, batching="homogeneous")


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"torch_compile": True}, "torch_compile=False"),
        ({"balancing_options": {"aggregator": "modo"}}, "gradient_accumulation_steps to at least 2, found 1"),
        ({"balancing_options": {"aggregator": "upgrad", "pref_vector": {"moods": 1}}}, "Did you mean 'mood'"),
    ],
)
def test_what_gradient_methods_cannot_serve_is_refused(build, kwargs, words):
    with pytest.raises(ValueError, match=words):
        build(balancing="gradient", **kwargs)


@pytest.mark.parametrize(("batching", "method"), [("homogeneous", "dwa"), ("mixed", "famo"), ("mixed", "gradient")])
def test_weights_are_logged_beside_losses(tmp_path, batching, method):
    trainer, _ = trained(tmp_path, balancing=method, batching=batching, max_steps=4, logging_steps=4)
    log = trainer.state.log_history[0]
    tasks = {key.partition("/")[2] for key in log if key.startswith("loss/")}
    assert tasks == {key.partition("/")[2] for key in log if key.startswith("weight/")} == set(EVEN)


class Halving(Balancer):
    """A user's own: halves every weight each step, and notes the steps that it saw."""

    observes_losses = True

    def __init__(self):
        self.seen = []

    def begin(self, tasks):
        return {"factor": 1.0}

    def relative_weights(self, step):
        return dict.fromkeys(step.shares, step.state["factor"])

    def learn(self, step):
        self.seen.append(step)
        return {"factor": step.state["factor"] / 2}


def test_a_balancer_of_ones_own(tmp_path):
    balancer = Halving()
    kwargs = {"trainer_kwargs": {"balancer": balancer}, "per_device_train_batch_size": 24}
    trainer, _ = trained(tmp_path, save_strategy="steps", save_steps=2, max_steps=4, **kwargs)
    logs = [log for log in trainer.state.log_history if "loss" in log]
    assert [log["weight/mood"] for log in logs] == [0.25, 0.125, 0.0625, 0.03125]
    assert [step.number for step in balancer.seen] == [0, 1, 2, 3]
    assert [step.epoch for step in balancer.seen] == [0, 0, 1, 1]
    assert [set(step.shares) for step in balancer.seen] == [set(EVEN)] * 4
    for step, log in zip(balancer.seen, logs, strict=True):
        assert step.losses["mood"] == pytest.approx(log["loss/mood"], rel=1e-6)
    saved = json.loads((tmp_path / "out" / "checkpoint-2" / "balancer.json").read_text())
    assert saved == {"balancer": "Halving", "tasks": [task.name for task in TASKS], "state": {"factor": 0.25}}
    trainer.train()  # a second training starts from scratch
    assert balancer.seen[4].number == 0
    assert balancer.seen[4].state == {"factor": 1.0}


def test_a_balancer_knows_the_rows_of_each_task(tmp_path):
    balancer, data = Halving(), make_data()
    data["more"] = data["sst"]  # labels mood, too
    options = {"trainer_kwargs": {"balancer": balancer}, "sampling_options": {"max_rows": {"sst": 10}}}
    trained(tmp_path, data=data, max_steps=1, **options)
    found = {task.name: task.rows for task in balancer.seen[0].tasks}
    assert found == {"intent": 24, "slots": 24, "mood": 10 + 16, "similarity": 8}


def test_a_checkpoint_of_another_balancer_is_refused(tmp_path):
    trained(tmp_path, balancing="dwa", save_strategy="steps", save_steps=2)
    checkpoint = str(tmp_path / "out" / "checkpoint-2")
    with pytest.raises(ValueError, match=r"balancing is .*Uncertainty.*, was .*DynamicWeightAverage"):
        trained(tmp_path, checkpoint, balancing="uncertainty")


def test_a_weight_that_is_no_number_is_named(tmp_path):
    class Wrong(Halving):
        def relative_weights(self, step):
            return dict.fromkeys(step.shares, float("nan"))

    with pytest.raises(ValueError, match=r"Wrong\.weights gave nan for task 'intent' in step 0"):
        trained(tmp_path, trainer_kwargs={"balancer": Wrong()})


# Scales


def test_log_classes_makes_all_tasks_start_at_about_1(tmp_path):
    topics = TaskConfig("topics", "sequence-classification", labels=["a", "b", "c"],
                        problem_type="multi_label_classification")  # fmt: skip
    balancer = Halving()
    data = make_data()
    data["sst"] = data["sst"].add_column("topics", [["a"], ["b", "c"]] * 8)
    kwargs = {
        "trainer_kwargs": {"balancer": balancer},
        "per_device_train_batch_size": 48,
        "loss_scaling": "log_classes",
    }
    model = model_without_dropout([*TASKS, topics], initializer_range=1e-4)
    trainer, _ = trained(tmp_path, data=data, model=model, max_steps=1, **kwargs)
    scaled, log = balancer.seen[0].losses, trainer.state.log_history[0]
    assert scaled == pytest.approx(dict.fromkeys(scaled, 1.0), abs=0.02)
    assert log["loss/intent"] == pytest.approx(math.log(3), abs=0.02)
    assert log["weight/intent"] == pytest.approx(1 / 5 / math.log(3))
    assert log["weight/topics"] == pytest.approx(1 / 5 / math.log(2))


def test_heads_learn_at_the_rates_of_their_tasks(build):
    trainer = build(head_learning_rate={"mood": 1e-2, "slots": 0.0}, learning_rate=1e-4)
    optimizer = trainer.create_optimizer()
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    heads = trainer.model.task_heads
    found = {name: rates[id(head.classifier.stock.classifier.weight)] for name, head in heads.items()}
    assert found == pytest.approx({"intent": 1e-3, "slots": 0.0, "mood": 1e-2, "similarity": 1e-3})


def test_a_rate_of_an_unknown_task_is_refused(build):
    with pytest.raises(ValueError, match=r"head_learning_rate names 'moods'.*Did you mean 'mood'"):
        build(head_learning_rate='{"moods": 1e-2}')


# Cosines


def test_sketched_cosines_are_those_of_the_gradients():
    torch.manual_seed(0)
    one = torch.randn(300_000)
    vectors = {"a": one, "b": one + torch.randn(300_000), "c": torch.randn(300_000), "d": -one}
    sketches = CosineSketches(seed=2)
    sketches.set({name: sketches.sketch([v[:1000], None, v[1000:]]) for name, v in vectors.items()})
    for (first, second), found in sketches.cosines().items():
        exact = torch.cosine_similarity(vectors[first], vectors[second], dim=0)
        assert found == pytest.approx(float(exact), abs=4 * 0.0055)


def test_sketches_add_up():
    sketches, parts = CosineSketches(seed=2), torch.randn(2, 500)
    whole = sketches.sketch([parts.sum(0)])
    torch.testing.assert_close(sketches.sketch([parts[0]]) + sketches.sketch([parts[1]]), whole)


@pytest.mark.parametrize("batching", ["mixed", "homogeneous"])
def test_cosines_of_tasks_are_logged(tmp_path, batching):
    # 6 steps of one dataset each: three, two and one.
    kwargs = {"batching": batching, "gradient_cosine_steps": 1, "max_steps": 6, "logging_steps": 6}
    trainer, compared = trained(tmp_path, **kwargs)
    cosines = {k: v for k, v in trainer.state.log_history[0].items() if k.startswith("gradient_cosine/")}
    assert len(cosines) == 6
    assert all(-1.001 <= value <= 1.001 for value in cosines.values())
    _, plain = trained(tmp_path, **{**kwargs, "gradient_cosine_steps": None})
    assert all(map(torch.equal, compared.weights[6], plain.weights[6]))


def test_logged_cosines_are_those_of_the_tasks_own_gradients(tmp_path):
    kwargs = {"max_steps": 1, "per_device_train_batch_size": 24, "max_grad_norm": 0.0}
    cut = {**kwargs, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 3}
    logs = [trained(tmp_path, gradient_cosine_steps=1, **k)[0].state.log_history[0] for k in (kwargs, cut)]

    def own(name):
        class Only(Halving):
            def relative_weights(self, step):
                return {task: float(task == name) for task in step.shares}

        found = trained(tmp_path, trainer_kwargs={"balancer": Only()}, **kwargs)[1].found[0]
        return torch.cat([g.flatten() for n, g in sorted(found.items()) if n.startswith("encoder.")])

    exact = float(torch.cosine_similarity(own("slots"), own("mood"), dim=0))
    for log in logs:
        assert log["gradient_cosine/slots/mood"] == pytest.approx(exact, abs=4 * 0.0055)


# Several processes

METHODS = ["equal", "uncertainty", "dwa", "famo", "random", "geometric", "gradient"]
_SCRIPT = """
from tests.balancing import OPTIONS, gradients
from tests.ranks import rank_and_folder, save
from tests.unit.trainer.test_balancing import METHODS

rank, folder = rank_and_folder()
save(rank, folder, {
    (method, size): gradients(
        folder, size, 16 // size, balancing=method, balancing_options=OPTIONS.get(method), max_steps=2
    )
    for method in METHODS for size in (16, 8)
})
"""


@pytest.fixture(scope="module")
def on_two_ranks(tmp_path_factory):
    # Each step has rows of all tasks on both, on which torch remarks.
    known = "did not find any unused parameters"
    return run_on_ranks(2, _SCRIPT, tmp_path_factory.mktemp("ranks"), allowed=known, seconds=900)


@pytest.mark.parametrize("method", METHODS)
def test_two_ranks_make_the_steps_of_one(on_two_ranks, method, tmp_path):
    whole = gradients(tmp_path, 32, 1, balancing=method, balancing_options=OPTIONS.get(method), max_steps=2)
    for rank in on_two_ranks:
        for size in (16, 8):
            for number, (found, expected) in enumerate(zip(rank[method, size], whole, strict=True)):
                assert set(found) == set(expected)
                for name, value in expected.items():
                    error = float((found[name] - value).norm() / value.norm().clamp(min=1e-12))
                    assert error <= 1e-6 or value.norm() < 1e-10, (size, number, name, error)
