"""What makes an encoder's inputs of rows: a tokenizer of texts, an image processor of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from hf_mtl.configuration import TaskConfig
from hf_mtl.heads import Head
from hf_mtl_light.encoding import check_tokenizer
from hf_mtl_light.errors import UserError

__all__ = ["changed_pixels", "check_processors", "pixels_of"]


def check_processors(
    tokenizer: PreTrainedTokenizerBase | None,
    image_processor: Any,
    tasks: Sequence[TaskConfig],
    heads: Mapping[str, type[Head]],
) -> None:
    """Check that there is a fast tokenizer for tasks of texts, and an image processor for those of pictures.

    Raises:
        ValueError: If one is missing; the message names the task.
    """
    if tokenizer is not None:
        check_tokenizer(tokenizer)
    for task in tasks:
        reads = heads[task.name].modalities()
        if "image" in reads and image_processor is None:
            raise UserError(
                f"Task {task.name!r} reads pictures, and there is no image processor. Pass the one of their encoder: "
                "image_processor=AutoImageProcessor.from_pretrained(name)."
            )
        if heads[task.name].labels_objects and getattr(image_processor, "do_center_crop", False):
            raise UserError(
                f"Task {task.name!r} finds boxes in whole pictures, and the image processor cuts their centre out "
                "(do_center_crop). Pass one that resizes alone: AutoImageProcessor.from_pretrained(name, "
                "do_center_crop=False, size={'height': 448, 'width': 448}); in a recipe, image_size: 448."
            )
        if "text" in reads and tokenizer is None:
            raise UserError(
                f"Task {task.name!r} reads texts, and there is no tokenizer. Pass the one of their encoder: "
                "AutoTokenizer.from_pretrained(name)."
            )


def pixels_of(image_processor: Any, pictures: Sequence[Any]) -> torch.Tensor:
    """Return the pixels of pictures, [B, channels, height, width].

    Args:
        image_processor: The image processor.
        pictures: Pictures as `read_picture` returns them.
    """
    pixels: torch.Tensor = image_processor(images=list(pictures), return_tensors="pt")["pixel_values"]
    return pixels


def changed_pixels(one: Any, other: Any) -> list[str]:
    """Return the settings by which two image processors make other pixels of one picture; how they are named is none.

    Args:
        one: An image processor.
        other: Another one.
    """
    names = ("image_processor_type", "processor_class", "feature_extractor_type")
    first, second = ({k: v for k, v in p.to_dict().items() if k not in names} for p in (one, other))
    return [key for key in dict.fromkeys([*first, *second]) if first.get(key) != second.get(key)]
