"""Encoders without padding: the tokens of a batch of B texts as one row of N tokens.

`encode_flat` runs a supported encoder (`can_unpad`) on such a row. Everything but attention treats tokens one by one;
the attention function registered here under `FLAT_ATTENTION` keeps the texts apart.
"""

from hf_mtl.encoder.unpadding._attention import FLAT_ATTENTION, attend_flat
from hf_mtl.encoder.unpadding._encode import can_unpad, encode_flat, is_ready, make_ready
from hf_mtl.encoder.unpadding._first_tokens import can_end_in_first_tokens, first_tokens_alone
from hf_mtl.encoder.unpadding._groups import LengthGroup, LengthGroups

__all__ = [
    "FLAT_ATTENTION",
    "LengthGroup",
    "LengthGroups",
    "attend_flat",
    "can_end_in_first_tokens",
    "can_unpad",
    "encode_flat",
    "first_tokens_alone",
    "is_ready",
    "make_ready",
]
