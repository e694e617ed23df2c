"""Round-robin: the datasets take turns."""

from __future__ import annotations

from dataclasses import dataclass

from hf_mtl.samplers.uniform import UniformSampler

__all__ = ["RoundRobinSampler"]


@dataclass(frozen=True)
class RoundRobinSampler(UniformSampler):
    """Let the D datasets take turns: any D draws in a row hold each of them once.

    Draws are spread evenly here, so equal shares are turns, and this is `UniformSampler` under the name by which turns
    are looked for. A turn is a row in mixed batches and an optimizer step in homogeneous ones; the smallest dataset
    begins.
    """
