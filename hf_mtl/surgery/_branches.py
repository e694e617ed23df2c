"""Branches of one model: added and renamed."""

from __future__ import annotations

import dataclasses

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import check_branches
from hf_mtl.encoder import copy_top, num_layers
from hf_mtl.model import MultiTaskModel, TaskModules, refuse_adapters
from hf_mtl_light.errors import UserError

__all__ = ["add_branch", "rename_branch"]


def add_branch(model: MultiTaskModel, name: str, layers: int) -> None:
    """Give a model a branch: copies of the encoder's top layers as they are now; every answer stays as it is.

    Add heads that read it with ``add_head(model, TaskConfig(..., branch=name))``, and train it alone with the argument
    ``freeze_trunk=True``.

    Args:
        model: The model, changed in place.
        name: The branch.
        layers: The number of its layers.

    Raises:
        ValueError: If the name is taken, the encoder has fewer layers, or its layers are no list.

    >>> from transformers import BertConfig, BertModel
    >>> from hf_mtl import TaskConfig
    >>> bert = BertModel(BertConfig(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, vocab_size=9))
    >>> model = MultiTaskModel.from_encoder(bert, [TaskConfig("polarity", "sentiment", labels=["bad", "good"])])
    >>> add_branch(model, "tagging", 1)
    >>> model.config.branches
    {'tagging': 1}
    """
    refuse_adapters(model, "add_branch")
    branches = model.config.branches or {}
    if name in branches:
        raise UserError(f"The model has a branch {name!r} already. Branches: {listed(branches)}.")
    known = check_branches({**branches, name: layers}, model.tasks, num_layers(model.encoder))
    if layers:
        model.branches[name] = copy_top(model.encoder, layers)
    model.config.branches = known
    model._set_frozen(model.frozen)


def rename_branch(model: MultiTaskModel, old: str, new: str) -> None:
    """Give a branch another name.

    Args:
        model: The model, changed in place.
        old: The name that it has.
        new: The name that it gets.

    Raises:
        ValueError: If there is no such branch, or the new name is taken.
    """
    refuse_adapters(model, "rename_branch")
    branches = model.config.branches or {}
    if old not in branches:
        raise UserError(f"No branch {old!r}.{nearest(old, branches)} Branches of this model: {listed(branches)}.")
    if new in branches:
        raise UserError(f"The model has a branch {new!r} already. Branches: {listed(branches)}.")
    model.branches = TaskModules({new if name == old else name: top for name, top in model.branches.items()})
    model.config.branches = {new if name == old else name: count for name, count in branches.items()}
    tasks = []
    for task, head in zip(model.tasks, model.task_heads.values(), strict=True):
        head.task = dataclasses.replace(task, branch=new) if task.branch == old else task
        tasks.append(head.task)
    model.config.tasks = tasks
