"""Heads of one model: added, dropped, renamed, reordered, given other labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import (
    PER_LABEL,
    TaskConfig,
    check_branches,
    check_task_names,
    check_ties,
    owner_of,
    tied_tasks,
)
from hf_mtl.heads import Head, head_class
from hf_mtl.model import MultiTaskModel, TaskModules
from hf_mtl_light.errors import UserError

__all__ = ["add_head", "change_labels", "drop_head", "rename_head", "reorder_heads"]


def add_head(
    model: MultiTaskModel, task: TaskConfig | Mapping[str, Any], *, heads: Mapping[str, type[Head]] | None = None
) -> None:
    """Put a new head on a model; the others stay bit for bit as they are.

    It is initialised by the encoder family's own rule, from torch's global generator. To train it alone, give the
    trainer data of its task and the argument ``freeze_encoder=True``.

    Args:
        model: The model, changed in place.
        task: The task.
        heads: Further task types and their heads.

    Raises:
        ValueError: If the name is taken, or the task does not fit its type.

    >>> from transformers import BertConfig, BertModel
    >>> bert = BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=9))
    >>> model = MultiTaskModel.from_encoder(bert, [TaskConfig("polarity", "sentiment", labels=["bad", "good"])])
    >>> add_head(model, TaskConfig("topic", "sequence-classification", labels=["sport", "art"]))
    >>> list(model.task_heads)
    ['polarity', 'topic']
    """
    task = task if isinstance(task, TaskConfig) else TaskConfig.from_dict(task)
    known = model.task_heads
    check_task_names([*known, task.name])
    check_ties([*model.tasks, task])
    check_branches(model.config.branches, [task])
    head = _new_head(model, task, heads) if task.tied_to is None else known[task.tied_to].tied(task)
    _set_heads(model, {**known, task.name: head})


def drop_head(model: MultiTaskModel, *names: str) -> None:
    """Take heads off; one that another task shares stays, as that task's own.

    Args:
        model: The model, changed in place.
        names: The tasks.

    Raises:
        ValueError: If there is no such task, or none would be left.
    """
    for name in names:
        _check_there(model, name)
    kept = {name: head for name, head in model.task_heads.items() if name not in names}
    if not kept:
        raise UserError("A model needs at least one head. For the encoder alone: model.save_encoder(folder).")
    for owner in set(names):
        heirs = [name for name, head in kept.items() if head.task.tied_to == owner]
        for name in heirs:
            heir = None if name == heirs[0] else heirs[0]
            kept[name].task = dataclasses.replace(kept[name].task, tied_to=heir)
    _set_heads(model, kept)


def rename_head(model: MultiTaskModel, old: str, new: str) -> None:
    """Give a task another name.

    Args:
        model: The model, changed in place.
        old: The name that it has.
        new: The name that it gets.

    Raises:
        ValueError: If there is no such task, or the new name is taken or cannot be one.
    """
    _check_there(model, old)
    check_task_names([new if name == old else name for name in model.task_heads])
    heads = {new if name == old else name: head for name, head in model.task_heads.items()}
    heads[new].task = dataclasses.replace(heads[new].task, name=new)
    for head in heads.values():
        if head.task.tied_to == old:
            head.task = dataclasses.replace(head.task, tied_to=new)
    frozen = [new if name == old else name for name in model.frozen["heads"]]
    _set_heads(model, heads, frozen)


def reorder_heads(model: MultiTaskModel, names: Sequence[str]) -> None:
    """Put the tasks in another order.

    Args:
        model: The model, changed in place.
        names: All its tasks, in the new order.

    Raises:
        ValueError: If the names are not those of its tasks.
    """
    if sorted(names) != sorted(model.task_heads):
        raise UserError(
            f"The order must name each task once. Tasks: {listed(model.task_heads)}; found {listed(names)}."
        )
    heads = model.task_heads
    _set_heads(model, {name: heads[name] for name in names})


def change_labels(
    model: MultiTaskModel, name: str, labels: Sequence[str], *, renamed: Mapping[str, str] | None = None
) -> None:
    """Give a task other labels: those that it knows keep what they learned, new ones start from scratch.

    Tasks that share a head get them together.

    Args:
        model: The model, changed in place.
        name: The task.
        labels: The labels, in their new order.
        renamed: From old names to new ones.

    Raises:
        ValueError: If the task has no labels, its scale is ordinal and changes its length or order, or a name in
            ``renamed`` is not there.
    """
    _check_there(model, name)
    heads, sharers = model.task_heads, tied_tasks(model.tasks, name)
    head, renamed = heads[owner_of(model.tasks, name)], dict(renamed or {})
    old = head.task
    if old.labels is None:
        raise UserError(f"Task {name!r} has no labels: it is of the type {old.type!r}.")
    for before, after in renamed.items():
        if before not in old.labels or after not in labels:
            raise UserError(
                f"Task {name!r}: cannot rename {before!r} to {after!r}. Labels: {listed(old.labels)}; new ones: "
                f"{listed(labels)}."
            )
    known = [renamed.get(label, label) for label in old.labels]
    # For each new label the row of the old one, or none.
    sources = [known.index(label) if label in known else None for label in labels]
    tasks = {
        other: dataclasses.replace(
            heads[other].task,
            labels=tuple(labels),
            label_values={
                value: renamed.get(label, label)
                for value, label in heads[other].task.label_values.items()
                if renamed.get(label, label) in labels
            },
            **_carried(heads[other].task, sources),
        )
        for other in sharers
    }
    task = tasks[old.name]
    axes, learned = _label_axes(model, head), head.state_dict()
    is_moved = sources != list(range(len(known)))
    if is_moved and any(len(learned[key]) != len(known) for key in axes):
        raise UserError(
            f"Task {name!r}: an ordinal scale has one score and thresholds between its labels, which a new or moved "
            "label would unsettle. Rename labels only, or drop the head and add a new one."
        )
    new = _new_head(model, task, {old.type: type(head)})
    state = new.state_dict()
    new_places = torch.tensor([place for place, source in enumerate(sources) if source is not None], dtype=torch.long)
    old_places = torch.tensor([source for source in sources if source is not None], dtype=torch.long)
    for key, value in learned.items():
        if key not in axes or not is_moved:
            state[key] = value
        elif axes[key] == 1:
            state[key][new_places] = value[old_places]
        else:  # from label to label
            state[key][new_places[:, None], new_places] = value[old_places[:, None], old_places]
    new.load_state_dict(state)
    new.is_new = head.is_new
    changed = {other: new if other == old.name else new.tied(tasks[other]) for other in sharers}
    _set_heads(model, {**heads, **changed})


def _carried(task: TaskConfig, sources: Sequence[int | None]) -> dict[str, Any]:
    """Return the fields with a number for each label: each keeps its own, new labels get what stands for none."""
    fresh = {"thresholds": 0.5, "target_mean": None, "target_std": None}  # None is learned
    lists = {name: getattr(task, name) for name in PER_LABEL if isinstance(getattr(task, name), tuple)}
    return {
        name: [fresh.get(name, 1.0) if source is None else values[source] for source in sources]
        for name, values in lists.items()
    }


def _label_axes(model: MultiTaskModel, head: Head) -> dict[str, int]:
    """Return the parameters with a row a label and how many of their axes are labels: those that one more changes."""
    task = head.task
    nothing: dict[str, Any] = dict.fromkeys(PER_LABEL)
    longer = dataclasses.replace(task, labels=(*(task.labels or ()), *_unused(task)), **nothing)
    with torch.device("meta"):
        other = type(head).for_encoders(longer, model.config.encoder_configs)
    shapes = {key: value.shape for key, value in other.state_dict().items()}
    return {
        key: sum(one != two for one, two in zip(value.shape, shapes[key], strict=True))
        for key, value in head.state_dict().items()
        if value.shape != shapes[key]
    }


def _unused(task: TaskConfig) -> tuple[str, ...]:
    # Of the form of the last label: tags must follow their scheme.
    last = (task.labels or ("x",))[-1]
    return (f"{last if last != 'O' else 'B-x'}_",)


def _new_head(model: MultiTaskModel, task: TaskConfig, heads: Mapping[str, type[Head]] | None) -> Head:
    was_training = model.training
    # A model of that task alone on the same encoder initialises the head as its family does, and touches nothing else.
    alone = dataclasses.replace(task, branch=None)
    encoders = {name: model.encoders[name] for name in head_class(task, heads).modalities() if name in model.encoders}
    given: Any = next(iter(encoders.values()), model.encoder) if len(encoders) < 2 else encoders
    built = MultiTaskModel.from_encoder(
        given, [alone], heads=heads, unpad=model.unpad if model.encoder in (given, *encoders.values()) else "auto"
    )
    head = built.task_heads[task.name]
    head.task = task
    head.to(next(model.heads.parameters()).dtype)
    model.train(was_training)
    return head


def _set_heads(model: MultiTaskModel, heads: Mapping[str, Head], frozen: Sequence[str] | None = None) -> None:
    kept = [name for name in (model.frozen["heads"] if frozen is None else frozen) if name in heads]
    state = {**model.frozen, "heads": kept}
    model.heads = TaskModules({name: head for name, head in heads.items() if head.task.tied_to is None})
    model.config.tasks = [head.task for head in heads.values()]
    model.fast_dropout = model.fast_dropout  # of new heads, too
    model._set_frozen(state)


def _check_there(model: MultiTaskModel, name: str) -> None:
    if name not in model.task_heads:
        raise UserError(
            f"No task {name!r}.{nearest(name, model.task_heads)} Tasks of this model: {listed(model.task_heads)}."
        )
