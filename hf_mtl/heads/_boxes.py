"""Boxes of objects in pictures: how datasets write them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_mtl._names import listed
from hf_mtl.configuration import TaskConfig
from hf_mtl.heads._labels import LabelError, label_index, shortened

__all__ = ["BOX_FORMATS", "Objects", "as_columns", "read_objects"]

#: What the four numbers of a box are. ``"coco"``: left, top, width and height; ``"pascal_voc"``: left, top, right and
#: bottom, all in pixels; ``"yolo"``: the centre, width and height, as fractions of the picture.
BOX_FORMATS = ("coco", "pascal_voc", "yolo")
_NUMBERS = {
    "coco": "left, top, width and height",
    "pascal_voc": "left, top, right and bottom",
    "yolo": "the centre, width and height",
}
#: Keys of a cell with objects: the boxes, and the label of each.
BOXES = "bbox"
LABELS = "category"
#: Width or height, in pixels, below which a box has no area.
_LEAST = 1e-3


@dataclass(frozen=True)
class Objects:
    """The objects of a picture.

    Args:
        boxes: The left, top, right and bottom of each, in pixels of the picture as it is seen upright; all lie in it.
        labels: The label of each.
        width: Pixels of the picture.
        height: Likewise.
        clipped: Boxes that reached out of the picture.
        dropped: Boxes that were left out, without an area in the picture.
    """

    boxes: tuple[tuple[float, float, float, float], ...]
    labels: tuple[str, ...]
    width: int
    height: int
    clipped: int = 0
    dropped: int = 0

    def moved(self, boxes: Sequence[Sequence[float]], size: tuple[int, int], least_visible: float = 0.0) -> Objects:
        """Return the objects at other places of a changed picture.

        Args:
            boxes: The left, top, right and bottom of each, in pixels; what reaches out of the picture is clipped.
            size: Its width and height, in pixels.
            least_visible: Objects of whose box a smaller share lies in the picture are left out.
        """
        kept, labels = [], []
        for box, label in zip(boxes, self.labels, strict=True):
            inside = _clipped(box, size)
            area = (box[2] - box[0]) * (box[3] - box[1])
            if _has_area(inside) and (inside[2] - inside[0]) * (inside[3] - inside[1]) >= least_visible * area:
                kept.append(inside)
                labels.append(label)
        return Objects(tuple(kept), tuple(labels), *size)


def _clipped(box: Sequence[float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    left, top, right, bottom = (min(max(at, 0.0), float(size[axis % 2])) for axis, at in enumerate(box))
    return left, top, right, bottom


def _has_area(box: Sequence[float]) -> bool:
    return box[2] - box[0] >= _LEAST and box[3] - box[1] >= _LEAST


def read_objects(task: TaskConfig, value: Any, size: tuple[int, int], box_format: str) -> Objects:
    """Return the objects of a cell; boxes that reach out of the picture are clipped, those without an area left out.

    Args:
        task: The task.
        value: A mapping from ``bbox`` to the boxes and from ``category`` to their labels, or a list of such mappings,
            each of one object.
        size: Width and height of the picture, in pixels.
        box_format: One of `BOX_FORMATS`.

    Raises:
        LabelError: If it is none of these, or a box or a label is not one; with row 0.
    """
    boxes, names = _columns(value)
    if len(boxes) != len(names):
        raise LabelError(0, f"{len(boxes)} boxes for {len(names)} labels. Give each box its label.")
    kept, labels = [], []
    clipped = dropped = 0
    for number, (box, name) in enumerate(zip(boxes, names, strict=True)):
        corners = _corners(box, number, size, box_format)
        if name is None:
            raise LabelError(0, f"box {number} has no label. Name one, or leave the box out.")
        label_index(task, name, 0)
        inside = _clipped(corners, size)
        if not _has_area(inside):
            dropped += 1
            continue
        clipped += inside != corners
        kept.append(inside)
        labels.append(str(name))
    return Objects(tuple(kept), tuple(labels), *size, clipped, dropped)


def as_columns(value: Any) -> Any:
    """Return a list of mappings, each of one object, as one mapping with a list for each key; all else as it is."""
    if isinstance(value, (list, tuple)) and all(isinstance(item, Mapping) for item in value):
        return {key: [item.get(key) for item in value] for key in (BOXES, LABELS)}
    return value


def _columns(value: Any) -> tuple[Sequence[Any], Sequence[Any]]:
    """Return the boxes and the labels of a cell."""
    value = as_columns(value)
    if not isinstance(value, Mapping) or not {BOXES, LABELS} <= value.keys():
        found = f"a mapping with {listed(value)}" if isinstance(value, Mapping) else shortened(value)
        raise LabelError(
            0,
            f"expected a mapping with {BOXES!r} and {LABELS!r}, found {found}. Rename the fields.",
        )
    boxes, names = value[BOXES], value[LABELS]
    for key, column in ((BOXES, boxes), (LABELS, names)):
        if not isinstance(column, (list, tuple)):
            raise LabelError(
                0,
                f"{key!r} must be a list with an entry an object, found {shortened(column)}. An empty list: no object.",
            )
    return boxes, names


def _corners(box: Any, number: int, size: tuple[int, int], box_format: str) -> tuple[float, float, float, float]:
    """Return a box's left, top, right and bottom, in pixels."""
    is_box = isinstance(box, (list, tuple)) and len(box) == 4
    if not is_box or any(isinstance(at, bool) or not isinstance(at, (int, float)) for at in box):
        raise LabelError(
            0,
            f"box {number} must be four numbers, {_NUMBERS[box_format]}, found {shortened(box)}. Write them, or leave "
            "the box out.",
        )
    if not all(map(math.isfinite, box)):
        raise LabelError(0, f"box {number} must be four finite numbers, found {shortened(list(box))}. Leave it out.")
    a, b, c, d = map(float, box)
    if box_format == "pascal_voc":
        return a, b, c, d
    if box_format == "coco":
        return a, b, a + c, b + d
    if max(map(abs, box)) > 10:
        raise LabelError(
            0,
            f"box {number} must be fractions of the picture, as box_format='yolo' says, found {shortened(list(box))}. "
            "Set the option box_format to 'coco' or 'pascal_voc'.",
        )
    width, height = size
    return (a - c / 2) * width, (b - d / 2) * height, (a + c / 2) * width, (b + d / 2) * height
