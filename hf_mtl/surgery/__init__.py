"""Heads put on, taken off, renamed and moved between models, with everything else left bit for bit as it was.

`add_head`, `drop_head`, `rename_head`, `reorder_heads` and `change_labels` work on a loaded model in place.
`merge_models` puts heads of several models on the one encoder that they share; `average_models` and `greedy_soup` make
one model of several of the same tasks; `interpolate_encoder` and `choose_factor` one between a pretrained encoder and
the trained one.
"""

from __future__ import annotations

from hf_mtl.surgery._average import average_models
from hf_mtl.surgery._branches import add_branch, rename_branch
from hf_mtl.surgery._greedy import Ingredient, greedy_soup
from hf_mtl.surgery._heads import add_head, change_labels, drop_head, rename_head, reorder_heads
from hf_mtl.surgery._interpolate import FACTORS, choose_factor, interpolate_encoder
from hf_mtl.surgery._merge import encoder_digest, merge_models

__all__ = [
    "FACTORS",
    "Ingredient",
    "add_branch",
    "add_head",
    "average_models",
    "change_labels",
    "choose_factor",
    "drop_head",
    "encoder_digest",
    "greedy_soup",
    "interpolate_encoder",
    "merge_models",
    "rename_branch",
    "rename_head",
    "reorder_heads",
]
