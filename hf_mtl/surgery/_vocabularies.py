"""Models that become one were trained with one tokenizer: the mark of its vocabulary is kept."""

from __future__ import annotations

from collections.abc import Sequence

from hf_mtl.model import MultiTaskModel
from hf_mtl_light.errors import UserError

__all__ = ["common_vocabulary"]


def common_vocabulary(models: Sequence[MultiTaskModel], names: Sequence[str]) -> str | None:
    """Return the mark of the vocabulary that models were trained with; ``None``: none of them has one.

    Args:
        models: The models.
        names: How messages call each.

    Raises:
        ValueError: If two were trained with different vocabularies.
    """
    marks = [(name, m.config.vocabulary) for name, m in zip(names, models, strict=True) if m.config.vocabulary]
    for name, mark in marks[1:]:
        if mark != marks[0][1]:
            both = f"{marks[0][0]} and {name}"
            raise UserError(
                f"{both[0].upper()}{both[1:]} were trained with different vocabularies: the same token has another "
                "embedding. Take models that were trained with one tokenizer."
            )
    return marks[0][1] if marks else None
