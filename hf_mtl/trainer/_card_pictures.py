"""The pictures that a card is to show: checked before the training, answered when the card is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hf_mtl.data import MultiTaskCollator, PictureError, read_picture
from hf_mtl.model import MultiTaskModel
from hf_mtl.trainer._card_answers import card_answers
from hf_mtl_light.errors import UserError

__all__ = ["answered_pictures", "check_card_pictures"]


def check_card_pictures(paths: Sequence[str], image_processor: Any) -> None:
    """Check the pictures that the card is to show, hours before it is written.

    Raises:
        ValueError: If one cannot be read, or the model reads none.
    """
    if paths and image_processor is None:
        raise UserError("card_pictures would be without effect: no task reads pictures. Leave it out.")
    for path in paths:
        _read(path)


def _read(path: str) -> Any:
    try:
        return read_picture(Path(path))
    except PictureError as error:
        raise UserError(f"card_pictures, {path!r}: {error}") from None


def answered_pictures(
    model: MultiTaskModel, collator: MultiTaskCollator, paths: Sequence[str]
) -> list[tuple[Any, dict[str, Any]]]:
    """Return pictures and a model's answers to them; none where its answers are not finite."""
    if not paths or collator.image_processor is None:
        return []
    reading = [name for name, head in model.task_heads.items() if "image" in head.modalities()]
    rows = [{"image": _read(path)} for path in paths]
    found = card_answers(model, collator, rows, tasks=reading, image_processor=collator.image_processor)
    return [(row["image"], answer) for row, answer in found]
