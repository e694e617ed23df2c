"""Balancers: how the tasks' losses become one loss, or their gradients one gradient.

`BALANCERS` is the table of methods by name; a new one is one file and one row here. A user's own `Balancer` is passed
to ``MultiTaskTrainer(balancer=...)`` instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hf_mtl._later import later
from hf_mtl._names import listed, nearest
from hf_mtl._options import check_option_names, made_once, parsed_options
from hf_mtl.balancers._base import Balancer, State, Step, TaskFacts
from hf_mtl.balancers.dwa import DynamicWeightAverage
from hf_mtl.balancers.equal import EqualBalancer
from hf_mtl.balancers.famo import FamoBalancer
from hf_mtl.balancers.fixed import FixedBalancer
from hf_mtl.balancers.geometric import GeometricBalancer
from hf_mtl.balancers.gradient import GradientBalancer
from hf_mtl.balancers.random import RandomBalancer
from hf_mtl.balancers.uncertainty import UncertaintyBalancer
from hf_mtl_light.errors import UserError

if TYPE_CHECKING:
    from hf_mtl.balancers._aggregation import Aggregation
    from hf_mtl.balancers._aggregators import AggregatorRecipe, aggregator_names
    from hf_mtl.balancers._sketch import CosineSketches

__all__ = [
    "BALANCERS",
    "Aggregation",
    "AggregatorRecipe",
    "Balancer",
    "CosineSketches",
    "DynamicWeightAverage",
    "EqualBalancer",
    "FamoBalancer",
    "FixedBalancer",
    "GeometricBalancer",
    "GradientBalancer",
    "RandomBalancer",
    "State",
    "Step",
    "TaskFacts",
    "UncertaintyBalancer",
    "aggregator_names",
    "make_balancer",
]

#: What needs torch, and where it lies: the command line reads the methods and their options without it.
_LATER = {
    "Aggregation": "_aggregation",
    "AggregatorRecipe": "_aggregators",
    "aggregator_names": "_aggregators",
    "CosineSketches": "_sketch",
}

#: Method -> balancer.
BALANCERS: dict[str, type[Balancer]] = {
    "fixed": FixedBalancer,
    "equal": EqualBalancer,
    "uncertainty": UncertaintyBalancer,
    "dwa": DynamicWeightAverage,
    "famo": FamoBalancer,
    "random": RandomBalancer,
    "geometric": GeometricBalancer,
    "gradient": GradientBalancer,
}


@made_once
def make_balancer(method: str, options: Mapping[str, Any] | str | None = None) -> Balancer:
    """Return the balancer of a method.

    Args:
        method: A key of `BALANCERS`.
        options: Arguments of its class, as a mapping or as JSON; those of ``"gradient"`` are the aggregator's, too.

    Raises:
        ValueError: If the method or an option is unknown, or an option is out of its range.
        ImportError: If it needs a package that is missing.

    >>> type(make_balancer("dwa", {"temperature": 1.0})).__name__
    'DynamicWeightAverage'
    """
    if method not in BALANCERS:
        raise UserError(f"Unknown balancing {method!r}.{nearest(method, BALANCERS)} Methods: {listed(BALANCERS)}.")
    kind, given = BALANCERS[method], parsed_options("balancing_options", options)
    if kind is not GradientBalancer:
        check_option_names(f"Balancing {method!r}", given, kind.option_names())
    return kind(**given)


def __getattr__(name: str) -> Any:
    return later(name, __name__, _LATER)
