"""The two tables of the command line: what will be trained, and the scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from hf_mtl.cli._head_table import labels_text
from hf_mtl.cli._plain_table import plain_table
from hf_mtl.configuration import TaskConfig
from hf_mtl.metrics import METRICS
from hf_mtl.surgery import Ingredient
from hf_mtl.trainer import CalibratedTask, TunedThresholds, share_text

__all__ = [
    "answer_table",
    "calibration_text",
    "factor_table",
    "headlines",
    "score_table",
    "soup_table",
    "training_table",
    "tuning_text",
]


def headlines() -> list[str]:
    """Return the keys that tables show; those of single labels and entity types are in the JSON files."""
    keys = [key for metric in METRICS.values() for key in metric.headline_keys or metric.summary_keys]
    return list(dict.fromkeys([*keys, "perplexity", "loss"]))


def training_table(summary: Sequence[Mapping[str, Any]], main_metrics: Mapping[str, str], width: int) -> Table:
    """Return a line for each dataset and task: rows, share, type, labels, main metric.

    Args:
        summary: What `PreparedRecipe.summary` returned.
        main_metrics: The main metric of each task.
        width: Columns of the terminal; below 110, types are shortened and labels only counted.
    """
    is_narrow = width < 110
    numbers = ("train/val/test", "share")
    # Rows without a label are always shown where there are some.
    some = any(count for item in summary for by_use in item["unlabelled"].values() for count in by_use.values())
    more = ["unlabelled"] * some
    table = plain_table("dataset", *numbers, "task", *more, "type", "labels", "metric", right=(*numbers, *more))
    for item in summary:
        shown = ("stream" if count is None else f"{count:,}" if count else "-" for count in item["rows"].values())
        rows = "/".join(shown)
        first = [item["dataset"], rows, share_text(item)]
        for task in item["tasks"]:
            kind = task.type.removesuffix("-classification") if is_narrow else task.type
            labels = str(len(task.labels or ()) or "-") if is_narrow else labels_text(task)
            by_use = item["unlabelled"].get(task.name, {})
            missing = ["/".join(f"{by_use.get(use, 0):,}" for use in item["rows"])] * some
            cells = [*first, task.name, *missing, kind, labels, main_metrics[task.name]]
            # Text, not strings: labels may hold brackets, which rich would take for markup.
            table.add_row(*map(Text, cells))
            first = [""] * len(first)
    return table


def score_table(
    tasks: Sequence[TaskConfig], main_metrics: Mapping[str, str], metrics: Mapping[str, Mapping[str, float]]
) -> Table:
    """Return a line for each task and metric, the main one first and marked, and the mean of the main ones.

    Args:
        tasks: The tasks.
        main_metrics: The main metric of each.
        metrics: Name of a split, such as ``"validation"`` -> prefix of its keys and metrics, as `evaluate` gave them.
    """
    table = plain_table("task", "metric", *metrics, right=tuple(metrics))
    values = {
        split: {key.partition("_")[2]: value for key, value in found.items() if isinstance(value, float)}
        for split, found in metrics.items()
    }
    for task in tasks:
        main = main_metrics[task.name]
        name = task.name
        for metric in dict.fromkeys((main, *task.metrics, *headlines())):
            cells = [values[split].get(f"{task.name}_{metric}") for split in metrics]
            if any(cell is not None for cell in cells):
                style = "bold" if metric == main else "dim"
                shown = ["-" if cell is None else f"{cell:.4f}" for cell in cells]
                table.add_row(Text(name), Text(metric, style=style), *(Text(cell, style=style) for cell in shown))
                name = ""
    score = ["-" if values[split].get("score") is None else f"{values[split]['score']:.4f}" for split in metrics]
    table.add_section()
    table.add_row(Text("score"), Text("mean of the main metrics"), *(Text(cell, style="bold") for cell in score))
    return table


def tuning_text(tuned: Mapping[str, TunedThresholds]) -> str:
    """Return a line for each task whose thresholds were tuned: what they are, and what they changed where.

    Args:
        tuned: What ``trainer.tune_thresholds`` returned.
    """
    lines = []
    for name, found in tuned.items():
        given = found.thresholds
        shown = f"{given:.3f}" if isinstance(given, float) else f"{min(given):.3f} to {max(given):.3f}"
        changes = ", ".join(
            f"{key} {found.before[key]:.4f} > {found.after[key]:.4f}" for key in ("f1_micro", "f1_macro")
        )
        lines.append(f"Thresholds of {name!r}: {shown}, tuned on {found.rows:,} validation rows ({changes} there).")
    if lines:
        lines.append("These rows flatter them: judge them by others, such as a test split.")
    return "\n".join(lines)


def calibration_text(calibrated: Mapping[str, CalibratedTask], tasks: Sequence[str]) -> str:
    """Return a line for each task: its temperature and what it changed, or that it was left as it is.

    Args:
        calibrated: What ``trainer.calibrate`` returned.
        tasks: Names of the model's tasks.
    """
    lines = []
    for name in tasks:
        if name not in calibrated:
            lines.append(f"{name!r} was not calibrated.")
            continue
        found = calibrated[name]
        changes = ", ".join(
            f"{key.replace('_', ' ')} {before:.4f} > {found.after[key]:.4f}" for key, before in found.before.items()
        )
        lines.append(f"Temperature of {name!r}: {found.temperature:.3f}, from {found.items:,} items ({changes}).")
        for coverage, threshold in found.conformal_thresholds.items():
            lines.append(f"  sets with coverage {coverage}: labels with a score of at least {threshold:.4f}")
    return "\n".join(lines)


def soup_table(ingredients: Sequence[Ingredient]) -> Table:
    """Return a line for each model that a greedy soup was offered: its score, the soup's with it, and whether it is in.

    Args:
        ingredients: What `hf_mtl.surgery.greedy_soup` returned.
    """
    table = plain_table("model", "score", "soup with it", "kept", right=("score", "soup with it"))
    for line in ingredients:
        table.add_row(*map(Text, (line.name, f"{line.score:.4f}", f"{line.soup:.4f}", "yes" if line.kept else "no")))
    return table


def factor_table(scores: Mapping[float, float], chosen: float) -> Table:
    """Return a line for each factor between a pretrained and a trained encoder: its score, and whether it is chosen.

    Args:
        scores: The scores that `hf_mtl.surgery.choose_factor` returned.
        chosen: The factor that it returned.
    """
    table = plain_table("factor", "score", "", right=("factor", "score"))
    for factor, score in scores.items():
        table.add_row(f"{factor:g}", f"{score:.4f}", "chosen" if factor == chosen else "")
    return table


def answer_table(answers: Mapping[str, Any]) -> Table:
    """Return a line for each task and its answer to one text.

    Args:
        answers: What `hf_mtl.predict` returned for it.
    """
    table = plain_table("task", "answer", "score", right=("score",))
    for task, answer in answers.items():
        name = task
        for shown, score in _answer_lines(answer):
            table.add_row(Text(name), Text(shown), Text("" if score is None else f"{score:.3f}"))
            name = ""
    return table


def _answer_lines(answer: Any) -> list[tuple[str, float | None]]:
    """Return an answer as lines of a text and its score."""
    if answer is None:
        return [("- (needs more than a text)", None)]
    if isinstance(answer, list):
        return [line for item in answer for line in _answer_lines(item)] or [("nothing found", None)]
    if isinstance(answer, Mapping):
        named = [str(answer[key]) for key in ("word", "entity_group", "entity", "label", "answer") if key in answer]
        if named:
            return [(": ".join(named) + _place(answer.get("box")), answer.get("score"))]
        return [(f"{key} {line}", score) for key, item in answer.items() for line, score in _answer_lines(item)]
    return [(f"{answer:.3f}" if isinstance(answer, float) else str(answer), None)]


def _place(box: Mapping[str, int] | None) -> str:
    """Return where an object is, in pixels of its picture."""
    if box is None:
        return ""
    return f" at ({box['xmin']}, {box['ymin']}) to ({box['xmax']}, {box['ymax']})"
