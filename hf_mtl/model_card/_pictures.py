"""The pictures of a card: files beside it, boxes drawn over those in which objects were found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hf_mtl.heads import draw_boxes
from hf_mtl.model_card._facts import CardFacts
from hf_mtl_light.outputs import written_whole

__all__ = ["picture_name", "write_pictures"]

#: Pixels of the longer edge.
_EDGE = 640


def picture_name(number: int) -> str:
    """Return the name of a card's picture, counted from 0."""
    return f"card_picture_{number + 1}.png"


def write_pictures(folder: Path, facts: CardFacts) -> None:
    """Write the pictures that a card shows beside it."""
    labels = [label for task in facts.tasks if facts.head(task).labels_objects for label in task.labels or ()]
    for number, (picture, answers) in enumerate(facts.pictures):
        objects = [
            item for task in facts.tasks if facts.head(task).labels_objects for item in answers.get(task.name) or ()
        ]
        factor = min(1.0, _EDGE / max(picture.size))
        shown = picture.resize([max(1, round(edge * factor)) for edge in picture.size])
        with written_whole(folder / picture_name(number)) as file:
            draw_boxes(shown, [_scaled(item, factor) for item in objects], labels).save(file, "png")


def _scaled(item: Mapping[str, Any], factor: float) -> dict[str, Any]:
    return {**item, "box": {side: at * factor for side, at in item["box"].items()}}
