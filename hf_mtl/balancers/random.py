"""Random loss weighting: new random weights every step."""

from __future__ import annotations

from dataclasses import dataclass

from hf_mtl.balancers._base import Balancer, Step
from hf_mtl.balancers._seeds import step_seed

__all__ = ["RandomBalancer"]


@dataclass(frozen=True)
class RandomBalancer(Balancer):
    r"""Draw the weights of each step: the baseline that other balancers should beat.

    .. math:: \lambda = T \operatorname{softmax}(x), \qquad x \sim \mathcal N(0, I_T)

    drawn for all tasks from a generator keyed by (seed, step): any step's weights are known without those before it.

    Source: B. Lin, F. Ye, Y. Zhang, I. Tsang, Reasonable Effectiveness of Random Weighting: A Litmus Test for
    Multi-Task Learning, TMLR 2022, algorithm 2, with normal weights.

    >>> from hf_mtl.balancers import TaskFacts
    >>> step = Step(3, 0, {"intent": 0.5, "mood": 0.5}, tasks=[TaskFacts("intent"), TaskFacts("mood")], seed=7)
    >>> round(sum(RandomBalancer().weights(step).values()), 12)
    1.0
    """

    def relative_weights(self, step: Step) -> dict[str, float]:
        """Return the step's weights; over all tasks they add up to T."""
        import torch  # the command line reads the names and options of balancers without it

        generator = torch.Generator().manual_seed(step_seed(step.seed, step.number))
        drawn = torch.randn(len(step.tasks), generator=generator, dtype=torch.float64).softmax(0) * len(step.tasks)
        weights = dict(zip((task.name for task in step.tasks), drawn.tolist(), strict=True))
        return {name: weights[name] for name in step.shares}
