"""Tiny random encoders of pictures, of the families that tests cover, and pictures for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from datasets import ClassLabel, Dataset, Features, Image, List, Value
from PIL import Image as PillowImage
from transformers import AutoConfig, ViTImageProcessorPil

from hf_mtl.encoder import auto_class

__all__ = [
    "IMAGE_FAMILIES",
    "colours",
    "image_processor",
    "pictures",
    "squares",
    "tiny_image_config",
    "tiny_image_encoder",
]

#: Pixels of a picture's edge.
EDGE = 16
_COMMON: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": EDGE,
    "patch_size": 8,
}
_STAGES: dict[str, Any] = {"image_size": EDGE, "patch_size": 2, "depths": [1, 1]}

#: Family -> its config.
IMAGE_FAMILIES: dict[str, dict[str, Any]] = {
    "vit": _COMMON,
    "deit": _COMMON,
    "beit": _COMMON,
    "dinov2": _COMMON,
    "dinov2_with_registers": _COMMON,
    "dinov3_vit": _COMMON,
    "swin": {**_STAGES, "embed_dim": 8, "num_heads": [2, 2], "window_size": 2},
    "convnext": {**_STAGES, "hidden_sizes": [8, 16], "num_stages": 2},
    "siglip_vision_model": _COMMON,
    "clip_vision_model": _COMMON,
}


def tiny_image_config(family: str, **kwargs: Any) -> Any:
    """Return a config of a family with two layers, or stages, of few features."""
    return AutoConfig.for_model(family, **{**IMAGE_FAMILIES[family], **kwargs})


def tiny_image_encoder(family: str = "dinov2", seed: int = 0, **kwargs: Any) -> Any:
    """Return an encoder with random weights."""
    torch.manual_seed(seed)
    config = tiny_image_config(family, **kwargs)
    return auto_class(config).from_config(config).eval()


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    """Return random pixels, [count, 3, height, width]."""
    return torch.randn(count, 3, EDGE, EDGE, generator=torch.Generator().manual_seed(seed))


def image_processor(edge: int = EDGE) -> Any:
    """Return what makes pixels for the encoders, without torchvision."""
    size = {"height": edge, "width": edge}
    half = [0.5, 0.5, 0.5]
    return ViTImageProcessorPil(size=size, image_mean=half, image_std=half)


def colours(count: int, seed: int = 0) -> Dataset:
    """Return pictures that are mostly red, green or blue, of several sizes, and which."""
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        pixels = generator.integers(0, 90, (18 + number % 5, 20, 3)).astype("uint8")
        pixels[..., number % 3] += 120
        rows.append(PillowImage.fromarray(pixels))
    features = Features({"image": Image(), "colour": ClassLabel(names=["red", "green", "blue"])})
    return Dataset.from_dict({"image": rows, "colour": [number % 3 for number in range(count)]}, features=features)


def squares(count: int, seed: int = 0, edge: int = 32, empty: bool = True) -> Dataset:
    """Return pictures with red and blue rectangles, and their boxes as COCO writes them; every fifth has none."""
    generator = np.random.default_rng(seed)
    rows, objects = [], []
    for number in range(count):
        pixels = generator.integers(100, 140, (edge, edge + 8, 3)).astype("uint8")
        boxes, kinds = [], []
        for _ in range(0 if empty and number % 5 == 4 else 1 + number % 2):
            width, height = generator.integers(8, 15, 2).tolist()
            left, top = int(generator.integers(0, edge + 8 - width)), int(generator.integers(0, edge - height))
            kind = int(generator.integers(2))
            pixels[top : top + height, left : left + width] = [(230, 20, 20), (20, 20, 230)][kind]
            boxes.append([left, top, width, height])
            kinds.append(kind)
        rows.append(PillowImage.fromarray(pixels))
        objects.append({"bbox": boxes, "category": kinds})
    kind = {"bbox": List(List(Value("float32"), length=4)), "category": List(ClassLabel(names=["red", "blue"]))}
    return Dataset.from_dict({"image": rows, "shapes": objects}, features=Features({"image": Image(), "shapes": kind}))
