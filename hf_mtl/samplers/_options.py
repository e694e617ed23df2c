"""A strategy and its options, as arguments and recipes give them, to a sampler and the rules around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_mtl._options import check_option_names
from hf_mtl.samplers._base import DatasetSampler
from hf_mtl.samplers.plan._rules import SamplingRules

__all__ = ["build_sampler", "options_of"]

_RULES = SamplingRules.option_names()


def options_of(kind: type[DatasetSampler]) -> list[str]:
    """Return the names of a strategy's options, then of those that go with any."""
    return [*kind.option_names(), *_RULES]


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
    check_option_names(f"Sampling strategy {strategy!r}", options, options_of(kind))
    own = {name: value for name, value in options.items() if name not in _RULES}
    rules = {name: value for name, value in options.items() if name in _RULES}
    return kind(**own), SamplingRules(**rules)
