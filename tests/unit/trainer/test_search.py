"""Searches: every trial trains with its own arguments, and the trainer is afterwards what it was."""

import pytest
import torch

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments
from tests.encoders import tiny_encoder
from tests.trainers import TASKS, make_data

optuna = pytest.importorskip("optuna")
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def new_model(trial=None):
    torch.manual_seed(5)
    return MultiTaskModel.from_encoder(tiny_encoder(), TASKS)


@pytest.fixture
def trainer(tmp_path, tokenizer):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    arguments = MultiTaskTrainingArguments(
        str(tmp_path / "out"),
        max_steps=4,
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


SPACES = {
    "sampling": ["uniform", "proportional", "bandit"],
    "balancing": ["equal", "uncertainty", "fixed"],
    "batching": ["mixed", "homogeneous"],
    "learning_rate": [1e-4, 1e-2],
    "head_learning_rate": [1e-4, 1e-2],
    "freeze_encoder": [True, False],
    "per_device_train_batch_size": [4, 8],
}


@pytest.mark.parametrize("name", SPACES)
def test_every_trial_equals_a_training_with_its_argument(trainer, tmp_path, tokenizer, name):
    best = search(trainer, (name, SPACES[name]))
    assert best.hyperparameters.keys() == {name}
    assert trainer.args.sampling == "proportional"
    value = best.hyperparameters[name]
    arguments = MultiTaskTrainingArguments(
        str(tmp_path / "alone"),
        max_steps=4,
        eval_strategy="steps",
        eval_steps=2,
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


@pytest.mark.parametrize(
    ("name", "words"),
    [("lerning_rate", "no training argument. Did you mean 'learning_rate'"), ("precision", "trials cannot change it")],
)
def test_what_no_trial_can_change_is_refused(trainer, name, words):
    with pytest.raises(ValueError, match=words):
        search(trainer, (name, [1, 2]))
    assert trainer.args.learning_rate == 5e-5
