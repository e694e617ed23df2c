"""A model's answers to the examples of its card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_mtl.data import MultiTaskCollator
from hf_mtl.inference import predict
from hf_mtl.model import MultiTaskModel
from hf_mtl_light.inference import NotFiniteError

__all__ = ["card_answers"]


def card_answers(
    model: MultiTaskModel, collator: MultiTaskCollator, rows: Sequence[Any], **given: Any
) -> list[tuple[Any, dict[str, Any]]]:
    """Return rows with a model's answers to them; none where its answers are not finite, which an evaluation says.

    Args:
        model: The model; it is in training or not, as before.
        collator: Has the tokenizer.
        rows: The rows.
        given: Arguments of `hf_mtl.predict`.
    """
    was_training = model.training
    try:
        answers = list(predict(model, collator.tokenizer, rows, **given))
    except NotFiniteError:
        return []
    finally:
        model.train(was_training)
    return list(zip(rows, answers, strict=True))
