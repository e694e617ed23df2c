"""Which places of a picture learn to find which of its objects."""

from __future__ import annotations

import torch
from transformers.loss.loss_for_object_detection import box_iou

__all__ = ["assign"]

#: Places that learn each object.
_PLACES = 10
#: How much the overlap counts against the score.
_POWER = 6


@torch.no_grad()
def assign(
    points: torch.Tensor, boxes: torch.Tensor, scores: torch.Tensor, objects: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    r"""Assign objects to the places in their boxes that find them best already.

    Of an object those places learn for which :math:`t = s u^6` is largest, where :math:`s` is the score of its label
    there and :math:`u` the overlap of the box that is found there with its own. Their targets are :math:`t`, scaled so
    that the largest is the largest :math:`u`. A place in several objects learns the one that it overlaps most. An
    object too small to have a place within is learned by the nearest one.

    Args:
        points: [P, 2], the centres of the places.
        boxes: [P, 4], what is found there: left, top, right and bottom.
        scores: [P, C].
        objects: [G, 4], the boxes of the objects.
        labels: [G] int64.

    Returns:
        The numbers of the places that learn a box, [n]; of the object of each, [n]; and its target, [n], in [0, 1].

    Source: C. Feng et al., TOOD: Task-aligned One-stage Object Detection, ICCV 2021, section 3.2.
    """
    after, before = points[None] - objects[:, None, :2], objects[:, None, 2:] - points[None]  # [G, P, 2]
    is_inside = torch.cat([after, before], -1).amin(-1) > 0
    distance = (points[None] - (objects[:, None, :2] + objects[:, None, 2:]) / 2).square().sum(-1)
    alone = ~is_inside.any(1)
    is_inside[alone, distance[alone].argmin(1)] = True
    overlaps = box_iou(objects, boxes)[0].clamp(min=1e-3)
    fit = torch.where(is_inside, scores[:, labels].T * overlaps**_POWER, 0.0)
    best = fit.topk(min(_PLACES, fit.shape[1]), 1).indices
    is_chosen = torch.zeros_like(is_inside).scatter(1, best, True) & is_inside
    # An overlap is at most 1: the one place of an object without others is its own.
    owner = torch.where(is_chosen, overlaps + 2.0 * alone[:, None], -1.0).argmax(0)  # [P]
    places = is_chosen.any(0).nonzero()[:, 0]
    owners = owner[places]
    # Scaled by what the object's own places reach: others have taken some.
    own = torch.zeros_like(is_chosen)
    own[owners, places] = True
    largest_fit = torch.where(own, fit, 0.0).amax(1)
    largest_overlap = torch.where(own, overlaps, 0.0).amax(1)
    scale = largest_overlap / largest_fit.clamp(min=torch.finfo(fit.dtype).tiny)
    return places, owners, (fit[owners, places] * scale[owners]).clamp(max=1.0)
