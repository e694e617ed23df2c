"""What a stateful aggregator of torchjd remembers, taken out and put back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = ["recall", "remember"]

#: Attributes that every module has, and that say nothing of its memory.
_COMMON = frozenset(vars(nn.Module()))


def remember(module: nn.Module) -> dict[str, Any]:
    """Return tensors, numbers and keys that an aggregator and its parts hold, by ``part/name``.

    torchjd's aggregators register their state as buffers that begin as ``None``, which ``load_state_dict`` refuses,
    and keep some in plain attributes; arrays become tensors.

    Args:
        module: The aggregator or weighting.
    """
    found: dict[str, Any] = {}
    for path, owner in module.named_modules():
        for name, value in {**vars(owner), **owner._buffers}.items():
            if name in _COMMON or isinstance(value, bool):
                continue
            if isinstance(value, torch.Tensor):
                found[f"{path}/{name}"] = value.clone()
            elif isinstance(value, np.ndarray):
                found[f"{path}/{name}"] = torch.from_numpy(value.copy())
            elif isinstance(value, (int, float)):
                found[f"{path}/{name}"] = value
    return found


def recall(module: nn.Module, state: dict[str, Any], like: torch.Tensor) -> None:
    """Put back what `remember` returned.

    Args:
        module: An aggregator built with the same options.
        state: What was remembered.
        like: A tensor of the gradients' type, on their device, with a row for each task.
    """
    modules = dict(module.named_modules())
    for key, value in state.items():
        path, _, name = key.rpartition("/")
        owner = modules[path]
        if name in owner._buffers:
            # PCD keeps its moving average in float64 on the CPU whatever the gradients are; others follow them.
            owner._buffers[name] = value.clone() if owner.__class__.__name__ == "PCDWeighting" else value.to(like)
        elif isinstance(vars(owner).get(name), np.ndarray):
            setattr(owner, name, value.numpy().copy())
        else:
            setattr(owner, name, value)
    for owner in modules.values():
        _set_key(owner, like)
        if getattr(owner, "step", 0) and hasattr(owner, "_init_optim_problem"):  # Nash-MTL, else built in step 0
            owner._init_optim_problem()


def _set_key(owner: nn.Module, like: torch.Tensor) -> None:
    """Set what an aggregator compares with each matrix, to start again where it differs."""
    rows, columns = like.shape
    keys: dict[str, Any] = {
        "GradVacWeighting": (rows, like.dtype),
        "PCDWeighting": rows,
        "MoDoWeighting": (rows, like.dtype, like.device),
        "SDMGradWeighting": (rows, like.dtype, like.device),
        "ExcessMTLWeighting": (rows, columns, like.dtype, like.device),
    }
    if (key := keys.get(owner.__class__.__name__)) is not None:
        setattr(owner, "_state_key", key)  # noqa: B010  # unknown to torch's types
