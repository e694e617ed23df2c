"""How deep in the encoder a parameter lies, by its name."""

from __future__ import annotations

import re

__all__ = ["layer_depth"]

_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|block|albert_layer_groups)\.(\d+)\.")
#: Of tokens and positions, also where all layers read them: GPT-2's wte and wpe, T5's shared, MPNet's biases.
_EMBEDDINGS = re.compile(r"embed|relative_attention_bias|(?:^|\.)(?:wte|wpe|shared)\.")


def layer_depth(name: str, num_layers: int) -> int:
    """Return 0 for embeddings, 1 for the lowest layer, and ``num_layers`` for the top one and what lies above it.

    Args:
        name: The parameter's name in the encoder.
        num_layers: The encoder's layers.

    >>> layer_depth("embeddings.weight", 2), layer_depth("encoder.layer.0.output.dense.weight", 2)
    (0, 1)
    """
    match = _LAYER.search(name)
    return int(match.group(1)) + 1 if match else (0 if _EMBEDDINGS.search(name) else num_layers)
