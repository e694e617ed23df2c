"""What a person says of a model for its card, checked before it is kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hf_mtl._names import listed, nearest
from hf_mtl.trainer._types import check_types
from hf_mtl_light.errors import UserError

__all__ = ["card_fields"]

#: Arguments of Transformers' cards that the card has no use for.
_REFUSED = ("tasks", "dataset_tags", "dataset", "dataset_args")


def card_fields(datasets: Collection[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``create_model_card`` that are given, by the names that a card's facts have.

    Args:
        datasets: Names of the training datasets.
        given: The arguments; ``None`` stands for one that is not given.

    Raises:
        TypeError: If one has another type.
        ValueError: If one is refused, or names a dataset that does not exist.
    """
    given = {name: value for name, value in given.items() if value is not None}
    for name in _REFUSED:
        if name in given:
            raise UserError(
                f"create_model_card({name}=...): the card names each task and dataset itself. Leave it out; "
                "give the datasets' ids on the Hub as dataset_ids={'name of the dataset': 'owner/id'}."
            )
    check_types(**given)
    for name in given.get("dataset_ids", ()):
        if datasets and name not in datasets:
            raise UserError(
                f"create_model_card(dataset_ids=...): no training dataset {name!r}.{nearest(name, datasets)} "
                f"Datasets: {listed(datasets)}."
            )
    for name in ("language", "tags"):
        if name in given:
            given[name] = [given[name]] if isinstance(given[name], str) else list(given[name])
    if "finetuned_from" in given:
        given["encoder"] = given.pop("finetuned_from")
    return given
