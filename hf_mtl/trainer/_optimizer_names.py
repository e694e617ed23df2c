"""An optimizer's state by the names of its parameters: torch itself matches by their order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hf_mtl._names import listed
from hf_mtl.trainer._whole import PARAMETER_NAMES
from hf_mtl_light.errors import UserError
from hf_mtl_light.outputs import write_text_whole

__all__ = ["matched_by_name", "save_parameter_names"]

#: Attributes of schedulers that hold a value for each parameter group.
_OF_GROUPS = ("base_lrs", "_last_lr", "lr_lambdas", "min_lrs", "max_lrs")


def _plain_optimizer(optimizer: Any) -> torch.optim.Optimizer:
    """Return the optimizer without what accelerate wraps around it."""
    inner: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)
    return inner


def _names(optimizer: Any, model: nn.Module) -> list[list[str]] | None:
    """Return the parameters' names by group; ``None`` if one is none of the model's, as where they are sharded."""
    of = {id(parameter): name for name, parameter in model.named_parameters()}
    names = [[of.get(id(p)) for p in group["params"]] for group in _plain_optimizer(optimizer).param_groups]
    return None if any(None in group for group in names) else names  # type: ignore[return-value]


def save_parameter_names(folder: Path, optimizer: Any, model: nn.Module) -> None:
    """Write the names of the parameters beside the optimizer's state.

    Args:
        folder: The checkpoint.
        optimizer: The optimizer.
        model: The model without what distributed training wraps around it.
    """
    names = _names(optimizer, model)
    if names is not None:
        write_text_whole(folder / PARAMETER_NAMES, json.dumps(names, indent=1) + "\n")


@contextmanager
def matched_by_name(folder: Path, optimizer: Any, scheduler: Any, model: nn.Module) -> Iterator[None]:
    """Let what loads the states of optimizer and scheduler, within, find each parameter's by its name.

    A checkpoint without names is loaded by position.

    Args:
        folder: The checkpoint.
        optimizer: The optimizer.
        scheduler: The scheduler.
        model: The model without what distributed training wraps around it.

    Raises:
        ValueError: If the parameters or their groups are others.
    """
    path, now = folder / PARAMETER_NAMES, _names(optimizer, model)
    if not path.is_file() or now is None:
        yield
        return
    saved: list[list[str]] = json.loads(path.read_text(encoding="utf-8"))
    groups = _matching_groups(saved, now, folder)

    def reorder(_: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        ids = {
            name: number
            for group, names in zip(state["param_groups"], saved, strict=True)
            for name, number in zip(names, group["params"], strict=True)
        }
        ordered = [
            {**state["param_groups"][old], "params": [ids[name] for name in names]}
            for old, names in zip(groups, now, strict=True)
        ]
        return {**state, "param_groups": ordered}

    handle = _plain_optimizer(optimizer).register_load_state_dict_pre_hook(reorder)
    try:
        yield
    finally:
        handle.remove()
    for name in _OF_GROUPS:
        values = getattr(scheduler, name, None)
        if isinstance(values, list) and len(values) == len(groups) and name != "lr_lambdas":
            setattr(scheduler, name, [values[old] for old in groups])


def _matching_groups(saved: Sequence[Sequence[str]], now: Sequence[Sequence[str]], folder: Path) -> list[int]:
    """Return for each group of now the number of the saved one with the same parameters."""
    numbers = {frozenset(group): number for number, group in enumerate(saved)}
    found = [numbers.get(frozenset(group)) for group in now]
    if None in found or len(saved) != len(now):
        before, after = ({name for group in groups for name in group} for groups in (saved, now))
        changed = sorted(before ^ after)
        what = (
            f"parameters {listed(changed[:5])}"
            if changed
            else "the groups that parameters learn in, by rate and decay,"
        )
        raise UserError(
            f"Cannot resume from {folder}: {what} differ from those of its optimizer. Resume with the arguments that "
            "it was trained with, or start a new training from its weights: "
            f"MultiTaskModel.from_pretrained({str(folder)!r})."
        )
    return [number for number in found if number is not None]
