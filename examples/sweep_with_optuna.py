# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-mtl[sweep]"]
# ///
"""Search the learning rate, the sampling and the batching of a training with Optuna, by the mean score of all tasks.

    python examples/sweep_with_optuna.py ENCODER OUTPUT [TRIALS]

ENCODER is a Hub id or a folder, such as examples/demo/data/encoder after ``make demo``. The rows are made here. From
the command line ``hf-mtl sweep recipe.yaml --space space.yaml`` does the same with a recipe.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import optuna
from datasets import ClassLabel, Dataset
from transformers import AutoTokenizer, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig

TASKS = [
    TaskConfig("intent", "sequence-classification", labels=["BookRestaurant", "PlayMusic"]),
    TaskConfig("slots", "token-classification", labels=["O", "B-artist", "B-city"]),
    TaskConfig("mood", "sentiment", labels=["bad", "good"]),
]


def make_data(copies: int) -> dict[str, Dataset]:
    """Return two datasets of very different sizes: how often each is drawn then matters."""
    requests = {
        "tokens": [["play", "a", "song", "by", "anna"], ["book", "a", "table", "in", "rome"]] * copies * 4,
        "intent": ["PlayMusic", "BookRestaurant"] * copies * 4,
        "slots": [["O", "O", "O", "O", "B-artist"], ["O", "O", "O", "O", "B-city"]] * copies * 4,
    }
    reviews = Dataset.from_dict({"text": ["a very good film !", "not good ."] * copies, "mood": [1, 0] * copies})
    return {
        "requests": Dataset.from_dict(requests),
        "reviews": reviews.cast_column("mood", ClassLabel(names=["bad", "good"])),
    }


def space(trial: optuna.Trial) -> dict[str, Any]:
    """Return a trial's arguments."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-3, log=True),
        "sampling": trial.suggest_categorical("sampling", ["proportional", "uniform"]),
        "batching": trial.suggest_categorical("batching", ["homogeneous", "mixed"]),
    }


def main(encoder: str, output: str, trials: str = "6") -> None:
    """Search, then train with what was best."""

    def make_model(trial: optuna.Trial | None = None) -> MultiTaskModel:
        set_seed(0)
        return MultiTaskModel.from_encoder(encoder, TASKS)

    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    trainer = MultiTaskTrainer(
        None,  # every trial begins with a new model
        MultiTaskTrainingArguments(
            output, num_train_epochs=2, eval_strategy="epoch", save_strategy="no", logging_steps=5, disable_tqdm=True
        ),
        train_dataset=make_data(copies=4),
        eval_dataset=make_data(copies=2),
        processing_class=AutoTokenizer.from_pretrained(encoder),
        model_init=make_model,
    )
    # A search with a name in a file continues where it was stopped.
    best = trainer.hyperparameter_search(
        space,
        n_trials=int(trials),
        backend="optuna",
        sampler=optuna.samplers.TPESampler(seed=0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=2),
        storage=f"sqlite:///{folder / 'trials.db'}",
        study_name="example",
        load_if_exists=True,
    )
    print(f"best: trial {best.run_id}, score {best.objective:.3f}, {best.hyperparameters}")
    for name, value in best.hyperparameters.items():
        setattr(trainer.args, name, value)
    trainer.train()
    trainer.save_model()
    print(f"trained again with it: score {trainer.evaluate()['eval_score']:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
