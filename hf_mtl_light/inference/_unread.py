"""An option of answers that no asked task reads would be without effect, and is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hf_mtl_light.answering import Answering, AnswerOptions, set_threshold
from hf_mtl_light.errors import UserError
from hf_mtl_light.names import listed, nearest

__all__ = ["check_options_are_read"]

#: Option -> what reads it.
READERS = {
    "top_k": "tasks that choose among labels, choices, places in a text or tokens",
    "thresholds": "tasks with any number of labels ('multi-label-classification')",
    "aggregation_strategy": "tagging tasks ('token-classification', 'crf-tagging')",
    "ignore_labels": "tagging tasks ('token-classification', 'crf-tagging')",
    "coverage": "tasks with one label a text ('sequence-classification', 'sentiment')",
    "stride": "tasks that read one text or a question's context",
}


def check_options_are_read(
    tasks: Mapping[str, Any],
    heads: Mapping[str, Answering],
    names: Sequence[str],
    options: Mapping[str, AnswerOptions],
    stride: int | None,
    defaults: Collection[str] = (),
) -> None:
    """Check that a task that is asked reads each option that is given.

    Args:
        tasks: The model's tasks.
        heads: What answers each.
        names: Those that are asked.
        options: What is asked of each task.
        stride: Tokens that the windows of a long text share.
        defaults: Names of options that hold where a task reads them, and may be read by none.

    Raises:
        ValueError: If none does, a task was not calibrated for a coverage, or options are given for what is no task.
    """
    for name in options:
        if name not in tasks:
            raise UserError(f"options are given for {name!r}, which is no task.{nearest(name, tasks)}")
    for field in dataclasses.fields(AnswerOptions):
        given: dict[str, list[str]] = {}
        for name, asked in options.items():
            value = getattr(asked, field.name)
            if value != field.default:
                given.setdefault(repr(value), []).append(name)
        if field.name in defaults:
            continue
        for value, owners in given.items():
            readers = [name for name in owners if field.name in heads[name].answer_options(tasks[name])]
            if not any(name in names for name in readers):
                what = field.name if len(owners) == len(tasks) else f"{field.name} of {listed(owners)}"
                raise _unread(f"{what}={value}", field.name, tasks, names)
    for name in names:
        coverage = options[name].coverage if name in options else None
        if coverage is not None and "coverage" in heads[name].answer_options(tasks[name]):
            set_threshold(tasks[name], coverage)
    if stride is not None and "stride" not in defaults and all(heads[name].reads == "choices" for name in names):
        raise _unread(f"stride={stride}", "stride", tasks, names)


def _unread(what: str, option: str, tasks: Mapping[str, Any], names: Sequence[str]) -> UserError:
    asked = ", ".join(f"{name!r} ({tasks[name].type})" for name in names)
    return UserError(
        f"{what} would be without effect: no task that is asked reads it. Asked: {asked}. {option} is read by "
        f"{READERS[option]}. Leave it out, or ask such a task."
    )
