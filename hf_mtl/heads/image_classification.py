"""One label, or any number of labels, for a picture."""

from __future__ import annotations

from hf_mtl.heads._picture_head import PictureHead
from hf_mtl.heads.sequence_classification import SequenceClassificationHead

__all__ = ["ImageClassificationHead"]


class ImageClassificationHead(PictureHead, SequenceClassificationHead):
    """Classify a picture: losses, labels and answers are those of `SequenceClassificationHead`."""
