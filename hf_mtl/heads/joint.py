"""The task types that can read the text and the picture of a row together: ``TaskConfig(inputs=["text", "image"])``."""

from __future__ import annotations

from hf_mtl.heads._base import Head
from hf_mtl.heads._joint_head import JointHead
from hf_mtl.heads.regression import RegressionHead
from hf_mtl.heads.sentiment import SentimentHead
from hf_mtl.heads.sequence_classification import SequenceClassificationHead

__all__ = ["JOINT", "JointClassificationHead", "JointRegressionHead", "JointSentimentHead"]


class JointClassificationHead(JointHead, SequenceClassificationHead):
    """Classify a text with its picture: losses, labels and answers are those of `SequenceClassificationHead`."""


class JointSentimentHead(JointHead, SentimentHead):
    """Place a text with its picture on a scale: all else is as in `SentimentHead`."""


class JointRegressionHead(JointHead, RegressionHead):
    """Predict numbers from a text with its picture: all else is as in `RegressionHead`."""


#: Head of a type -> the one that reads both.
JOINT: dict[type[Head], type[Head]] = {
    SequenceClassificationHead: JointClassificationHead,
    SentimentHead: JointSentimentHead,
    RegressionHead: JointRegressionHead,
}
