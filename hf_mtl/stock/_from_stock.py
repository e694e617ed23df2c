"""From stock models to tasks and heads."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    PreTrainedModel,
)

from hf_mtl.configuration import TaskConfig
from hf_mtl.encoder import state_size
from hf_mtl.heads import HEADS, STOCK_CLASSES, Head, StockKind, encoder_name, stock_class, stock_encoder
from hf_mtl_light.errors import UserError

__all__ = ["StockTask", "load_head", "plain_encoder", "read_stock", "same_encoder", "stock_task"]

_KINDS = (
    "a model for text or token classification, question answering, multiple choice or masked language modelling, such "
    "as BertForSequenceClassification"
)


@dataclass(frozen=True)
class StockTask:
    """A stock model, read as a task.

    Args:
        task: The task that its config describes.
        model: The model.
    """

    task: TaskConfig
    model: PreTrainedModel


def read_stock(name: str, model: PreTrainedModel | str | Path, type: str | None = None, **kwargs: Any) -> StockTask:
    """Read a stock model as a task: its type and labels from its config.

    Args:
        name: The task's name.
        model: The model, its folder or its Hub id.
        type: A task type in place of the one the config speaks of: ``"sentiment"``, say.
        kwargs: Arguments of ``from_pretrained``, where ``model`` is a name.

    Raises:
        ValueError: If the model has no classification head, or its weights are missing.
    """
    if isinstance(model, PreTrainedModel):
        kind = _kind(name, model.config, (model.__class__.__name__,))
        loaded = model
    else:
        config = AutoConfig.from_pretrained(str(model), **kwargs)
        kind = _kind(name, config, config.architectures or ())
        loaded, info = STOCK_CLASSES[kind].from_pretrained(str(model), output_loading_info=True, **kwargs)
        if info["missing_keys"]:
            raise UserError(
                f"Task {name!r}: {str(model)!r} lacks the weights {sorted(info['missing_keys'])[0]!r}, so its head is "
                "not trained. Give a model that was saved with its head."
            )
    return StockTask(_task(name, loaded.config, kind, type), loaded)


def stock_task(name: str, config: Any) -> TaskConfig:
    """Return the task that a stock model's config describes, without its weights.

    Args:
        name: The task's name.
        config: The config.

    Raises:
        ValueError: If it is of no model with a classification head.
    """
    return _task(name, config, _kind(name, config, config.architectures or ()), None)


def _kind(name: str, config: Any, architectures: Any) -> StockKind:
    for kind, auto_class in STOCK_CLASSES.items():
        mapping = auto_class._model_mapping
        if config.__class__ in mapping and stock_class(kind, config).__name__ in architectures:
            return kind
    found = ", ".join(architectures) or f"a {config.model_type!r} model that names no class"
    raise UserError(f"Task {name!r}: found {found}. Expected {_KINDS}.")


def _task(name: str, config: Any, kind: StockKind, given: str | None) -> TaskConfig:
    own = next((type for type, head in HEADS.items() if (head.stock_kind or head.level) == kind), "")
    labels: list[str] | None = [config.id2label[number] for number in sorted(config.id2label)]
    problem_type = None
    if kind not in ("sequence", "image"):
        task_type, labels = own, labels if HEADS[own].takes_labels else None
    elif config.problem_type == "regression" or len(labels or ()) == 1:  # Transformers' own rule
        task_type = "regression" if kind == "sequence" else "image-regression"
        if len(labels or ()) == 1:
            labels = None
    else:
        task_type = f"{kind}-classification"
        if config.problem_type == "multi_label_classification":
            problem_type = config.problem_type
    dropout = getattr(config, "classifier_dropout", None)
    return TaskConfig(
        name,
        given or task_type,
        labels=labels,
        problem_type=problem_type,
        dropout=dropout if dropout else None,
        pooling={"cls": "first", "mean": "mean", None: None}[getattr(config, "classifier_pooling", None)]
        if kind in ("sequence", "choice")
        else None,
    )


def plain_encoder(stock: StockTask) -> PreTrainedModel:
    """Return a copy of a stock model's encoder without its labels."""
    encoder = copy.deepcopy(stock_encoder(stock.model))
    config = encoder.config
    config.id2label = {0: "LABEL_0", 1: "LABEL_1"}
    config.label2id = {"LABEL_0": 0, "LABEL_1": 1}
    config.problem_type = None
    config.architectures = [type(encoder).__name__]
    return encoder


def same_encoder(one: StockTask, two: StockTask) -> bool:
    """Return whether two models share every weight of the encoder.

    Raises:
        ValueError: If their families or sizes differ: a head of one cannot read the other's states.
    """
    configs = [stock_encoder(stock.model).config for stock in (one, two)]
    sizes = [(config.model_type, state_size(config)) for config in configs]
    if sizes[0] != sizes[1]:
        (kept, width), (other, other_width) = sizes
        raise UserError(
            f"Task {two.task.name!r}: its model is a {other!r} of {other_width} features, and the encoder, that of "
            f"{one.task.name!r}, a {kept!r} of {width}. Heads can share an encoder of the same family and size only."
        )
    weights = dict(_weights(one.model))
    others = dict(_weights(two.model))
    return weights.keys() == others.keys() and all(
        value.shape == others[name].shape and torch.equal(value, others[name].to(value))
        for name, value in weights.items()
    )


def _weights(model: PreTrainedModel) -> Iterator[tuple[str, torch.Tensor]]:
    # Each sequence head has its own pooler.
    return (
        (name, value) for name, value in stock_encoder(model).state_dict().items() if not name.startswith("pooler.")
    )


def load_head(head: Head, stock: StockTask) -> None:
    """Copy a stock model's head.

    Args:
        head: The head of the task, on an encoder of the same family.
        stock: The model.

    Raises:
        ValueError: If their layers differ.
    """
    model = stock.model
    encoder = f"{encoder_name(model)}."
    weights = {name: value for name, value in model.state_dict().items() if not name.startswith(encoder)}
    if head.classifier.kind == "mask":
        if not model.config.tie_word_embeddings:
            raise UserError(
                f"Task {stock.task.name!r}: the last layer of its {type(model).__name__} is not tied to the input "
                "embeddings, and a head of masked tokens has no matrix to hold it."
            )
        weights = {name: value for name, value in weights.items() if name not in model.all_tied_weights_keys}
    pooler = getattr(stock_encoder(model), "pooler", None)
    try:
        head.classifier.stock.load_state_dict(weights)
        if head.classifier.pooler is not None and pooler is not None:
            head.classifier.pooler.load_state_dict(pooler.state_dict())
    except RuntimeError as error:
        raise UserError(
            f"Task {stock.task.name!r}: the head of {type(model).__name__} does not fit the kept encoder's family: "
            f"{' '.join(str(error).split())}"
        ) from error
