"""The trials of a sweep: each a training of the recipe with other values, kept in a database of optuna's."""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from hf_mtl.cli._space import Space
from hf_mtl.recipe import PreparedRecipe, Recipe
from hf_mtl.trainer import DivergenceError
from hf_mtl_light.errors import MissingExtraError, UserError
from hf_mtl_light.outputs import clear_leftovers, lock_file, open_beside

try:
    import optuna
    from optuna.trial import FrozenTrial, Trial, TrialState
except ImportError as error:
    raise MissingExtraError("hf-mtl sweep needs optuna: pip install 'hf-mtl[sweep]'.") from error

if TYPE_CHECKING:
    from optuna.study import Study

__all__ = ["BEST", "DATABASE", "SCRATCH", "Judge", "Sweep", "fingerprint", "opened_study"]

#: The file of a sweep's folder that keeps the trials.
DATABASE = "trials.db"
#: The recipe of the best trial.
BEST = "best.yaml"
#: The folder of the trial that is being trained.
SCRATCH = "trial"
#: The number of trials that are trained to their end before any is stopped early.
_WHOLE_TRIALS = 5


@dataclasses.dataclass(frozen=True)
class Judge:
    """By which metric trials are judged.

    Args:
        metric: Its name as `evaluate` returns it.
        is_greater_better: Whether the highest is the best.
    """

    metric: str
    is_greater_better: bool

    @classmethod
    def of(cls, args: Any) -> Judge:
        """Return what the arguments say: ``metric_for_best_model``, by default ``eval_score``."""
        name = args.metric_for_best_model or "eval_score"
        is_greater = not name.endswith("loss") if args.greater_is_better is None else args.greater_is_better
        return cls(name if name.startswith("eval_") else f"eval_{name}", is_greater)


class _Pruning(TrainerCallback):
    """Reports each evaluation of a trial, at percents of its steps, and stops one that is worse than most."""

    def __init__(self, trial: Trial, metric: str) -> None:
        self._trial, self._metric, self._last = trial, metric, -1

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        percent = 100 * state.global_step // max(state.max_steps, 1)
        if not metrics or self._metric not in metrics or not self._last < percent < 100:
            return
        self._last = percent
        self._trial.report(metrics[self._metric], percent)
        if self._trial.should_prune():
            raise optuna.TrialPruned(f"stopped early, at {percent} % of its steps")


