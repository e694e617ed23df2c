"""Augmentations that a recipe names at its top and under its datasets, as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["joined_augmentation"]


def joined_augmentation(top: Mapping[str, Any], of_datasets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the training arguments take: each name once, with the options of each dataset.

    Args:
        top: Name -> options, for all datasets or those that ``datasets`` names.
        of_datasets: For each dataset name -> options, which take precedence over those of the top.

    >>> joined_augmentation({"word-deletion": {"p": 0.1}}, {"a": {"word-deletion": {"rate": 0.2}}, "b": {}})
    {'word-deletion': {'p': 0.1, 'datasets': {'a': {'rate': 0.2}, 'b': {}}}}
    """
    names = dict.fromkeys([*top, *(name for given in of_datasets.values() for name in given)])
    joined: dict[str, Any] = {}
    for name in names:
        own = {dataset: given[name] for dataset, given in of_datasets.items() if name in given}
        options = dict(top.get(name, {}))
        if own:
            named = options.pop("datasets", None) if name in top else ()
            # None names all.
            first = (
                dict(named)
                if isinstance(named, Mapping)
                else {d: {} for d in (of_datasets if named is None else named)}
            )
            options["datasets"] = first | {dataset: {**first.get(dataset, {}), **more} for dataset, more in own.items()}
        joined[name] = options
    return joined
