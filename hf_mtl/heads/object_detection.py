"""The objects of a picture: a box and a label for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedConfig
from transformers.loss.loss_for_object_detection import generalized_box_iou

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import TaskConfig, default_metrics
from hf_mtl.encoder import ImageStates, States
from hf_mtl.heads._assignment import assign
from hf_mtl.heads._base import Head
from hf_mtl.heads._boxes import BOX_FORMATS, read_objects
from hf_mtl.heads._labels import LabelError, LabelledRow
from hf_mtl.heads._numerics import as_array
from hf_mtl.heads._pyramid import STRIDES, DetectionLayers
from hf_mtl_light.answering import FIRST_LABEL, ObjectAnswers
from hf_mtl_light.description import TaskDescription
from hf_mtl_light.errors import UserError
from hf_mtl_light.words import Reading, WordMap

__all__ = ["ObjectDetectionHead", "ObjectDetectionOptions"]

#: Columns of the logits before those of the labels: the box, and the centre of the place.
_BOX, _POINT = slice(0, 4), slice(4, 6)
#: How much the boxes count in the loss, and how much the labels: each place of an object has a loss of them, about
#: five places in all, its box has one.
_BOX_WEIGHT, _LABEL_WEIGHT = 2.0, 0.2
#: The least score of a box that metrics look at.
_SCORED = 0.001


@dataclass(frozen=True)
class ObjectDetectionOptions:
    """Options of an object-detection task.

    Args:
        box_format: How the boxes of the dataset are written: ``"coco"``, left, top, width and height in pixels;
            ``"pascal_voc"``, left, top, right and bottom; ``"yolo"``, the centre, width and height as fractions.
        score_threshold: From which score on a box is answered, in [0, 1].
        nms_threshold: Of two boxes of a label with a larger intersection over union the better one is answered, in
            (0, 1].
        max_boxes: The most boxes of a picture that are answered or scored, at least 1.
        strides: The levels of the feature pyramid: edges of their places in patches, some of 0.5, 1 and 2. Small
            objects need 0.5, which takes the most time.
        channels: Features of the pyramid, at least 2.

    Raises:
        ValueError: If a value is out of its range.
    """

    box_format: str = "coco"
    score_threshold: float = 0.5
    nms_threshold: float = 0.6
    max_boxes: int = 100
    strides: Sequence[float] = STRIDES
    channels: int = 128

    def __post_init__(self) -> None:
        if self.box_format not in BOX_FORMATS:
            raise UserError(
                f"option box_format must be one of {listed(BOX_FORMATS)}, found {self.box_format!r}."
                f"{nearest(str(self.box_format), BOX_FORMATS)}"
            )
        for name in ("score_threshold", "nms_threshold"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise UserError(f"option {name} must be a number in [0, 1], found {value!r}.")
        for name, least in (("max_boxes", 1), ("channels", 2)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UserError(f"option {name} must be a whole number of at least {least}, found {value!r}.")
        is_list = isinstance(self.strides, (list, tuple))
        if not is_list or not self.strides or not set(self.strides) <= set(STRIDES):
            raise UserError(
                f"option strides must be a list of some of {listed(map(str, STRIDES))}, found {self.strides!r}."
            )


class ObjectDetectionHead(Head):
    r"""Find the objects of a picture.

    Each place of a feature pyramid, made of the encoder's last states, answers a box and a score for each label. The
    loss of a picture is

    .. math:: 0.2 \sum_p \sum_c |q_{pc} - s_{pc}|^2 \, H(q_{pc}, s_{pc})
              + 2 \sum_g \sum_p w_{gp} (1 - \mathrm{GIoU}(b_p, b_g))

    with the scores :math:`s`, the targets :math:`q` that `assign` gives, their cross-entropy :math:`H`, and the
    targets of an object's places scaled to the sum 1, :math:`w`. Items are objects; a picture without one is one item.

    Logits are [R, P, 6 + C]: see `hf_mtl.heads._pyramid.DetectionLayers`. Answers are those of Transformers' pipeline:
    ``{"label", "score", "box": {"xmin", "ymin", "xmax", "ymax"}}``, best first, in whole pixels of the picture.

    Source: X. Li et al., Generalized Focal Loss, NeurIPS 2020, equation 4; H. Rezatofighi et al., Generalized
        Intersection over Union, CVPR 2019.
    """

    level = "sequence"
    reads: ClassVar[Reading] = "image"
    labels_objects = True
    hub_task = "object-detection"
    labels_phrase = "boxes of"
    Options: ClassVar[type] = ObjectDetectionOptions

    def make_classifier(self, encoder_config: PreTrainedConfig) -> nn.Module:
        """Return the layers: see `Head.make_classifier`."""
        options = self.options(self.task)
        return DetectionLayers(
            encoder_config, self.task.num_labels, options.channels, options.strides, self.task.dropout or 0.0
        )

    @classmethod
    def check(cls, task: TaskConfig) -> None:
        """Check the task: see `TaskType.check`.

        Raises:
            ValueError: If a field makes no sense for boxes.
        """
        cls.options(task)
        cls.check_multi_label(task)
        if not task.labels:
            raise UserError(
                f"Task {task.name!r}: {task.type} needs at least 1 label. "
                f"Write TaskConfig({task.name!r}, {task.type!r}, labels=[...])."
            )
        for name in ("problem_type", "pooling", "class_weights", "label_smoothing"):
            if getattr(task, name):
                raise UserError(f"Task {task.name!r}: {task.type} takes no {name}. Leave it out.")

    @classmethod
    def loss_of_guessing(cls, task: TaskConfig) -> float:
        """Return the mean loss an object of new layers, about."""
        return 4.0

    @classmethod
    def default_metrics(cls, task: TaskConfig) -> tuple[tuple[str, ...], str]:
        """Return the COCO metrics."""
        return default_metrics(task, "object-detection")

    # Labels

    @classmethod
    def read_label(cls, task: TaskConfig, value: Any, row: LabelledRow) -> Any:
        """Return the objects of a row's picture: see `TaskType.read_label`."""
        if row.picture_size is None:
            raise LabelError(0, "it has objects, and the row no picture. Give the picture, or leave the objects out.")
        return read_objects(task, value, row.picture_size, cls.options(task).box_format)

    @classmethod
    def encode_labels(cls, task: TaskConfig, values: Sequence[Any], words: Sequence[WordMap]) -> torch.Tensor:
        """Return [R, G, 5] float32 of the G objects that a picture has at most: label, left, top, right and bottom.

        Sides are fractions of the picture; NaN where a picture has fewer objects.
        """
        most = max(1, max((len(value.boxes) for value in values), default=1))
        encoded = torch.full((len(values), most, 5), torch.nan)
        assert task.labels is not None
        for row, value in zip(encoded, values, strict=True):
            for item, label, box in zip(row, value.labels, value.boxes, strict=False):
                sides = [at / (value.width, value.height)[axis % 2] for axis, at in enumerate(box)]
                item.copy_(torch.tensor([task.labels.index(label), *sides]))
        return encoded

    @classmethod
    def reference(cls, task: TaskConfig, value: Any) -> dict[str, Any]:
        """Return the boxes and the numbers of their labels."""
        assert task.labels is not None
        return {"boxes": list(value.boxes), "labels": [task.labels.index(label) for label in value.labels]}

    @classmethod
    def has_label(cls, labels: torch.Tensor) -> torch.Tensor:
        """Return which entries are objects, [R, G]."""
        return ~labels[..., 0].isnan()

    @classmethod
    def count_items(cls, labels: torch.Tensor) -> torch.Tensor:
        """Return the number of objects; a picture without one counts as one."""
        return cls.has_label(labels).sum(-1).clamp(min=1).sum()

    # Loss

    def forward(self, states: States) -> torch.Tensor:
        """Return the logits [R, P, 6 + C] of R pictures."""
        assert isinstance(states, ImageStates), "a head of pictures reads the states of an image encoder"
        logits: torch.Tensor = self.classifier(states)
        return logits

    def loss_sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss summed over pictures: see the class."""
        total = logits.new_zeros(())
        for picture, encoded in zip(logits, labels.to(logits.dtype), strict=True):
            total = total + self._picture_loss(picture, encoded[self.has_label(encoded)])
        return total

    def _picture_loss(self, picture: torch.Tensor, objects: torch.Tensor) -> torch.Tensor:
        boxes, of_labels = picture[:, _BOX], picture[:, FIRST_LABEL:]
        scores = of_labels.detach().sigmoid()
        targets = torch.zeros_like(scores)
        box_loss = boxes.sum() * 0.0
        # With numbers that are none there is nothing to assign, and the loss is none, too.
        if len(objects) and bool(picture.isfinite().all()):
            kinds = objects[:, 0].long()
            places, owners, fits = assign(picture[:, _POINT], boxes, scores, objects[:, 1:], kinds)
            targets[places, kinds[owners]] = fits
            sums = fits.new_zeros(len(objects)).index_add(0, owners, fits)
            overlaps = generalized_box_iou(boxes[places], objects[:, 1:])
            far = 1 - overlaps[torch.arange(len(places), device=owners.device), owners]
            box_loss = (far * (fits / sums[owners].clamp(min=1e-9))).sum()
        entropy = functional.binary_cross_entropy_with_logits(of_labels, targets, reduction="none")
        # The distance is part of the gradient, as in the focal loss.
        label_loss = ((targets - of_labels.sigmoid()).square() * entropy).sum()
        return _BOX_WEIGHT * box_loss + _LABEL_WEIGHT * label_loss

    # Answers

    @classmethod
    def describe(cls, task: TaskConfig) -> TaskDescription:
        """Return how boxes are made of logits: see `TaskType.describe`."""
        options = cls.options(task)
        labels = task.labels or ()
        return TaskDescription(
            name=task.name,
            type=task.type,
            level="sequence",
            function="sigmoid",
            labels=labels,
            thresholds=[options.score_threshold] * len(labels),
            answers="objects",
            reads="image",
            nms_threshold=options.nms_threshold,
            max_boxes=options.max_boxes,
        )

    @classmethod
    def is_calibratable(cls, task: TaskConfig) -> bool:
        """Return that it is not: scores are those of places, most of which have no object."""
        return False

    def predictions(self, logits: torch.Tensor, words: Sequence[WordMap]) -> list[Any]:
        """Return the boxes of each row, best first, their scores and the numbers of their labels."""
        least = [_SCORED] * self.task.num_labels
        return [
            {"boxes": boxes.tolist(), "scores": scores.tolist(), "labels": labels.tolist()}
            for boxes, scores, labels in ObjectAnswers.found(self.describe(self.task), as_array(logits), words, least)
        ]
