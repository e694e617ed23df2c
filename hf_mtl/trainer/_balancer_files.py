"""What a balancer remembers, beside the optimizer's state in a checkpoint."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from hf_mtl.balancers import Balancer, CosineSketches, GradientBalancer
from hf_mtl_light.outputs import write_text_whole, written_whole

__all__ = ["load_balancer", "save_balancer"]

#: Numbers: the weights' own story, which a person may read.
_NUMBERS = "balancer.json"
#: Tensors: an aggregator's memory, and sketches of gradients.
_TENSORS = "balancer.pt"


def save_balancer(
    folder: Path, balancer: Balancer, tasks: Sequence[str], sketches: CosineSketches | None = None
) -> None:
    """Write what a balancer remembers; one that remembers nothing writes no file.

    Args:
        folder: The checkpoint.
        balancer: The balancer.
        tasks: The tasks with training rows.
        sketches: The sketches of the tasks' gradients, where they are compared.
    """
    tensors = balancer.tensors() if isinstance(balancer, GradientBalancer) else {}
    state = balancer.state()
    if state or tensors:
        numbers = {"balancer": type(balancer).__name__, "tasks": list(tasks), "state": state}
        write_text_whole(folder / _NUMBERS, json.dumps(numbers, indent=2) + "\n")
    latest = {} if sketches is None else sketches.latest
    if tensors or latest:
        with written_whole(folder / _TENSORS) as file:
            torch.save({"aggregator": tensors, "sketches": latest}, file)


def load_balancer(
    folder: Path, balancer: Balancer, tasks: Sequence[str], sketches: CosineSketches | None = None
) -> None:
    """Let a balancer that has just started continue from a checkpoint.

    One of another kind, or of other tasks, starts from scratch and says so.

    Args:
        folder: The checkpoint.
        balancer: The balancer.
        tasks: The tasks with training rows.
        sketches: The sketches of the tasks' gradients, where they are compared.
    """
    numbers, tensors = folder / _NUMBERS, folder / _TENSORS
    held = torch.load(tensors, map_location="cpu", weights_only=True) if tensors.is_file() else {}
    if sketches is not None:
        sketches.set(held.get("sketches", {}))
    saved = json.loads(numbers.read_text(encoding="utf-8")) if numbers.is_file() else None
    kind = type(balancer).__name__
    if saved is None:
        if balancer.state():
            warnings.warn(f"{folder.name} holds no state of a balancer. {kind} starts from scratch.", stacklevel=2)
    elif saved["balancer"] != kind or sorted(saved["tasks"]) != sorted(tasks):
        warnings.warn(
            f"{folder.name} holds the state of {saved['balancer']} for tasks {saved['tasks']}. {kind} for "
            f"{list(tasks)} starts from scratch.",
            stacklevel=2,
        )
    else:
        balancer.load_state(saved["state"])
        if isinstance(balancer, GradientBalancer):
            balancer.load_tensors(held.get("aggregator", {}))
