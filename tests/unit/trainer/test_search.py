"""Searches: every trial trains with its own arguments, and the trainer is afterwards what it was."""

import copy

import pytest
import torch
from transformers.trainer_utils import HPSearchBackend

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, UserError
from hf_mtl.trainer._search import trial_space
from tests.encoders import tiny_encoder
from tests.trainers import TASKS, make_data

optuna = pytest.importorskip("optuna")
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def new_model(trial=None):
    torch.manual_seed(5)
    return MultiTaskModel.from_encoder(tiny_encoder(num_hidden_layers=1), TASKS)


@pytest.fixture
def trainer(tmp_path, tokenizer):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    arguments = MultiTaskTrainingArguments(
        str(tmp_path / "out"),
        max_steps=2,
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="no",
        per_device_train_batch_size=8,
        precision="float32",
        use_cpu=True,
        disable_tqdm=True,
    )
    data = make_data()
    return MultiTaskTrainer(None, arguments, data, data, tokenizer, model_init=new_model)


def search(trainer, values, n_trials=None, **kwargs):
    """Try each of some values of an argument once."""
    (name, choices) = values
    sampler = optuna.samplers.GridSampler({name: choices})
    return trainer.hyperparameter_search(
        lambda trial: {name: trial.suggest_categorical(name, choices)},
        n_trials=n_trials or len(choices),
        backend="optuna",
        sampler=sampler,
        **kwargs,
    )


#: None of the values is what the trainer has: one that a trial ignored would show.
SPACES = {
    "sampling": ["uniform", "bandit"],
    "balancing": ["equal", "uncertainty"],
    "batching": ["mixed"],
    "learning_rate": [1e-4, 1e-2],
    "head_learning_rate": [1e-4, 1e-2],
    "freeze_encoder": [True],
    "per_device_train_batch_size": [4],
}


@pytest.mark.parametrize("name", SPACES)
def test_every_trial_equals_a_training_with_its_argument(trainer, tmp_path, tokenizer, name):
    best = search(trainer, (name, SPACES[name]))
    assert best.hyperparameters.keys() == {name}
    assert trainer.args.sampling == "proportional"
    value = best.hyperparameters[name]
    assert getattr(trainer.args, name) != value
    arguments = MultiTaskTrainingArguments(
        str(tmp_path / "alone"),
        max_steps=2,
        save_strategy="no",
        precision="float32",
        use_cpu=True,
        disable_tqdm=True,
        **{"per_device_train_batch_size": 8, name: value},
    )
    data = make_data()
    alone = MultiTaskTrainer(None, arguments, data, data, tokenizer, model_init=new_model)
    alone.train()
    assert alone.evaluate()["eval_score"] == pytest.approx(best.objective, abs=1e-6)


def test_trials_with_low_scores_are_pruned(trainer):
    pruned = []

    class Pruner(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            pruned.append(trial.number)
            return trial.number > 0

    search(trainer, ("learning_rate", [1e-4, 1e-3, 1e-2]), pruner=Pruner())
    assert set(pruned) == {0, 1, 2}


def test_a_search_continues_from_its_storage(trainer, tmp_path):
    storage = {"storage": f"sqlite:///{tmp_path / 'study.db'}", "study_name": "rates", "load_if_exists": True}
    choices = ("learning_rate", [1e-4, 1e-3, 1e-2])
    search(trainer, choices, n_trials=1, **storage)
    search(trainer, choices, n_trials=2, **storage)
    study = optuna.load_study(study_name="rates", storage=storage["storage"])
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3


#: Values that a trial trains with as they are, although they have another type than the default, and more.
REACHING = [
    {"warmup_steps": 0.1},
    {"eval_steps": 0.5, "eval_strategy": "steps"},
    {"num_train_epochs": 2},
    {"max_steps": 8},
    {"lr_scheduler_type": "cosine"},
    {"optim": "adafactor"},
    {"head_learning_rate": {"mood": 1e-3}},
    {"sampling": "temperature", "sampling_options": {"temperature": 2.0}},
    {"average": {"kind": "ema"}},
    {"methods": {"r-drop": {"alpha": 0.5}}},
    {"augmentation": {"word-deletion": {"p": 0.5}}},
    {"freeze_encoder": True, "unfreeze_at_step": 2},
    {"frozen_heads": ["mood"]},
]
#: Values that no trial can have, and words of the error; what a space may return besides mappings of arguments.
REFUSED = [
    ({"freeze_encoder": "no"}, "freeze_encoder must be true or false, found 'no'"),
    ({"max_steps": 2.7}, "max_steps must be a whole number"),
    ({"learning_rate": "1e-3"}, "learning_rate must be a number, found '1e-3'"),
    ({"learning_rate": -1.0}, "learning_rate must be at least 0"),
    ({"learning_rate": float("nan")}, "learning_rate"),
    ({"per_device_train_batch_size": 0}, "at least 1"),
    ({"batching": "heterogeneous"}, "batching must be one of"),
    ({"sampling_options": {"temprature": 2}}, "no option 'temprature'"),
    ({"methods": ["r-drop"]}, "methods"),
    ({"unfreeze_at_step": 2}, "without effect"),
    ({"label_smoothing_factor": 0.1}, "not supported"),
    ([("learning_rate", 1e-3)], "must return a mapping"),
    (None, "must return a mapping"),
]


def test_values_reach_a_trial_as_they_are_or_are_refused(trainer):
    trainer.hp_search_backend = HPSearchBackend.OPTUNA
    given = trainer.args

    def ask(values):
        trainer.args = copy.copy(given)
        trainer.hp_space = trial_space(lambda trial: values, given)
        trainer._hp_search_setup(optuna.trial.FixedTrial({}))

    for values in REACHING:
        ask(values)
        reached = {name: getattr(trainer.args, name) for name in values}
        assert reached == ({"average": {"kind": "ema", "decay": 0.999}} if "average" in values else values)
    for values, words in REFUSED:
        with pytest.raises(UserError, match=words):
            ask(values)


@pytest.mark.parametrize(
    ("name", "words"),
    [("lerning_rate", "no training argument. Did you mean 'learning_rate'"), ("precision", "trials cannot change it")],
)
def test_what_no_trial_can_change_is_refused(trainer, name, words):
    with pytest.raises(ValueError, match=words):
        search(trainer, (name, [1, 2]))
    assert trainer.args.learning_rate == 5e-5
