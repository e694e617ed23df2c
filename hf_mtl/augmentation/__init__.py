"""Augmentations: random changes of training rows before they are tokenised, or their pictures made into pixels.

`AUGMENTATIONS` is the table by name; a new one is one file and one row here. A user's own is a function of a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_mtl._names import listed, nearest
from hf_mtl._options import made_of, parsed_options
from hf_mtl.augmentation._augmenter import Augmenter
from hf_mtl.augmentation._base import Augmentation
from hf_mtl.augmentation._by_dataset import AugmentationByDataset
from hf_mtl.augmentation._function import FunctionAugmentation
from hf_mtl.augmentation._picture import PictureAugmentation
from hf_mtl.augmentation.color_jitter import ColorJitter
from hf_mtl.augmentation.horizontal_flip import HorizontalFlip
from hf_mtl.augmentation.mention_replacement import MentionReplacement
from hf_mtl.augmentation.pair_swapping import PairSwapping
from hf_mtl.augmentation.punctuation_insertion import PunctuationInsertion
from hf_mtl.augmentation.resized_crop import ResizedCrop
from hf_mtl.augmentation.segment_shuffling import SegmentShuffling
from hf_mtl.augmentation.token_replacement import TokenReplacement
from hf_mtl.augmentation.vertical_flip import VerticalFlip
from hf_mtl.augmentation.word_deletion import WordDeletion
from hf_mtl.augmentation.word_masking import WordMasking
from hf_mtl_light.errors import UserError

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "AugmentationByDataset",
    "Augmenter",
    "ColorJitter",
    "FunctionAugmentation",
    "HorizontalFlip",
    "MentionReplacement",
    "PairSwapping",
    "PictureAugmentation",
    "PunctuationInsertion",
    "ResizedCrop",
    "SegmentShuffling",
    "TokenReplacement",
    "VerticalFlip",
    "WordDeletion",
    "WordMasking",
    "make_augmentations",
]

#: Name -> augmentation.
AUGMENTATIONS: dict[str, type[Augmentation]] = {
    "word-masking": WordMasking,
    "word-deletion": WordDeletion,
    "punctuation-insertion": PunctuationInsertion,
    "segment-shuffling": SegmentShuffling,
    "mention-replacement": MentionReplacement,
    "token-replacement": TokenReplacement,
    "pair-swapping": PairSwapping,
    "horizontal-flip": HorizontalFlip,
    "vertical-flip": VerticalFlip,
    "resized-crop": ResizedCrop,
    "color-jitter": ColorJitter,
}


def make_augmentations(given: Mapping[str, Any] | str | None) -> dict[str, Augmentation]:
    """Return augmentations by name, in the order given.

    Args:
        given: For each name its options, where ``datasets`` may be a mapping from datasets to their own options;
            under a name that is not in the table a function of a row and a generator, or an `Augmentation`.

    Raises:
        ValueError: If a name or an option is unknown, or a value is wrong.

    >>> make_augmentations({"word-deletion": {"p": 0.1}})["word-deletion"].p
    0.1
    """
    made: dict[str, Augmentation] = {}
    for name, options in parsed_options("augmentation", given).items():
        if isinstance(options, Augmentation):
            made[name] = options
        elif callable(options):
            made[name] = FunctionAugmentation(function=options)
        elif name not in AUGMENTATIONS:
            raise UserError(
                f"Unknown augmentation {name!r}.{nearest(name, AUGMENTATIONS)} Augmentations: {listed(AUGMENTATIONS)}."
            )
        else:
            values = parsed_options(f"augmentation {name!r}", options)
            by_dataset = values.get("datasets")
            if not isinstance(by_dataset, Mapping):
                made[name] = _made(name, values)
                continue
            members = {}
            for dataset, own in by_dataset.items():
                where = f"augmentation {name!r}, dataset {dataset!r}"
                own = parsed_options(where, own)
                if "datasets" in own:
                    raise UserError(f"{where}: datasets is named among the options of one dataset. Leave it out.")
                members[dataset] = _made(name, {**values, **own, "datasets": [dataset]}, f", dataset {dataset!r}")
            made[name] = AugmentationByDataset.of_members(members)
    return made


def _made(name: str, values: Mapping[str, Any], of: str = "") -> Augmentation:
    return made_of(AUGMENTATIONS[name], f"augmentation {name!r}{of}", values)