@contextmanager
def opened_study(folder: Path, asked: dict[str, str], judge: Judge, is_pruning: bool) -> Iterator[Study]:
    """Open the trials of a sweep's folder, which no other process may have open.

    Args:
        folder: The folder.
        asked: What the sweep is over, by name: what was there before must be the same.
        judge: By which metric trials are judged.
        is_pruning: Whether trials may be stopped early.

    Raises:
        UserError: If the folder holds trials of another sweep, or another process has it open.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder.mkdir(parents=True, exist_ok=True)
    with open_beside(folder / ".lock") as lock:
        if not lock_file(lock):
            raise UserError(f"{str(folder)!r}: another process sweeps there. Wait for it, or choose another -o.")
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)  # of a trial whose process was killed
        clear_leftovers(folder / BEST)
        path = str(folder / DATABASE)
        storage = optuna.storages.RDBStorage(  # a creator takes any path, a URL does not
            "sqlite:///trials.db", engine_kwargs={"creator": lambda: sqlite3.connect(path, check_same_thread=False)}
        )
        pruner = optuna.pruners.MedianPruner(_WHOLE_TRIALS) if is_pruning else optuna.pruners.NopPruner()
        study = optuna.create_study(
            study_name="sweep",
            storage=storage,
            load_if_exists=True,
            pruner=pruner,
            direction="maximize" if judge.is_greater_better else "minimize",
        )
        try:
            hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in asked.items()}
            before = study.user_attrs.get("asked", hashes)
            differing = [name for name in hashes if before.get(name) != hashes[name]]
            if differing:
                raise UserError(
                    f"{str(folder)!r} holds trials of another {' and '.join(differing)}, which cannot be compared. "
                    "Choose another folder with -o, or replace them with --overwrite."
                )
            study.set_user_attr("asked", hashes)
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
                study.tell(trial.number, state=TrialState.FAIL)  # its process was killed
            yield study
        finally:
            storage.remove_session()
            storage.engine.dispose()


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A recipe, a space and the trials so far.

    Args:
        study: The trials.
        recipe: The recipe's file.
        given: Overrides of the command line.
        space: What trials choose from.
        folder: The sweep's folder.
        judge: By which metric trials are judged.
        seed: The seed of the choices.
    """

    study: Study
    recipe: Path
    given: list[str]
    space: Space
    folder: Path
    judge: Judge
    seed: int

    def finished(self) -> list[FrozenTrial]:
        """Return the trials that came to an end: those with a score, and those stopped early."""
        return self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))

    def best(self) -> FrozenTrial | None:
        """Return the best trial; ``None`` where none has a score."""
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        sign = -1 if self.judge.is_greater_better else 1
        return min(complete, key=lambda trial: sign * (trial.value or 0.0), default=None)

    def prepared(self, values: dict[str, Any]) -> PreparedRecipe:
        """Return the recipe with a trial's values and its data."""
        return Recipe.load(self.recipe, [*self.given, *self.space.overrides(values)]).prepare()

    def run(self, show: Any) -> FrozenTrial:
        """Train one trial and keep its score.

        The choice depends on the seed and on the finished trials alone, so that a sweep that was killed and resumed
        makes those of an unbroken one.

        Args:
            show: Called with the trainer before it trains.
        """
        finished = self.finished()
        self.study.sampler = optuna.samplers.TPESampler(seed=self.seed + len(finished))
        trial = self.study.ask(self.space.distributions())
        tried, combinations = [found.params for found in finished], self.space.combinations()
        if combinations is not None and trial.params in tried:  # nothing is trained twice
            self.study.tell(trial, state=TrialState.FAIL)
            self.study.enqueue_trial(next(values for values in combinations if values not in tried))
            trial = self.study.ask(self.space.distributions())
        begin, scratch = time.monotonic(), self.folder / SCRATCH
        try:
            score = self._score(trial, scratch, show)
        except (optuna.TrialPruned, DivergenceError, torch.OutOfMemoryError) as error:
            reason = "out of memory" if isinstance(error, torch.OutOfMemoryError) else str(error)
            self._note(trial, begin, "diverged" if isinstance(error, DivergenceError) else reason)
            self.study.tell(trial, state=TrialState.PRUNED)
        except BaseException:
            self.study.tell(trial, state=TrialState.FAIL)
            raise
        else:
            self._note(trial, begin, "")
            self.study.tell(trial, score)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            gc.collect()
        return self.study.get_trials(deepcopy=False)[trial.number]

    def _score(self, trial: Trial, scratch: Path, show: Any) -> float:
        prepared = self.prepared(trial.params)
        shutil.rmtree(scratch, ignore_errors=True)
        changes: dict[str, Any] = {"output_dir": str(scratch), "push_to_hub": False, "logging_strategy": "no"}
        if not prepared.args.load_best_model_at_end:
            changes["save_strategy"] = "no"
        args = prepared.recipe.training_arguments(**changes)
        trainer = dataclasses.replace(prepared, args=args).build([_Pruning(trial, self.judge.metric)]).trainer
        show(trainer, prepared)
        trainer.train()
        metrics = trainer.evaluate()
        if self.judge.metric not in metrics:
            raise UserError(f"The evaluation gives no {self.judge.metric!r}. Set training.metric_for_best_model.")
        return float(metrics[self.judge.metric])

    def _note(self, trial: Trial, begin: float, reason: str) -> None:
        trial.set_user_attr("seconds", round(time.monotonic() - begin, 1))
        trial.set_user_attr("reason", reason)

    def write_best(self) -> Path | None:
        """Write the best trial's recipe as ``best.yaml``, whole; ``None`` where no trial has a score."""
        best = self.best()
        return None if best is None else self.prepared(best.params).write(self.folder, BEST)


def fingerprint(recipe: Recipe, space: Space, judge: Judge) -> dict[str, str]:
    """Return what a sweep is over, so that trials of two are not mixed."""
    values = recipe.model_dump(mode="json")
    values["training"] = {k: v for k, v in recipe.training.items() if k not in ("output_dir", "hub_token")}
    return {
        "recipe": json.dumps(values, sort_keys=True, default=str),
        "space": json.dumps(dataclasses.asdict(space), sort_keys=True),
        "metric": json.dumps(dataclasses.asdict(judge)),
    }
