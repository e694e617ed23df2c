"""The aggregators of torchjd by name, built from options that JSON can hold."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from hf_mtl._names import listed, nearest
from hf_mtl_light.errors import MissingExtraError, UserError

if TYPE_CHECKING:
    from torchjd.aggregation import Aggregator, Weighting

__all__ = ["AggregatorRecipe", "aggregator_names", "plain_name"]

#: Options that are vectors with a number for each task; given as a mapping from task to number.
_VECTORS = ("pref_vector", "weights", "leak", "initial_weights")
#: Options that hold functions, which JSON cannot.
_FUNCTIONS = ("f",)
#: Weightings that compare the gradients of independent parts of a step, and how many parts.
_INDEPENDENT_SUBSETS = {"modo": 2, "sdmgrad": 3}


def plain_name(name: str) -> str:
    """Return a name as the table has it: lower case, without ``-`` and ``_``.

    >>> plain_name("Aligned_MTL")
    'alignedmtl'
    """
    return name.lower().replace("_", "").replace("-", "")


def _classes() -> dict[str, type]:
    """Return every aggregator of torchjd by its name in lower case, and the weightings that are no aggregator's.

    Raises:
        ImportError: If torchjd is missing.
    """
    try:
        from torchjd import aggregation
    except ImportError as error:
        raise MissingExtraError(
            "Balancing 'gradient' needs torchjd, which is not installed: pip install 'hf-mtl[gradients]'."
        ) from error
    bases = (aggregation.Aggregator, aggregation.WeightedAggregator, aggregation.GramianWeightedAggregator)
    kinds = {name: getattr(aggregation, name) for name in aggregation.__all__}
    found = {n.lower(): k for n, k in kinds.items() if issubclass(k, aggregation.Aggregator) and k not in bases}
    for name, kind in kinds.items():
        plain = name.removesuffix("Weighting").lower()
        if issubclass(kind, aggregation.Weighting) and plain and plain not in found:
            found[plain] = kind
    return found


def aggregator_names() -> list[str]:
    """Return the names of all aggregators that torchjd has.

    Raises:
        ImportError: If torchjd is missing.
    """
    return sorted(_classes())


class AggregatorRecipe:
    """Builds an aggregator of torchjd for any of the tasks.

    Args:
        name: Its class's name; case, ``_`` and ``-`` do not matter.
        options: Arguments of the class. Vectors are mappings from tasks to numbers; ``projector`` holds the arguments
            of ``torchjd.linalg.QuadprogProjector``; ``n_tasks`` is known. ``pcd`` also takes ``primary``, the task
            that the others must not disturb (by default the first); ``crmogm`` takes as ``weighting`` the name of the
            aggregator whose weights it smooths, or a mapping of ``aggregator`` and its options.

    Raises:
        ValueError: If the name or an option is unknown, or a required one is missing.
        ImportError: If torchjd, or a solver that the aggregator needs, is missing.
    """

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        classes = _classes()
        self.name = plain_name(name) if isinstance(name, str) else ""
        if self.name not in classes:
            raise UserError(
                f"Balancing 'gradient': unknown aggregator {name!r}.{nearest(str(name), classes)} Aggregators: "
                f"{listed(sorted(classes), most=40)}."
            )
        self._class = classes[self.name]
        self._options = dict(options)
        self.primary = self._options.pop("primary", None) if self.name == "pcd" else None
        parameters = {
            key: parameter
            for key, parameter in inspect.signature(self._class).parameters.items()
            if key not in (*_FUNCTIONS, "n_tasks")
        }
        valid = [*parameters, *(["primary"] if self.name == "pcd" else [])]
        for key in self._options:
            if key not in parameters:
                raise UserError(
                    f"Aggregator {self.name!r}: unknown option {key!r}.{nearest(key, valid)} Options: "
                    f"{listed(valid) or 'none'}."
                )
        for key, value in self._options.items():
            takes_flags = "bool" in str(parameters[key].annotation)
            if (isinstance(value, bool) and not takes_flags) or (isinstance(value, float) and not math.isfinite(value)):
                raise UserError(f"Aggregator {self.name!r}: {key} must be a finite number, found {value!r}.")
        for key, parameter in parameters.items():
            if parameter.default is inspect.Parameter.empty and key not in self._options:
                raise UserError(f"Aggregator {self.name!r} needs the option {key!r}.")
        for key in _VECTORS:
            if self._options.get(key) is not None and not isinstance(self._options[key], Mapping):
                raise UserError(
                    f"Aggregator {self.name!r}: {key} must be a mapping from tasks to numbers, found "
                    f"{self._options[key]!r}."
                )
        self.inner: AggregatorRecipe | None = None
        if self.name == "crmogm":
            inner = self._options.pop("weighting")
            inner = {"aggregator": inner} if isinstance(inner, str) else dict(inner)
            self.inner = AggregatorRecipe(
                inner.get("aggregator", ""), {k: v for k, v in inner.items() if k != "aggregator"}
            )
        self._check()

    def _check(self) -> None:
        """Build and use one for made-up tasks: what is wrong is found now, not in the first step."""
        from torchjd.aggregation import WeightedAggregator

        if self.inner is not None and not issubclass(self.inner._class, WeightedAggregator):
            raise UserError(f"Aggregator 'crmogm': {self.inner.name!r} has no weights to smooth. Choose another.")
        vectors = [self._options[key] for key in _VECTORS if self._options.get(key) is not None]
        made_up = [f"task{i}" for i in range(max(2, self.least_tasks))]
        names = list(dict.fromkeys(name for vector in vectors for name in vector)) or made_up
        built = self.build(names)
        if len(names) >= self.least_tasks:
            with torch.random.fork_rng([]):
                try:
                    built(torch.eye(len(names)))
                except (TypeError, ValueError) as error:
                    raise UserError(f"Aggregator {self.name!r}: {error}") from error

    @property
    def independent_subsets(self) -> int:
        """Into how many subsets a step must be cut whose gradients are compared; 1 is one gradient for each task."""
        return _INDEPENDENT_SUBSETS.get(self.name, 1)

    @property
    def least_tasks(self) -> int:
        """The fewest tasks that the aggregator is defined for."""
        if self.name == "krum":
            return max(int(self._options["n_byzantine"]) + 3, int(self._options.get("n_selected", 1)))
        if self.name == "trimmedmean":
            return int(2 * self._options["trim_number"] + 1)
        return self.inner.least_tasks if self.inner else 1

    @property
    def is_stateful(self) -> bool:
        """Whether the aggregator remembers earlier steps."""
        from torchjd import Stateful

        return issubclass(self._class, Stateful) or (self.inner is not None and self.inner.is_stateful)

    @property
    def is_weighted(self) -> bool:
        """Whether the gradient is a weighted sum of the tasks' gradients."""
        from torchjd.aggregation import WeightedAggregator, Weighting

        return issubclass(self._class, (WeightedAggregator, Weighting))

    def check_tasks(self, names: Sequence[str]) -> None:
        """Check the options against the tasks.

        Raises:
            ValueError: If an option names an unknown task or leaves one out, or there are too few tasks.
        """
        for key in _VECTORS:
            given = self._options.get(key) or dict.fromkeys(names)
            for name in given:
                if name not in names:
                    raise UserError(
                        f"Aggregator {self.name!r}: {key} names {name!r}, which is no task with training rows."
                        f"{nearest(name, names)} Tasks: {listed(names)}."
                    )
            missing = [name for name in names if name not in given]
            if missing:
                raise UserError(f"Aggregator {self.name!r}: {key} has no number for {listed(missing)}.")
        if self.primary is not None and self.primary not in names:
            raise UserError(
                f"Aggregator 'pcd': primary {self.primary!r} is no task with training rows."
                f"{nearest(str(self.primary), names)} Tasks: {listed(names)}."
            )
        if len(names) < self.least_tasks:
            raise UserError(
                f"Aggregator {self.name!r} with these options needs at least {self.least_tasks} tasks, found "
                f"{len(names)}: {listed(names)}."
            )
        if self.inner is not None:
            self.inner.check_tasks(names)

    def build(self, names: Sequence[str], like: torch.Tensor | None = None) -> Aggregator | Weighting[Any]:
        """Return an aggregator for these tasks, in this order; a weighting for those that compare parts of a step.

        Args:
            names: The tasks.
            like: A tensor of the gradients' type, on their device.

        Raises:
            ValueError: If an option is out of its range.
            ImportError: If a solver is missing.
        """
        from torchjd import aggregation, linalg

        options, like = dict(self._options), torch.zeros(()) if like is None else like
        for key in _VECTORS:
            if options.get(key) is not None:
                options[key] = like.new_tensor([float(options[key].get(name, 0.0)) for name in names])
        if isinstance(options.get("projector"), Mapping):
            options["projector"] = linalg.QuadprogProjector(**options["projector"])
        if "n_tasks" in inspect.signature(self._class).parameters:
            options["n_tasks"] = len(names)
        try:
            if self.inner is None:
                built: Aggregator | Weighting[Any] = self._class(**options)
                return built
            inner: Any = self.inner.build(names, like)
            if isinstance(inner, aggregation.GramianWeightedAggregator):
                return aggregation.GramianWeightedAggregator(self._class(inner.gramian_weighting, **options))
            return aggregation.WeightedAggregator(self._class(inner.weighting, **options))
        except ImportError as error:
            raise MissingExtraError(
                f"Aggregator {self.name!r} needs a solver that is not installed: pip install 'hf-mtl[gradients]'. "
                f"({error})"
            ) from error
        except (TypeError, ValueError) as error:
            raise UserError(f"Aggregator {self.name!r}: {error}") from error
