"""Task heads: flat states [N, H] to logits, loss, predictions and answers.

A head is a task type. Its class holds all that the library knows of the type: which labels it takes, how they become
tensors, its layers, its loss, its answers, its metrics. `HEADS` is the table of types; a new one is one file and one
row here. A user's own subclass of `Head` is passed to the model instead: ``MultiTaskModel.from_encoder(...,
heads={"my-type": MyHead})``.

The layers of a head are by default those of the encoder family's own stock class, so that a trained head can be
exported as a stock model.
"""

from __future__ import annotations

from collections.abc import Mapping

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import TaskConfig
from hf_mtl.heads._balanced import MOST_POS_WEIGHT, balanced_class_weights, balanced_pos_weight
from hf_mtl.heads._base import Head
from hf_mtl.heads._boxes import BOXES, LABELS, Objects, as_columns
from hf_mtl.heads._complete import check_complete
from hf_mtl.heads._drawing import draw_boxes
from hf_mtl.heads._joint_head import JointHead, JointLayers
from hf_mtl.heads._labels import LabelError, label_index
from hf_mtl.heads._layers import LayerMix
from hf_mtl.heads._numerics import as_array
from hf_mtl.heads._output import HeadOutput, ScoredBatch
from hf_mtl.heads._picture_head import PictureHead
from hf_mtl.heads._pooling import AttentionPooling
from hf_mtl.heads._pyramid import DetectionLayers
from hf_mtl.heads._sequence_head import SequenceHead
from hf_mtl.heads._soft_labels import class_target, distribution, is_soft, likeliest
from hf_mtl.heads._stock import (
    STOCK_CLASSES,
    PlainClassifier,
    StockKind,
    encoder_name,
    reads_pooler,
    stock_class,
    stock_encoder,
    stock_logits,
    stock_output,
    whole_config,
)
from hf_mtl.heads._task_type import NoOptions
from hf_mtl.heads._token_head import TokenHead
from hf_mtl.heads.crf_tagging import CrfTaggingHead
from hf_mtl.heads.image_classification import ImageClassificationHead
from hf_mtl.heads.image_regression import ImageRegressionHead
from hf_mtl.heads.joint import JOINT
from hf_mtl.heads.masked_lm import MaskedLmHead, MaskedLmOptions
from hf_mtl.heads.multiple_choice import MultipleChoiceHead
from hf_mtl.heads.object_detection import ObjectDetectionHead, ObjectDetectionOptions
from hf_mtl.heads.question_answering import QuestionAnsweringHead, QuestionAnsweringOptions
from hf_mtl.heads.regression import RegressionHead
from hf_mtl.heads.sentiment import SentimentHead, SentimentOptions
from hf_mtl.heads.sequence_classification import SequenceClassificationHead, own_thresholds
from hf_mtl.heads.token_classification import TaggingOptions, TokenClassificationHead, TokenClassificationOptions
from hf_mtl_light.answering import STRATEGIES, Answering, AnswerOptions
from hf_mtl_light.errors import UserError, UserTypeError
from hf_mtl_light.tags import infer_scheme

__all__ = [
    "BOXES",
    "HEADS",
    "JOINT",
    "LABELS",
    "MOST_POS_WEIGHT",
    "STOCK_CLASSES",
    "STRATEGIES",
    "AnswerOptions",
    "Answering",
    "CrfTaggingHead",
    "Head",
    "HeadOutput",
    "ImageClassificationHead",
    "ImageRegressionHead",
    "JointHead",
    "LabelError",
    "MaskedLmHead",
    "MaskedLmOptions",
    "MultipleChoiceHead",
    "NoOptions",
    "ObjectDetectionHead",
    "ObjectDetectionOptions",
    "Objects",
    "OwnLayers",
    "PictureHead",
    "QuestionAnsweringHead",
    "QuestionAnsweringOptions",
    "RegressionHead",
    "ScoredBatch",
    "SentimentHead",
    "SentimentOptions",
    "SequenceClassificationHead",
    "SequenceHead",
    "StockKind",
    "TaggingOptions",
    "TokenClassificationHead",
    "TokenClassificationOptions",
    "TokenHead",
    "as_array",
    "as_columns",
    "balanced_class_weights",
    "balanced_pos_weight",
    "class_target",
    "distribution",
    "draw_boxes",
    "encoder_name",
    "head_class",
    "infer_scheme",
    "is_soft",
    "kind_of",
    "label_index",
    "likeliest",
    "own_thresholds",
    "reads_pooler",
    "stock_class",
    "stock_encoder",
    "stock_logits",
    "stock_output",
    "whole_config",
]

#: Layers of heads that no encoder family knows; they say themselves how they start.
OwnLayers = (AttentionPooling, DetectionLayers, JointLayers, LayerMix, PlainClassifier)

#: Task type -> head.
HEADS: dict[str, type[Head]] = {
    "sequence-classification": SequenceClassificationHead,
    "multi-label-classification": SequenceClassificationHead,
    "sentiment": SentimentHead,
    "token-classification": TokenClassificationHead,
    "crf-tagging": CrfTaggingHead,
    "regression": RegressionHead,
    "masked-lm": MaskedLmHead,
    "question-answering": QuestionAnsweringHead,
    "multiple-choice": MultipleChoiceHead,
    "image-classification": ImageClassificationHead,
    "image-regression": ImageRegressionHead,
    "object-detection": ObjectDetectionHead,
}


def kind_of(task: TaskConfig) -> type[Head]:
    """Return the head of a task's type, to be asked what the type is like; of a user's own type `Head` itself."""
    kind = HEADS.get(task.type, Head)
    return JOINT.get(kind, kind) if task.inputs else kind


def head_class(task: TaskConfig, heads: Mapping[str, type[Head]] | None = None) -> type[Head]:
    """Return the head of a task's type and check the task against it.

    Args:
        task: The task.
        heads: Further task types and their heads.

    Raises:
        ValueError: If the type is unknown, its head lacks methods, or the task does not fit it.
    """
    if heads is not None and not isinstance(heads, Mapping):
        raise UserTypeError(f"heads must be a mapping from task types to classes, found {heads!r}.")
    table = {**HEADS, **(heads or {})}
    if task.type not in table:
        raise UserError(
            f"Task {task.name!r}: unknown type {task.type!r}.{nearest(task.type, table)} "
            f"Task types: {listed(table)}. Pass a head of your own as heads={{{task.type!r}: MyHead}}."
        )
    kind = table[task.type]
    if not isinstance(kind, type) or not issubclass(kind, Head):
        raise UserTypeError(f"heads: {task.type!r} must be a subclass of hf_mtl.heads.Head, found {kind!r}.")
    if task.inputs:
        if kind not in JOINT:
            valid = [name for name, known in HEADS.items() if known in JOINT]
            raise UserError(
                f"Task {task.name!r}: inputs={list(task.inputs)} is for the types {listed(valid)}, found "
                f"{task.type!r}. Leave inputs out, or choose one of these."
            )
        kind = JOINT[kind]
    check_complete(kind, task.type)
    kind.check(task)
    kind.check_calibration(task)
    return kind
