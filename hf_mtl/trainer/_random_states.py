"""Random states of dropout: noted before a pass, and set back for another with the same masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

__all__ = ["random_states", "replayed"]


def random_states(device: torch.device) -> list[torch.Tensor]:
    """Return the random states as they are, of the CPU and of a GPU."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


@contextmanager
def replayed(states: Sequence[torch.Tensor], device: torch.device) -> Iterator[None]:
    """Set random states for the time of a context; afterwards they are as if nothing had been drawn in it.

    Args:
        states: What `random_states` returned.
        device: The same device.
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        for number, state in enumerate(states):
            torch.cuda.set_rng_state(state, device) if number else torch.set_rng_state(state)
        yield
