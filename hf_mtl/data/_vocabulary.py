"""Whether a tokenizer's vocabulary is that of an encoder, as far as its ids show."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from hf_mtl_light.errors import UserError

__all__ = ["check_vocabulary"]


def check_vocabulary(tokenizer: PreTrainedTokenizerBase, embeddings: int) -> None:
    """Check that an encoder has an embedding for each token, and that there are tokens at all.

    Args:
        tokenizer: The tokenizer.
        embeddings: The number of the encoder's token embeddings.

    Raises:
        ValueError: If the tokenizer knows special tokens alone, or an id lies past the embeddings.
    """
    size = len(tokenizer)
    if size <= len(tokenizer.all_special_tokens):
        raise UserError(
            f"{type(tokenizer).__name__} has no vocabulary: it knows {size} special tokens and no other. The files of "
            "the tokenizer are missing where it was loaded from; get them from the encoder or the model."
        )
    # Ids are seldom sparse: the table is read only where their number leaves a doubt.
    largest = size - 1 if size > embeddings else max(tokenizer.get_vocab().values())
    if largest >= embeddings:
        raise UserError(
            f"The tokenizer has ids up to {largest:,}, and the encoder embeddings for ids below {embeddings:,}. Load "
            "the tokenizer of this encoder; if tokens were added to it on purpose, first call "
            "model.resize_token_embeddings(len(tokenizer))."
        )
