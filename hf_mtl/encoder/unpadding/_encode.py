"""An encoder's pass over texts laid end to end, and which encoders can do it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from transformers import PreTrainedModel

from hf_mtl.encoder.states import FlatLayout
from hf_mtl.encoder.unpadding._attention import FLAT_ATTENTION
from hf_mtl.encoder.unpadding._attention_layout import AttentionLayout

__all__ = ["can_unpad", "encode_flat", "is_ready", "make_ready"]

#: Attention implementations of Transformers that keep the rows apart by themselves when given their offsets.
_VARIABLE_LENGTH = ("flash_attention_2", "flash_attention_3", "flash_attention_4")


def _columns(config: Any, input_ids: torch.Tensor | None, layout: FlatLayout) -> torch.Tensor:
    """Count positions from the left edge of the padded batch, as BERT does."""
    return layout.index % layout.length


def _behind_padding_id(config: Any, input_ids: torch.Tensor | None, layout: FlatLayout) -> torch.Tensor:
    """Count the tokens that are not padding, beginning after the padding token's id, as RoBERTa does."""
    if input_ids is None:
        return _columns(config, None, layout) + int(config.pad_token_id) + 1
    real = input_ids.ne(config.pad_token_id).long()
    return layout.flatten(real.cumsum(1) * real + config.pad_token_id)


#: Families, BERT-like and decoder-only, whose layers treat tokens one by one but for attention, which goes through
#: Transformers' attention interface; and how each counts positions.
_FAMILIES: Mapping[str, Callable[[Any, torch.Tensor | None, FlatLayout], torch.Tensor]] = {
    "albert": _columns,
    "bert": _columns,
    "camembert": _behind_padding_id,
    "data2vec-text": _behind_padding_id,
    "distilbert": _columns,
    "electra": _columns,
    "ernie": _columns,
    "eurobert": _columns,
    "gemma": _columns,
    "gpt2": _columns,
    "llama": _columns,
    "mistral": _columns,
    "modernbert": _columns,
    "modernbert-decoder": _columns,
    "olmo2": _columns,
    "phi3": _columns,
    "qwen2": _columns,
    "qwen3": _columns,
    "roberta": _behind_padding_id,
    "roberta-prelayernorm": _behind_padding_id,
    "smollm3": _columns,
    "xlm-roberta": _behind_padding_id,
    "xlm-roberta-xl": _behind_padding_id,
}


def can_unpad(encoder: PreTrainedModel) -> bool:
    """Return whether an encoder's family is known to give the same states without padding."""
    config = encoder.config
    # BERT's layers have other ways when they serve as a decoder.
    return config.model_type in _FAMILIES and not getattr(config, "is_decoder", False)


def make_ready(encoder: PreTrainedModel, ready: bool = True) -> None:
    """Have an encoder's SDPA attention keep rows apart when asked to; its padded results stay the same."""
    old, new = ("sdpa", FLAT_ATTENTION) if ready else (FLAT_ATTENTION, "sdpa")
    if encoder.config._attn_implementation == old:
        encoder.config._attn_implementation = new


def is_ready(encoder: PreTrainedModel) -> bool:
    """Return whether the attention implementation that an encoder has now keeps rows apart."""
    return encoder.config._attn_implementation in (FLAT_ATTENTION, *_VARIABLE_LENGTH)


def encode_flat(
    encoder: PreTrainedModel,
    layout: FlatLayout,
    inputs: Mapping[str, torch.Tensor],
    fast_dropout: bool = False,
    **kwargs: Any,
) -> Any:
    """Run an encoder on one row of N tokens.

    Args:
        encoder: An encoder that `can_unpad` and `is_ready`.
        layout: Where the texts lie.
        inputs: Padded ``input_ids`` [B, L] or ``inputs_embeds`` [B, L, H], and any of ``token_type_ids`` and
            ``position_ids`` [B, L].
        fast_dropout: Whether attention weights are dropped by `hf_mtl.encoder.fast_dropout` on a CPU.
        kwargs: Passed to the encoder.

    Returns:
        The encoder's output, with states [1, N', H]; after the N tokens may follow others without meaning.
    """
    config = encoder.config
    flat = {name: layout.flatten(value) for name, value in inputs.items() if name != "position_ids"}
    given = inputs.get("position_ids")
    if given is None:
        positions = _FAMILIES[config.model_type](config, inputs.get("input_ids"), layout)
    else:
        positions = layout.flatten(given.expand(layout.rows, -1))
    flat["position_ids"] = positions
    dead = _dead_tokens(encoder, len(positions))
    if dead:
        flat = {name: torch.cat([value, value[:1].expand(dead, *value.shape[1:])]) for name, value in flat.items()}
    rows = AttentionLayout(layout, fast_dropout)
    if config._attn_implementation == FLAT_ATTENTION:
        # Transformers hands a mask of four dimensions on as it is; this one is not used.
        how: dict[str, Any] = {"attention_mask": positions.new_ones(1, 1, 1, 1, dtype=torch.bool), "rows": rows}
    else:
        how = {
            "cu_seq_lens_q": rows.offsets,
            "cu_seq_lens_k": rows.offsets,
            "max_length_q": rows.longest,
            "max_length_k": rows.longest,
        }
    batch = {name: value[None] for name, value in flat.items()}
    return encoder(**batch, return_dict=True, **how, **kwargs)


def _dead_tokens(encoder: PreTrainedModel, tokens: int) -> int:
    """Return how many tokens without meaning to add, so that a CPU meets few different numbers of tokens.

    oneDNN, which torch hands matrix products to in 16 bits, compiles a kernel for each new shape and keeps
    it: milliseconds and most of a megabyte for each layer shape. An evaluation of 200,000 rows grew by 800 MB; in
    float32, for which torch has other libraries, by 104. With 8 steps an octave, a thirtieth more tokens on average and
    at most an eighth, it grows by 55 and 46.
    """
    if encoder.device.type != "cpu":
        return 0
    step: int = max(8, 1 << max(tokens.bit_length() - 4, 0))
    return -tokens % step
