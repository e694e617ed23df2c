"""Adapters by name of branch or task, ``{"tagging": {"r": 8}, "mood": {"r": 4}}``: one config of PEFT for all.

A branch's layers exist once for its tasks, so an adapter in them learns from these tasks alone. A task that is named
gets a branch of all layers for itself. What may differ from name to name is where adapters lie, their rank and their
scale; PEFT's config has a pattern for each of these, and so one file holds them all.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from hf_mtl._names import listed, nearest
from hf_mtl.encoder import copy_top, num_layers
from hf_mtl_light.errors import UserError

__all__ = ["branches_for", "is_by_name", "joined"]

#: Fields of PEFT's configs that may differ from name to name, and the field that holds the differences.
_PATTERNS = {"r": "rank_pattern", "lora_alpha": "alpha_pattern", "alpha": "alpha_pattern"}


def is_by_name(given: Any) -> bool:
    """Return whether adapters are given by the names of branches and tasks."""
    if not isinstance(given, Mapping) or not given:
        return False
    return all(isinstance(value, Mapping) or hasattr(value, "peft_type") for value in given.values())


@contextmanager
def branches_for(model: Any, names: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Give each name the branch that its adapters lie in; if what follows fails, the model is as it was.

    Args:
        model: The model. A named task without a branch gets one, of all layers.
        names: Names of branches and tasks.

    Yields:
        Name -> branch.

    Raises:
        ValueError: If there is no such branch or task, or a task shares its branch.
    """
    config, heads = model.config, model.task_heads
    branches, tasks = dict(config.branches or {}), list(config.tasks)
    found: dict[str, str] = {}
    new: list[str] = []
    for name in names:
        if name in branches:
            found[name] = name
            continue
        if name not in heads:
            known = [*branches, *heads]
            raise UserError(
                f"peft: {name!r} is no branch and no task.{nearest(name, known)} Branches: "
                f"{listed(branches) or 'none'}; tasks: {listed(heads)}."
            )
        branch = heads[name].task.branch
        sharing = [task.name for task in tasks if branch is not None and task.branch == branch and task.name != name]
        if sharing:
            raise UserError(
                f"peft: task {name!r} shares the branch {branch!r} with {listed(sharing)}, which would learn by the "
                f"same adapter. Name the branch: peft: {{{branch}: ...}}."
            )
        found[name] = name if branch is None else branch
        if branch is None:
            new.append(name)
    if without := [branch for branch in found.values() if branches.get(branch) == 0]:
        raise UserError(f"peft: the branch {without[0]!r} has 0 layers, so there is nothing to adapt. Give it some.")
    if new and config._name_or_path:
        raise UserError(
            f"peft: task {new[0]!r} has no branch, and the model comes from {config._name_or_path!r}, which has none "
            "for it, either. Add one and save the model first: hf_mtl.surgery.add_branch, then replace the task."
        )
    for name in new:
        model.branches[name] = copy_top(model.encoder, num_layers(model.encoder))
        heads[name].task = dataclasses.replace(heads[name].task, branch=name)
    if new:
        config.branches = {**branches, **{name: num_layers(model.encoder) for name in new}}
        config.tasks = [head.task for head in heads.values()]
    try:
        yield found
    except Exception:
        for name in new:
            del model.branches[name]
            heads[name].task = dataclasses.replace(heads[name].task, branch=None)
        if new:
            config.branches, config.tasks = branches or None, tasks
        raise


def joined(model: Any, configs: Mapping[str, Any], branches: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of one config of PEFT whose adapters lie in the branches of all names.

    Args:
        model: The model.
        configs: Name -> PEFT's config of it.
        branches: Name -> its branch.

    Raises:
        ValueError: If configs differ in what one model cannot have twice, or one fits no layer.
    """
    first_name, first = next(iter(configs.items()))
    fields = {f.name: getattr(first, f.name) for f in dataclasses.fields(first) if f.init}
    targets: list[str] = []
    patterns: dict[str, dict[str, Any]] = {}
    for name, config in configs.items():
        if type(config) is not type(first):
            raise UserError(
                f"peft: {name!r} and {first_name!r} differ in their type. Adapters of one model are of one type."
            )
        prefix = _prefix(model, branches[name])
        targets += _targets(model, prefix, config, name)
        for field in fields:
            value = getattr(config, field)
            if field in _PATTERNS:
                patterns.setdefault(_PATTERNS[field], {})[rf"{re.escape(prefix)}\..*"] = value
            elif field in ("rank_pattern", "alpha_pattern") and value:
                raise UserError(f"peft.{name}: {field} says by layer what r and alpha say by name. Leave it out.")
            elif field not in ("target_modules", "exclude_modules") and value != fields[field]:
                raise UserError(
                    f"peft: {name!r} and {first_name!r} differ in {field}: {value!r}, {fields[field]!r}. Adapters of "
                    "one model differ in target_modules, rank and alpha alone."
                )
    return {**fields, **patterns, "target_modules": targets, "exclude_modules": None}


def _prefix(model: nn.Module, branch: str) -> str:
    branches: Any = model.get_submodule("branches")
    layers = branches[branch]
    found: str = next(name for name, module in model.named_modules() if module is layers)
    return found


def _targets(model: nn.Module, prefix: str, config: Any, name: str) -> list[str]:
    """Return the names of a branch's layers that a config adapts."""
    within = {n: m for n, m in model.named_modules() if n.startswith(f"{prefix}.")}
    linear = [n for n, m in within.items() if isinstance(m, nn.Linear)]
    wanted, excluded = config.target_modules, config.exclude_modules
    if wanted in (None, "all-linear"):
        found = linear
    elif isinstance(wanted, str):
        found = [n for n in within if re.fullmatch(wanted, n)]
    else:
        found = [n for n in within if any(n == key or n.endswith(f".{key}") for key in wanted)]
    found = [n for n in found if not re.fullmatch(excluded, n)]
    if not found:
        shown = sorted({n.rsplit(".", 1)[-1] for n in linear})
        raise UserError(
            f"peft.{name}: target_modules={wanted!r} fits none of its layers. Linear layers: {listed(shown, 12)}."
        )
    return found
