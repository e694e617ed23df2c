"""Layers that find objects in a picture's patches: a small pyramid of the last states, and what they say of each place.

Source: Y. Li et al., Exploring Plain Vision Transformer Backbones for Object Detection, ECCV 2022, section 3 (the
simple feature pyramid); Z. Tian et al., FCOS: Fully Convolutional One-Stage Object Detection, ICCV 2019, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedConfig
from transformers import initialization as init

from hf_mtl.encoder import ImageStates, state_size

__all__ = ["STRIDES", "DetectionLayers"]

#: Edges of the places of a level, in patches.
STRIDES = (0.5, 1, 2)
#: The score of each label at each place before training, so that the many places without an object do not drown
#: the few with one.
_PRIOR = 0.01
#: How far the sides of a box are from the place's centre before training, in the edges of the place.
_START = 2.0
#: Convolutions before the outputs.
_DEPTH = 2


class DetectionLayers(nn.Module):
    """A box and the score of each label for each place of a feature pyramid.

    Args:
        encoder_config: The encoder's config.
        num_labels: C.
        channels: Features of the pyramid.
        strides: The levels: which of `STRIDES`.
        dropout: Probability of dropout of the states.
    """

    kind: ClassVar[str] = "detection"
    pooler: ClassVar[None] = None
    is_stock: ClassVar[bool] = False
    own_poolings: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        encoder_config: PreTrainedConfig,
        num_labels: int,
        channels: int,
        strides: Sequence[float] = STRIDES,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.strides = list(strides)
        self.dropout = nn.Dropout(dropout)
        size = state_size(encoder_config)
        self.levels = nn.ModuleList([_level(size, channels, stride) for stride in self.strides])
        self.label_tower, self.box_tower = _tower(channels), _tower(channels)
        self.label_output = nn.Conv2d(channels, num_labels, 3, padding=1)
        self.box_output = nn.Conv2d(channels, 4, 3, padding=1)
        #: What the boxes of each level are scaled by.
        self.scales = nn.Parameter(torch.ones(len(self.strides)))

    def reset(self) -> None:
        """Initialise all layers: no encoder family has some of their kinds."""
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                assert module.bias is not None
                init.zeros_(module.bias)
            elif isinstance(module, nn.GroupNorm):
                init.ones_(module.weight)
                init.zeros_(module.bias)
        for output, bias in (
            (self.label_output, -math.log(1 / _PRIOR - 1)),
            (self.box_output, math.log(math.expm1(_START))),
        ):
            init.normal_(output.weight, std=0.01)
            assert output.bias is not None
            init.constant_(output.bias, bias)
        init.ones_(self.scales)

    def forward(self, states: ImageStates) -> torch.Tensor:
        """Return [B, P, 6 + C] of the P places of all levels.

        The left, top, right and bottom of the box that is found there, and the two coordinates of the place's centre,
        are fractions of the picture; the others are the logits of the labels.
        """
        features = self.dropout(states.feature_map())
        found = []
        for level, scale in zip(self.levels, self.scales, strict=True):
            own = level(features)
            labels = self.label_output(self.label_tower(own)).flatten(2).transpose(1, 2)
            sides = self.box_output(self.box_tower(own)).flatten(2).transpose(1, 2) * scale
            wide = sides.to(torch.promote_types(sides.dtype, torch.float32))
            centres, edges = _places(own, wide)
            # Distances of the sides from the centre. Linear for large ones: exponents would explode at a high rate.
            distances = functional.softplus(wide) * edges.repeat(2)
            boxes = torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], -1)
            found.append(torch.cat([boxes, centres.expand(boxes.shape[0], -1, -1), labels.to(wide.dtype)], -1))
        return torch.cat(found, 1)


def _places(features: torch.Tensor, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the centres [P, 2] of a feature map's places and their width and height [2], as fractions of the map."""
    height, width = features.shape[-2:]
    rows, columns = (torch.arange(n, device=like.device, dtype=like.dtype) + 0.5 for n in (height, width))
    edges = torch.tensor([1 / width, 1 / height], device=like.device, dtype=like.dtype)
    grid = torch.stack([columns.expand(height, -1), rows[:, None].expand(-1, width)], -1)
    return grid.flatten(0, 1) * edges, edges


def _norm(channels: int) -> nn.Module:
    # Of each picture by itself: what else is in a batch changes nothing. Two features or more in a group: of one alone,
    # a level with one place would keep nothing.
    return nn.GroupNorm(math.gcd(channels, 16, channels // 2), channels)


def _level(size: int, channels: int, stride: float) -> nn.Module:
    if stride < 1:
        return nn.Sequential(nn.ConvTranspose2d(size, channels, 2, stride=2), _norm(channels), nn.GELU())
    resize = nn.AvgPool2d(int(stride), ceil_mode=True) if stride > 1 else nn.Identity()
    return nn.Sequential(resize, nn.Conv2d(size, channels, 1), _norm(channels), nn.GELU())


def _tower(channels: int) -> nn.Module:
    layers = ([nn.Conv2d(channels, channels, 3, padding=1), _norm(channels), nn.ReLU()] for _ in range(_DEPTH))
    return nn.Sequential(*(layer for of_depth in layers for layer in of_depth))
