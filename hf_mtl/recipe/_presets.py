"""Presets: values that go together, by one word; what a recipe says itself takes precedence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["PRESETS", "with_preset"]

#: Name -> what it stands for.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Averaged weights in place of a rate that falls: benchmarks/results/sharing.md.
    "quality": {"training": {"lr_scheduler_type": "constant"}, "average": {"kind": "ema"}},
}


def with_preset(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a recipe's values with those of its preset where it has none.

    Args:
        values: The recipe; one that is malformed is returned as it is.

    >>> with_preset({"preset": "quality", "training": {"seed": 1}, "average": {"kind": "tail"}})
    {'preset': 'quality', 'training': {'lr_scheduler_type': 'constant', 'seed': 1}, 'average': {'kind': 'tail'}}
    """
    name, training = values.get("preset"), values.get("training", {})
    if not isinstance(name, str) or name not in PRESETS or not isinstance(training, Mapping):
        return values
    preset = dict(PRESETS[name])
    own = preset.pop("training", {})
    found = {key: value for key, value in preset.items() if key not in values and key not in training}
    return {**values, "training": {**own, **training}, **found}
