"""Plans: from shares to whole draws, at any step of a training.

`make_plan` returns the `Plan` of a sampler: which rows of which dataset make up each batch or step. Draws are evenly
spread (`Spread`): at any position each dataset's count is within two of its share, any draw is known without the ones
before, and every rank computes the same. `SamplingRules` are what goes with any strategy: weights, limits, where an
epoch ends.

>>> from hf_mtl.samplers import UniformSampler
>>> plan = make_plan(UniformSampler(), {"trec": 2, "sst2": 4}, StepShape(rows=4))
>>> datasets, draws = plan.draw(epoch=0, unit=0)
>>> datasets.tolist(), draws.tolist()
([0, 1, 0, 1], [0, 0, 1, 1])
"""

from __future__ import annotations

from hf_mtl.samplers.plan._adaptive_plan import AdaptivePlan
from hf_mtl.samplers.plan._make_plan import make_plan
from hf_mtl.samplers.plan._permutation import permute, uniforms
from hf_mtl.samplers.plan._plan import BATCHINGS, Plan, StepShape
from hf_mtl.samplers.plan._rules import EXHAUSTED, SamplingRules
from hf_mtl.samplers.plan._spread import Spread
from hf_mtl.samplers.plan._stage import Stage
from hf_mtl.samplers.plan._stage_plan import StagePlan

__all__ = [
    "BATCHINGS",
    "EXHAUSTED",
    "AdaptivePlan",
    "Plan",
    "SamplingRules",
    "Spread",
    "Stage",
    "StagePlan",
    "StepShape",
    "make_plan",
    "permute",
    "uniforms",
]
