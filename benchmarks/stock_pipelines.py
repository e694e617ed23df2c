"""The other side of the benchmarks of pipelines: stock BERT models with the weights of a model's tasks."""

from __future__ import annotations

from typing import Any

from generated import INTENTS, TAGS
from transformers import (
    BertForSequenceClassification,
    BertForTokenClassification,
    PreTrainedTokenizerBase,
    pipeline,
)

from hf_mtl import MultiTaskModel, TaskConfig

__all__ = ["eight_tasks", "stock_pipelines"]


def eight_tasks() -> list[TaskConfig]:
    """Return five classifications, a sentiment and two taggings."""
    topics = [TaskConfig(f"topic{i}", "sequence-classification", labels=INTENTS) for i in range(5)]
    mood = TaskConfig("mood", "sentiment", labels=["bad", "good"])
    names = [TaskConfig(f"names{i}", "token-classification", labels=TAGS) for i in range(2)]
    return [*topics, mood, *names]


def stock_pipelines(
    model: MultiTaskModel, encoder: str, tokenizer: PreTrainedTokenizerBase, **tagging: Any
) -> dict[str, Any]:
    """Return Transformers' pipeline for each task, on a BERT of its own.

    Args:
        model: A model on a BERT encoder.
        encoder: The encoder it was made from.
        tokenizer: Its tokenizer.
        tagging: Arguments of the token-classification pipelines.
    """
    pipes = {}
    for name, head in model.task_heads.items():
        is_token = head.level == "token"
        labels = dict(enumerate(head.task.labels or ()))
        kind = BertForTokenClassification if is_token else BertForSequenceClassification
        config = type(model.encoder.config).from_pretrained(encoder, id2label=labels)
        stock = kind(config).eval()
        stock.bert.load_state_dict(model.encoder.state_dict(), strict=False)
        stock.classifier.load_state_dict(head.classifier.stock.classifier.state_dict())
        if head.classifier.pooler is not None:
            stock.bert.pooler.load_state_dict(head.classifier.pooler.state_dict())
        task = "token-classification" if is_token else "text-classification"
        arguments = tagging if is_token else {}
        pipes[name] = pipeline(task, model=stock, tokenizer=tokenizer, device="cpu", **arguments)
    return pipes
