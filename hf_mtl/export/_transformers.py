"""A task as a folder that stock Transformers loads."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_mtl.export._card import stock_card
from hf_mtl.export._folder import written_whole
from hf_mtl.modeling import MultiTaskModel

__all__ = ["export_transformers"]


def export_transformers(
    model: MultiTaskModel,
    tokenizer: PreTrainedTokenizerBase,
    task: str,
    folder: str | Path,
    *,
    overwrite: bool = False,
) -> PreTrainedModel:
    """Write a task as a stock model with its tokenizer and a model card.

    Args:
        model: The multi-task model.
        tokenizer: Its tokenizer.
        task: Name of the task.
        folder: Where to write; it must not exist, or be empty.
        overwrite: Whether an earlier export there is replaced.

    Returns:
        The stock model: see `MultiTaskModel.to_transformers`.

    Raises:
        KeyError: If there is no such task.
        ValueError: If no stock class can express its head, or the folder is taken.
    """
    with written_whole(folder, overwrite) as unfinished:
        stock = model.to_transformers(task)
        stock.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        card = stock_card(model.config.task(task), type(stock).__name__)
        (unfinished / "README.md").write_text(card, encoding="utf-8")
    return stock
