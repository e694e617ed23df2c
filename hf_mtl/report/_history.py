"""What a run folder holds of its training: logs, results, and how it was trained."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import yaml

from hf_mtl._names import listed
from hf_mtl._options import described
from hf_mtl.configuration import TaskConfig, default_metrics
from hf_mtl.report._metrics import split_metrics, without_details
from hf_mtl_light.errors import UserError

__all__ = ["Run", "Series", "read_run"]

_STATE = "trainer_state.json"
#: The default of Transformers' training arguments, which to import takes seconds.
_SEED = 42
#: What results are of, and the prefix of their keys.
_SPLITS = {"validation": "eval", "test": "test"}
#: What of a table of gains is shown.
_RELATIONS = frozenset(
    {
        "measure",
        "score",
        "unit",
        "tasks",
        "measured",
        "completed",
        "completion",
        "recommendation",
        "groups",
        "left_out",
        "fragment",
    }
)
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True)
class Series:
    """One logged number over the training.

    Args:
        steps: The optimizer steps at which it was logged, ascending.
        values: The numbers; NaN for every one that is not finite.
    """

    steps: Sequence[int]
    values: Sequence[float]

    @property
    def finite(self) -> list[float]:
        """The numbers that are finite."""
        return [value for value in self.values if math.isfinite(value)]


@dataclass(frozen=True)
class Run:
    """A training run as its folder holds it.

    Args:
        name: Name of the folder.
        tasks: The tasks, by name, in the model's order; ``None`` stands for one that no config describes.
        datasets: Names of the datasets, in the recipe's order where there is one.
        dataset_tasks: For a dataset the tasks that it labels, where the recipe says so.
        main_metrics: For each task the metric that stands for it; left out where none was computed.
        facts: What to say at the head of a report: name and value.
        log: The logged entries, in order.
        results: For each split (``"validation"``, ``"test"``) and task its metrics, details left out.
        scores: For each split the mean of the main metrics.
        sharing: For each task what sharing did to it, where the run was compared: see `hf_mtl.validation.compare`.
        relations: Which tasks help which: what `hf_mtl.relations.relate` wrote.
        calibration: For each task that is calibrated what that changed.
    """

    name: str
    tasks: Mapping[str, TaskConfig | None]
    datasets: Sequence[str]
    dataset_tasks: Mapping[str, Sequence[str]]
    main_metrics: Mapping[str, str]
    facts: Mapping[str, str]
    log: Sequence[Mapping[str, Any]]
    results: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    sharing: Sequence[Mapping[str, Any]] = ()
    relations: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def series(self, key: str) -> Series:
        """Return what was logged under a key; of two entries of one step the later counts."""
        found = {entry["step"]: float(entry[key]) for entry in self.log if _is_number(entry.get(key))}
        steps = sorted(found)
        return Series(steps, [found[step] if math.isfinite(found[step]) else math.nan for step in steps])

    def drawn_shares(self) -> dict[str, Series]:
        """Return for each dataset its share of the rows drawn in each logging interval, in [0, 1]."""
        rows = {name: self.series(f"rows/{name}") for name in self.datasets}
        totals: dict[int, float] = {}
        for counts in rows.values():
            for step, value in zip(counts.steps, counts.values, strict=True):
                totals[step] = totals.get(step, 0.0) + value
        shares = {}
        for name, counts in rows.items():
            kept = [(step, value) for step, value in zip(counts.steps, counts.values, strict=True) if totals[step]]
            shares[name] = Series([step for step, _ in kept], [value / totals[step] for step, value in kept])
        return shares

    def cosines(self) -> dict[tuple[str, str], Series]:
        """Return for each pair of tasks the cosine of their gradients, in [-1, 1]; empty where none was logged."""
        names = list(self.tasks)
        pairs = [(a, b) for number, a in enumerate(names) for b in names[number + 1 :]]
        found = {(a, b): self.series(f"gradient_cosine/{a}/{b}") for a, b in pairs}
        return {pair: series for pair, series in found.items() if series.finite}


def read_run(folder: str | Path) -> Run:
    """Read a run folder, as `hf-mtl train` or a trainer wrote it, finished or not.

    Args:
        folder: The run folder, or one of its checkpoints; or a folder without a log that `hf-mtl calibrate` or
            `hf-mtl relate` wrote.

    Raises:
        ValueError: If there is no such folder, it holds no log, or a file in it cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: {'is a file, not a run folder' if folder.exists() else 'no such folder'}.")
    besides = {name: _read_first([folder], f"{name}.json") for name in ("relations", "calibration")}
    if besides["relations"] and not besides["relations"].keys() >= _RELATIONS:
        raise UserError(f"{folder / 'relations.json'}: expected {listed(sorted(_RELATIONS))}. Run hf-mtl relate again.")
    state, where = _latest_state(folder, is_needed=not any(besides.values()))
    places = dict.fromkeys((folder, where, folder.absolute().parent if _CHECKPOINT.fullmatch(folder.name) else folder))
    log = [entry for entry in state["log_history"] if isinstance(entry, dict) and isinstance(entry.get("step"), int)]
    config = _read_first(places, "config.json")
    recipe = _read_first(places, "recipe.yaml")
    tasks = _tasks_of(config, log)
    found = {
        "validation": _read_first([folder], "eval_results.json"),
        "test": _read_first([folder], "test_results.json"),
    }
    found["validation"] = found["validation"] or next((e for e in reversed(log) if "eval_score" in e), {})
    if not log and not any(found.values()) and not any(besides.values()):
        raise UserError(
            f"{where / _STATE}: its log is empty. Train for at least logging_steps steps, with "
            "logging_strategy='steps'."
        )
    split = {
        name: split_metrics(metrics, prefix, tasks)
        for (name, metrics), prefix in zip(found.items(), ("eval", "test"), strict=True)
    }
    results = {
        name: {task: without_details(of, tasks[task]) for task, of in by_task.items()}
        for name, by_task in split.items()
        if by_task
    }
    scores = {
        name: float(metrics[key])
        for name, metrics in found.items()
        if _is_number(metrics.get(key := f"{_SPLITS[name]}_score"))
    }
    names = [key.partition("/")[2] for entry in log for key in entry if key.startswith(("rows/", "share/"))]
    described = _mapping(recipe.get("datasets"))
    arguments = _read_first(places, "training_args.json")
    return Run(
        name=folder.absolute().name,
        tasks=tasks,
        datasets=sorted(dict.fromkeys(names), key=_order(described)),
        dataset_tasks={
            name: [task for task in tasks if task in _mapping(_mapping(values).get("columns")).values()]
            for name, values in described.items()
        },
        main_metrics=_main_metrics(tasks, [*results.values(), *(split_metrics(e, "eval", tasks) for e in log)]),
        facts=_facts(state, log, config, recipe, arguments),
        log=log,
        results=results,
        scores=scores,
        sharing=[_mapping(row) for row in _list(_read_first([folder], "sharing.json").get("tasks"))],
        relations=besides["relations"],
        calibration={
            name: of
            for name, of in besides["calibration"].items()
            # Of weights that changed since, nothing is known.
            if (task := tasks.get(name)) is not None and task.calibration_temperature == _mapping(of).get("temperature")
        },
    )


