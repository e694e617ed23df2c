"""Gains read from the log of one training: what a step along one task's gradient does to another's loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

import numpy as np

from hf_mtl._names import listed
from hf_mtl.report import Run
from hf_mtl_light.errors import UserError

__all__ = ["gradient_gains"]


def gradient_gains(run: Run, tasks: Sequence[str]) -> np.ndarray:
    r"""Return the first-order gains of a training that compared the tasks' gradients (``gradient_cosine_steps``).

    .. math:: G_{ij} \propto \sum_t \eta_t \frac{\langle g_i, g_j \rangle}{\lVert g_j \rVert L_i}

    the part of loss i that a step of unit length along the gradient of task j takes away, over all logs with their
    learning rates. Steps are of unit length since clipping and Adam take the length of a gradient away. Products are
    those of sketches of the encoder's gradients, the latest of each task.

    Args:
        run: What `hf_mtl.report.read_run` read.
        tasks: Names of the tasks.

    Returns:
        [T, T] float64, in units of the root mean square of all gains; NaN where two tasks were not compared.

    Raises:
        ValueError: If the log holds no gradients.

    Source: C. Fifty et al., Efficiently Identifying Task Groupings for Multi-Task Learning, NeurIPS 2021, section 3,
    whose lookahead step is taken to first order.
    """
    places = {name: number for number, name in enumerate(tasks)}
    sums, counts = np.zeros((len(tasks), len(tasks))), np.zeros((len(tasks), len(tasks)))
    losses: dict[str, float] = {}
    for entry in run.log:
        losses |= {name: entry[key] for name in tasks if _is_finite(entry.get(key := f"loss/{name}"))}
        for one, two in run.cosines():
            cosine = entry.get(f"gradient_cosine/{one}/{two}")
            if not _is_finite(cosine) or one not in places or two not in places:
                continue
            for i, j in ((one, two), (two, one)):
                norm, loss = entry.get(f"gradient_norm/{i}"), losses.get(i)
                if _is_finite(norm) and loss is not None and loss > 0:
                    at = places[i], places[j]
                    sums[at] += float(entry.get("learning_rate", 1.0)) * cosine * norm / loss
                    counts[at] += 1
    if not counts.any():
        raise UserError(
            f"Run {run.name!r}: its log holds no gradients of two of the tasks {listed(tasks)}. Train it with "
            "gradient_cosine_steps: 1, say."
        )
    gains = np.where(counts > 0, sums / np.maximum(counts, 1), math.nan)
    scale = float(np.sqrt(np.nanmean(gains**2)))
    found: np.ndarray = gains / (scale or 1.0)
    return found


def _is_finite(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and math.isfinite(value)
