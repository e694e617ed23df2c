"""Boxes of objects drawn over their picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hf_mtl_light.errors import MissingExtraError

__all__ = ["draw_boxes"]

#: Colours that differ for people who confuse red and green, too. Source: P. Tol, Colour Schemes, "bright".
_COLOURS = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377")


def draw_boxes(
    picture: Any, objects: Sequence[Mapping[str, Any]], labels: Sequence[str] = (), colour: str | None = None
) -> Any:
    """Return a picture with the boxes of its objects, each with its label and score.

    Args:
        picture: A picture of Pillow; it is not changed.
        objects: As a task of the type ``object-detection`` answers: ``label``, ``box`` with ``xmin``, ``ymin``,
            ``xmax`` and ``ymax`` in pixels and, if there is one, ``score``.
        labels: All labels, so that each has the same colour in any picture; by default those of the objects.
        colour: One colour for all boxes, without texts; to draw the true boxes below those that are found.

    Raises:
        ImportError: If Pillow is not installed.
    """
    try:
        from PIL import ImageDraw, ImageFont
    except ImportError as error:
        raise MissingExtraError("Drawing boxes needs Pillow: pip install 'hf-mtl[vision]'.") from error
    order = list(labels) or sorted({str(item["label"]) for item in objects})
    drawn = picture.convert("RGB")
    draw = ImageDraw.Draw(drawn)
    font = ImageFont.load_default(size=max(9, min(drawn.size) // 32))
    for item in objects:
        left, top, right, bottom = (item["box"][side] for side in ("xmin", "ymin", "xmax", "ymax"))
        own = colour or _COLOURS[order.index(item["label"]) % len(_COLOURS)]
        width = max(1, min(drawn.size) // 160)
        draw.rectangle((left, top, max(left, right), max(top, bottom)), outline=own, width=width)
        if colour is None:
            text = item["label"] if item.get("score") is None else f"{item['label']} {item['score']:.2f}"
            place = draw.textbbox((left, top), text, font=font)
            draw.rectangle(place, fill=own)
            draw.text((left, top), text, fill="white", font=font)
    return drawn