def _latest_state(folder: Path, is_needed: bool) -> tuple[dict[str, Any], Path]:
    """Return the trainer's state that got furthest, the folder's own or a checkpoint's, and where it lies."""
    checkpoints = [path for path in folder.iterdir() if _CHECKPOINT.fullmatch(path.name)]
    places = [path for path in (folder, *checkpoints) if (path / _STATE).is_file()]
    if not places and not is_needed:
        return {"log_history": [], "global_step": 0}, folder
    if not places:
        raise UserError(
            f"{folder}: holds no {_STATE}, nor does a checkpoint in it, so there is no log to draw. hf-mtl train "
            "writes it at the end and with each checkpoint; in Python call trainer.save_state() after trainer.train()."
        )
    states = [(_read(path / _STATE), path) for path in places]
    for state, path in states:
        if not isinstance(state.get("log_history"), list) or not isinstance(state.get("global_step"), int):
            raise UserError(f"{path / _STATE}: has no log_history and global_step, so no trainer wrote it.")
    return max(states, key=lambda pair: int(pair[0]["global_step"]))  # the first of equals: the folder's own


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        values = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)
    except (ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path}: is cut or was changed: it is not valid {path.suffix[1:].upper()} ({reason})."
        ) from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected a mapping, found {type(values).__name__}.")
    return values


