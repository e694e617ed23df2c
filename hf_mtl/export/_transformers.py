"""A task as a folder that stock Transformers loads."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_mtl.data import check_processors, padding_id
from hf_mtl.encoder import is_decoder_only
from hf_mtl.export._card import stock_card
from hf_mtl.export._folder import written_whole
from hf_mtl.model import MultiTaskModel
from hf_mtl_light.outputs import write_text_whole

__all__ = ["export_transformers"]


def export_transformers(
    model: MultiTaskModel,
    tokenizer: PreTrainedTokenizerBase | None,
    task: str,
    folder: str | Path,
    *,
    overwrite: bool = False,
    image_processor: Any = None,
) -> PreTrainedModel:
    """Write a task as a stock model with what makes its inputs and a model card.

    Args:
        model: The multi-task model.
        tokenizer: Its tokenizer; for a task of pictures it may be ``None``.
        task: Name of the task.
        folder: Where to write; it must not exist, or be empty.
        overwrite: Whether an earlier export there is replaced.
        image_processor: The image processor, for a task of pictures.

    Returns:
        The stock model: see `MultiTaskModel.to_transformers`.

    Raises:
        KeyError: If there is no such task.
        ValueError: If no stock class can express its head, the folder is taken, or what makes the task's inputs is
            missing.
    """
    chosen, head = model.config.task(task), model.task_heads[task]
    check_processors(tokenizer, image_processor, [chosen], {task: type(head)})
    with written_whole(folder, overwrite) as unfinished:
        stock = model.to_transformers(task)
        processor = image_processor
        if head.modality() == "text":
            assert tokenizer is not None, "it was checked above"
            if is_decoder_only(stock.config):
                stock.config.pad_token_id = padding_id(tokenizer)
            processor = _padding_right(tokenizer, stock)
        stock.save_pretrained(unfinished)
        processor.save_pretrained(unfinished)
        card = stock_card(chosen, type(stock).__name__)
        write_text_whole(unfinished / "README.md", card)
    return stock


def _padding_right(tokenizer: PreTrainedTokenizerBase, stock: PreTrainedModel) -> PreTrainedTokenizerBase:
    """Return a tokenizer that pads as the library does, where a stock class looks for the padding after a text."""
    if not is_decoder_only(stock.config):
        return tokenizer
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(padding_id(tokenizer))
    tokenizer.padding_side = "right"
    return tokenizer
