"""Cosines between gradients that never meet: each is kept as a short sketch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch

from hf_mtl.balancers._seeds import step_seed

__all__ = ["CosineSketches"]

#: Numbers of a sketch.
_SIZE = 2**16
#: Coordinates hashed at once.
_CHUNK = 2**22


class CosineSketches:
    r"""Keeps the latest count sketch of each task's gradient and compares them.

    .. math:: S(g)_k = \sum_{i : h(i) = k} \sigma_i g_i

    with random buckets :math:`h(i) \in \{1, \dots, m\}` and signs :math:`\sigma_i`, the same for all tasks and steps,
    and m = 65,536. Products of sketches are unbiased estimates of those of the gradients, and the estimated cosine of
    two gradients has a standard deviation of about :math:`\sqrt{(1 + \cos^2) / m}`, at most 0.0055, whatever the number
    of parameters. Sketches are linear: those of micro-batches and ranks add up to that of the step.

    Args:
        seed: Names the buckets and signs.

    Source: M. Charikar, K. Chen, M. Farach-Colton, Finding Frequent Items in Data Streams, Theor. Comput. Sci. 312,
    2004, section 3.

    >>> sketches = CosineSketches(seed=1)
    >>> gradients = {"a": torch.tensor([3.0, 4.0]), "b": torch.tensor([6.0, 8.0])}
    >>> sketches.set({name: sketches.sketch([gradient]) for name, gradient in gradients.items()})
    >>> round(sketches.cosines()["a", "b"], 6)
    1.0
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.latest: dict[str, torch.Tensor] = {}

    def sketch(self, gradient: Sequence[torch.Tensor | None]) -> torch.Tensor:
        """Return the sketch of a gradient, [65536] float32 on the CPU.

        Args:
            gradient: The gradient of each parameter, ``None`` for zeros; the sizes must be the same in every call.
                A single vector of all parameters gives the same sketch only if every call passes one.
        """
        sketch = torch.zeros(_SIZE)
        for number, tensor in enumerate(gradient):
            if tensor is None:
                continue
            flat = tensor.detach().flatten().to("cpu", torch.float32)
            generator = torch.Generator().manual_seed(step_seed(self._seed, number))
            for chunk in flat.split(_CHUNK):
                hashes = torch.randint(0, 2 * _SIZE, (len(chunk),), generator=generator, dtype=torch.int32)
                signs = 1.0 - 2.0 * (hashes & 1)
                sketch.index_add_(0, hashes >> 1, chunk * signs)
        return sketch

    @staticmethod
    def zeros() -> torch.Tensor:
        """Return the sketch of zeros."""
        return torch.zeros(_SIZE)

    def set(self, sketches: Mapping[str, torch.Tensor]) -> None:
        """Put new sketches in the place of older ones.

        Args:
            sketches: A sketch of each task that a step held.
        """
        self.latest.update(sketches)

    def cosines(self) -> dict[tuple[str, str], float]:
        """Return the cosine of each pair of tasks, in the order of their names' first sketches."""
        doubles = {name: sketch.double() for name, sketch in self.latest.items()}
        units = {name: sketch / sketch.norm().clamp(min=1e-30) for name, sketch in doubles.items()}
        return {(one, two): float(units[one] @ units[two]) for one, two in combinations(units, 2)}

    def norms(self) -> dict[str, float]:
        """Return the estimated norm of each task's gradient; its relative deviation is about 0.003."""
        return {name: float(sketch.double().norm()) for name, sketch in self.latest.items()}
