"""From token ids, or pixels, to hidden states.

`load_encoder` and `build_encoder` give the encoder of a family, `States` its hidden states with or without padding,
`layer_depth` a parameter's place in it, `FastDropout` a dropout that is fast on a CPU. `hf_mtl.encoder.unpadding` runs
an encoder on a batch without its padding, `hf_mtl.encoder.branches` its top layers once for each branch,
`hf_mtl.encoder.images` an encoder of pictures, and `hf_mtl.encoder.joint` holds the states of both for rows with both.
"""

from __future__ import annotations

from hf_mtl.encoder.branches import TrunkPasses, copy_top, layer_list, num_layers, with_top
from hf_mtl.encoder.depth import layer_depth
from hf_mtl.encoder.dropout import FastDropout, dropout_factors, fast_dropout, set_fast_dropout
from hf_mtl.encoder.embeddings import token_lookups
from hf_mtl.encoder.families import (
    auto_class,
    build_encoder,
    default_pooling,
    has_encoder_alone,
    is_decoder_only,
    learned_positions,
    load_encoder,
    longest_text,
    sees_ahead,
)
from hf_mtl.encoder.finite import check_finite
from hf_mtl.encoder.images import ImageStates, encode_images, state_size
from hf_mtl.encoder.joint import JointStates
from hf_mtl.encoder.states import FlatLayout, FlatStates, PaddedStates, States

__all__ = [
    "FastDropout",
    "FlatLayout",
    "FlatStates",
    "ImageStates",
    "JointStates",
    "PaddedStates",
    "States",
    "TrunkPasses",
    "auto_class",
    "build_encoder",
    "check_finite",
    "copy_top",
    "default_pooling",
    "dropout_factors",
    "encode_images",
    "fast_dropout",
    "has_encoder_alone",
    "is_decoder_only",
    "layer_depth",
    "layer_list",
    "learned_positions",
    "load_encoder",
    "longest_text",
    "num_layers",
    "sees_ahead",
    "set_fast_dropout",
    "state_size",
    "token_lookups",
    "with_top",
]
