"""Which heads answer a batch: those that are asked, have rows, and find what they read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import MODALITIES, Modality
from hf_mtl.encoder import JointStates, States
from hf_mtl.heads import Head
from hf_mtl_light.errors import UserError

__all__ = ["asked_heads", "given_inputs", "states_of"]

#: The argument of a pass that holds what an encoder reads.
_INPUTS: dict[Modality, str] = {"text": "input_ids", "image": "pixel_values"}


def given_inputs(texts: Any, pictures: Any) -> list[Modality]:
    """Return which encoders a batch is for.

    Args:
        texts: ``input_ids`` or ``inputs_embeds``, or ``None``.
        pictures: ``pixel_values``, or ``None``.

    Raises:
        ValueError: If it holds nothing.
    """
    found: list[Modality] = [] if texts is None else ["text"]
    if pictures is not None:
        found.append("image")
    if not found:
        raise UserError("The batch holds neither texts nor pictures: pass input_ids, inputs_embeds or pixel_values.")
    return found


def asked_heads(
    heads: Mapping[str, Head],
    given: Sequence[Modality],
    tasks: Sequence[str] | None,
    labels: Mapping[str, Any] | None = None,
    rows: Mapping[str, Any] | None = None,
) -> dict[str, Head]:
    """Return the heads that answer a batch, in the order in which they are asked.

    Args:
        heads: The heads, by task.
        given: What the batch holds.
        tasks: The tasks that are asked; ``None``: all that can be.
        labels: Labels by task.
        rows: The rows that each task's head sees; one that sees none does not run. ``None``: each sees all.

    Raises:
        ValueError: If a task is unknown, or the batch lacks what a task reads that is named or has rows.
    """
    for source, names in (("tasks", tasks), ("labels", labels), ("rows", rows)):
        for name in names or ():
            if name not in heads:
                raise UserError(
                    f"{source} names {name!r}, which is no task of this model.{nearest(name, heads)} "
                    f"Tasks: {listed(heads)}."
                )
    found = {}
    for name in heads if tasks is None else dict.fromkeys(tasks):
        if rows is not None and not len(rows.get(name, ())):
            continue
        reads = heads[name].modality()
        if any(kind in given for kind in heads[name].modalities()):
            found[name] = heads[name]
        elif tasks is not None or rows is not None:
            raise UserError(f"Task {name!r} reads {MODALITIES[reads]}, and the batch has none: pass {_INPUTS[reads]}.")
    return found


def states_of(
    head: Head, found: Mapping[Modality, tuple[States, Sequence[torch.Tensor]]], pairs: torch.Tensor | None
) -> tuple[States, Sequence[torch.Tensor]]:
    """Return the last states that a head reads, and those of all layers where it reads some.

    Args:
        head: The head.
        found: What each encoder gave.
        pairs: See `MultiTaskModel.forward`.
    """
    if head.reads == "joint":
        return JointStates.of({kind: states for kind, (states, _) in found.items()}, pairs), []
    return found[head.modality()]
