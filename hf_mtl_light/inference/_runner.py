"""One pass of a model over a batch of windows: what is asked of it, and what it is fed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from hf_mtl_light.answering import Answering
from hf_mtl_light.encoding import Tokenizer, Window, padding_id
from hf_mtl_light.errors import UserError

__all__ = ["Runner", "mask_id_for", "pad_windows"]


class Runner(Protocol):
    """What answers need of a model: logits, from torch, from ONNX or from anywhere."""

    def __call__(self, windows: Sequence[Window], tasks: Sequence[str]) -> Mapping[str, np.ndarray]:
        """Return for each task the logits of some windows, float32.

        Args:
            windows: B windows with N tokens together.
            tasks: The tasks to run.

        Returns:
            [B, C], or for tagging [N, C]: the windows' tokens, special ones too, one window after the other; for
            masked tokens [m, V]: the windows' mask tokens alone.
        """
        ...


def pad_windows(windows: Sequence[Window], tokenizer: Tokenizer) -> dict[str, np.ndarray]:
    """Return ``input_ids``, ``attention_mask`` and, if wanted, ``token_type_ids``, each [B, L] int64, on the right."""
    shape = len(windows), max(len(window.ids) for window in windows)
    ids = np.full(shape, padding_id(tokenizer), dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    for row, window in enumerate(windows):
        ids[row, : len(window.ids)] = window.ids
        mask[row, : len(window.ids)] = 1
    inputs = {"input_ids": ids, "attention_mask": mask}
    if windows[0].type_ids is not None:
        types = np.full(shape, tokenizer.pad_token_type_id, dtype=np.int64)
        for row, window in enumerate(windows):
            types[row, : len(window.ids)] = window.type_ids or 0
        inputs["token_type_ids"] = types
    return inputs


def mask_id_for(heads: Mapping[str, Answering], tokenizer: Tokenizer) -> int | None:
    """Return the id of the tokens that tasks of masked tokens answer; ``None`` where there is no such task.

    Raises:
        ValueError: If there is one and the tokenizer has no mask token.
    """
    name = next((name for name, head in heads.items() if head.level == "mask"), None)
    if name is None:
        return None
    if tokenizer.mask_token_id is None:
        raise UserError(
            f"Task {name!r} fills mask tokens, and {type(tokenizer).__name__} has none. Load the encoder's own "
            "tokenizer."
        )
    return int(tokenizer.mask_token_id)
