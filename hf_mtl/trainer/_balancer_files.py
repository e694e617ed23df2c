"""What a balancer remembers, beside the optimizer's state in a checkpoint."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from hf_mtl.balancers import Aggregation, Balancer, CosineSketches, State
from hf_mtl_light.outputs import write_text_whole, written_whole

__all__ = ["Memory", "load_balancer", "save_balancer"]

#: Numbers: the weights' own story, which a person may read.
_NUMBERS = "balancer.json"
#: Tensors: an aggregator's memory, and sketches of gradients.
_TENSORS = "balancer.pt"


@dataclass(frozen=True)
class Memory:
    """What a training's balancing remembers.

    Args:
        state: What the balancer has learnt.
        aggregation: Of gradient methods, the aggregator and its state.
        sketches: The sketches of the tasks' gradients, where they are compared.
    """

    state: State
    aggregation: Aggregation | None = None
    sketches: CosineSketches | None = None


def save_balancer(folder: Path, balancer: Balancer, tasks: Sequence[str], memory: Memory) -> None:
    """Write what a balancer has learnt; of one that learns nothing there is no file.

    Args:
        folder: The checkpoint.
        balancer: The balancer.
        tasks: The tasks with training rows.
        memory: What is remembered.
    """
    tensors = {} if memory.aggregation is None else memory.aggregation.tensors()
    if memory.state or tensors:
        numbers = {"balancer": type(balancer).__name__, "tasks": list(tasks), "state": memory.state}
        write_text_whole(folder / _NUMBERS, json.dumps(numbers, indent=2) + "\n")
    latest = {} if memory.sketches is None else memory.sketches.latest
    if tensors or latest:
        with written_whole(folder / _TENSORS) as file:
            torch.save({"aggregator": tensors, "sketches": latest}, file)


def load_balancer(folder: Path, balancer: Balancer, tasks: Sequence[str], memory: Memory) -> State:
    """Return what a balancer knows after a checkpoint, and put its tensors into the memory.

    One of another kind, or of other tasks, starts from scratch and says so.

    Args:
        folder: The checkpoint.
        balancer: The balancer.
        tasks: The tasks with training rows.
        memory: What is remembered at the start of a training.
    """
    numbers, tensors = folder / _NUMBERS, folder / _TENSORS
    held = torch.load(tensors, map_location="cpu", weights_only=True) if tensors.is_file() else {}
    if memory.sketches is not None:
        memory.sketches.set(held.get("sketches", {}))
    saved = json.loads(numbers.read_text(encoding="utf-8")) if numbers.is_file() else None
    kind = type(balancer).__name__
    if saved is None:
        if memory.state:
            warnings.warn(f"{folder.name} holds no state of a balancer. {kind} starts from scratch.", stacklevel=2)
        return memory.state
    if saved["balancer"] != kind or sorted(saved["tasks"]) != sorted(tasks):
        warnings.warn(
            f"{folder.name} holds the state of {saved['balancer']} for tasks {saved['tasks']}. {kind} for "
            f"{list(tasks)} starts from scratch.",
            stacklevel=2,
        )
        return memory.state
    if memory.aggregation is not None:
        memory.aggregation.load_tensors(held.get("aggregator", {}))
    state: State = saved["state"]
    return state