def _read_first(places: Any, name: str) -> dict[str, Any]:
    return next((_read(place / name) for place in places if (place / name).is_file()), {})


def _tasks_of(config: Mapping[str, Any], log: Sequence[Mapping[str, Any]]) -> dict[str, TaskConfig | None]:
    """Return the tasks of a model's config; without one, those whose losses were logged."""
    if isinstance(config.get("tasks"), list):
        tasks = [TaskConfig.from_saved(values) for values in config["tasks"]]
        return {task.name: task for task in tasks}
    return dict.fromkeys(key.partition("/")[2] for entry in log for key in entry if key.startswith("loss/"))


def _main_metrics(
    tasks: Mapping[str, TaskConfig | None], found: Sequence[Mapping[str, Mapping[str, float]]]
) -> dict[str, str]:
    """Return each task's main metric: its own, its type's, or the first that was computed."""
    chosen = {}
    for name, task in tasks.items():
        computed = dict.fromkeys(key for of in found for key in of.get(name, {}))
        wanted = None
        if task is not None:
            try:
                wanted = task.main_metric or default_metrics(task)[1]
            except KeyError:  # a type of the user's own
                wanted = None
        if wanted not in computed:
            wanted = next((key for key in computed if key not in ("loss", "score")), None)
        if wanted is not None:
            chosen[name] = wanted
    return chosen


def _facts(
    state: Mapping[str, Any],
    log: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any],
    recipe: Mapping[str, Any],
    arguments: Mapping[str, Any],
) -> dict[str, str]:
    """Return what the head shows; what no file says is left out."""
    encoder, training = _mapping(config.get("encoder_config")), _mapping(recipe.get("training"))
    facts = {}
    if name := recipe.get("encoder") or encoder.get("_name_or_path"):
        facts["encoder"] = str(name)
    if family := encoder.get("model_type"):
        sizes = [f"{encoder[key]} {word}" for key, word in _SIZES.items() if isinstance(encoder.get(key), int)]
        facts["family"] = ", ".join([str(family), *sizes])
    done, planned, epoch = state["global_step"], state.get("max_steps"), state.get("epoch")
    if done or log:
        facts["steps"] = f"{done:,} of {planned:,}" if isinstance(planned, int) and planned > done else f"{done:,}"
    if _is_number(epoch) and epoch:
        facts["epochs"] = f"{epoch:.3g}"
    # training_args.json holds what differs from the defaults.
    seed = training.get("seed", arguments.get("seed", _SEED if arguments else None))
    if seed is not None:
        facts["seed"] = str(seed)
    for fact, section, key, argument in (
        ("sampler", "sampling", "strategy", "sampling"),
        ("balancer", "balancing", "method", "balancing"),
    ):
        options = dict(_mapping(recipe.get(section)))
        chosen = options.pop(key, None) or arguments.get(argument)
        if chosen:
            facts[fact] = described(str(chosen), options or _mapping(arguments.get(f"{argument}_options")))
    augmentation = _mapping(recipe.get("augmentation")) or _mapping(arguments.get("augmentation"))
    if augmentation:
        facts["augmentation"] = "; ".join(
            described(str(name), {key: value for key, value in _mapping(options).items() if value is not None})
            for name, options in augmentation.items()
        )
    average = dict(_mapping(recipe.get("average")) or _mapping(arguments.get("average")))
    if kind := average.pop("kind", None):
        facts["average"] = described(str(kind), average)
    methods = _mapping(recipe.get("methods")) or _mapping(arguments.get("methods"))
    if methods:
        facts["methods"] = ", ".join(described(str(name), _mapping(options)) for name, options in methods.items())
    if isinstance(best := state.get("best_global_step"), int):
        facts["best step"] = f"{best:,}"
    last = log[-1] if log else {}
    if _is_number(seconds := last.get("train_runtime")):
        facts["time"] = f"{seconds:,.0f} s"
    if _is_number(speed := last.get("train_samples_per_second")) and speed > 0:
        facts["speed"] = f"{speed:,.1f} rows/s"
    return facts


_SIZES = {"num_hidden_layers": "layers", "hidden_size": "features"}


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _order(described: Mapping[str, Any]) -> Any:
    places = {name: number for number, name in enumerate(described)}
    return lambda name: (places.get(name, len(places)), name)
