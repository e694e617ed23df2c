"""Geometric loss: the product of losses in place of their sum."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hf_mtl.balancers._base import Balancer, Step

__all__ = ["GeometricBalancer"]

_EPSILON = 1e-8


@dataclass(frozen=True)
class GeometricBalancer(Balancer):
    r"""Descend the geometric mean of the losses, in which no task's scale counts.

    .. math:: G = \Big( \prod_t L_t \Big)^{1/T}, \qquad w_t = \frac{\partial G}{\partial L_t} = \frac{G}{T L_t}

    over the T tasks that the step holds, with :math:`L_t` floored at :math:`10^{-8}`. The weights are those of the
    step's own losses, so a step of several micro-batches needs one more forward pass.

    Source: S. Chennupati, G. Sistu, S. Yogamani, S. Rawashdeh, MultiNet++: Multi-Stream Feature Aggregation and
    Geometric Loss Strategy for Multi-Task Learning, CVPR Workshops 2019, section 3.2.

    >>> from hf_mtl.balancers import TaskFacts
    >>> shares, losses = {"large": 0.5, "small": 0.5}, {"large": 4.0, "small": 1.0}
    >>> tasks = [TaskFacts("large"), TaskFacts("small")]
    >>> GeometricBalancer().weights(Step(0, 0, shares, losses, tasks=tasks))
    {'large': 0.25, 'small': 1.0}
    """

    requires_all_tasks = True
    weighs_current_losses = True

    def relative_weights(self, step: Step) -> dict[str, float]:
        """Return the geometric mean divided by each loss."""
        losses = {name: max(step.losses[name], _EPSILON) for name in step.shares}
        mean = math.exp(sum(map(math.log, losses.values())) / len(losses)) if losses else 0.0
        return {name: mean / loss for name, loss in losses.items()}
