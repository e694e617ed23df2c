"""A strategy and its options, as arguments and recipes give them, to a sampler and the rules around it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hf_mtl._names import listed, nearest
from hf_mtl.samplers._base import DatasetSampler
from hf_mtl.samplers.plan._rules import SamplingRules
from hf_mtl_light.errors import UserError

__all__ = ["build_sampler", "options_of"]

_RULES = tuple(field.name for field in dataclasses.fields(SamplingRules))


def options_of(kind: type[DatasetSampler]) -> list[str]:
    """Return the names of a strategy's options, then of those that go with any."""
    own: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
    return [*(field.name for field in own), *_RULES]


def build_sampler(
    kind: type[DatasetSampler], strategy: str, options: Mapping[str, Any]
) -> tuple[DatasetSampler, SamplingRules]:
    """Build a sampler and the rules around it.

    Args:
        kind: The strategy's class.
        strategy: Its name, for messages.
        options: Its options, and those of `SamplingRules`.

    Raises:
        ValueError: If an option is unknown or its value wrong.
    """
    valid = options_of(kind)
    for name in options:
        if name not in valid:
            raise UserError(
                f"Sampling strategy {strategy!r} has no option {name!r}.{nearest(str(name), valid)} "
                f"Options: {listed(valid)}."
            )
    own = {name: value for name, value in options.items() if name not in _RULES}
    rules = {name: value for name, value in options.items() if name in _RULES}
    return kind(**own), SamplingRules(**rules)
