"""A recipe's tokenizer and image processor, loaded from where its encoders, or its model, are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer, PreTrainedTokenizerBase

from hf_mtl.configuration import MultiTaskConfig, modality
from hf_mtl.recipe._mistakes import RecipeError, blamed_on
from hf_mtl.recipe._picture_size import resizing
from hf_mtl_light.errors import UserError

__all__ = ["Processors", "load_processors"]


@dataclass(frozen=True)
class Processors:
    """What makes an encoder's inputs of rows.

    Args:
        tokenizer: That of texts, if they are read.
        image_processor: That of pictures, if they are read.
    """

    tokenizer: PreTrainedTokenizerBase | None = None
    image_processor: Any = None


def load_processors(
    places: Mapping[str, str], options: Mapping[str, Any], image_size: int | Sequence[int] | None = None
) -> Processors:
    """Load them, and the configs of encoders to see that they are there.

    Args:
        places: The key of the recipe -> the folder or Hub id of an encoder, or of a model.
        options: Arguments of ``from_pretrained``.
        image_size: The recipe's key.

    Raises:
        RecipeError: If one is not found, or the size does not fit the encoder.
    """
    found: dict[str, Any] = {}
    for key, path in places.items():
        with blamed_on(key, OSError, ValueError, KeyError, ImportError):
            config = AutoConfig.from_pretrained(path, **options)
            reads = list(config.encoder_configs) if isinstance(config, MultiTaskConfig) else [modality(config)]
            if "text" in reads:
                found["tokenizer"] = _tokenizer(path, key, options)
            if "image" in reads:
                of_pictures = config.encoder_configs["image"] if isinstance(config, MultiTaskConfig) else config
                size = resizing(image_size, of_pictures)
                found["image_processor"] = AutoImageProcessor.from_pretrained(path, **options, **size)
    if image_size is not None and "image_processor" not in found:
        raise RecipeError("image_size", "no encoder reads pictures. Leave it out.")
    return Processors(**found)


def _tokenizer(path: str, key: str, options: Mapping[str, Any]) -> PreTrainedTokenizerBase:
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path, **options)
    # Without files Transformers makes a tokenizer with an empty vocabulary, and all words are unknown.
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise UserError(f"{path!r} holds no tokenizer. Save the {key.partition('.')[0]}'s own beside it.")
    return tokenizer
