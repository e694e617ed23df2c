"""What a task's level means for the logits of windows: whether they are those of the window, its tokens or its masks.

A new level is one more case in each of these functions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hf_mtl_light.encoding import Window

__all__ = ["own_logits", "split_logits"]


def split_logits(
    level: str, logits: np.ndarray, windows: Sequence[Window], mask_id: int | None
) -> Sequence[np.ndarray]:
    """Return the logits of each window.

    Args:
        level: See `hf_mtl_light.answering.Answering.level`.
        logits: What a `Runner` gave for these windows: [B, C], [N, C] of their tokens, or [m, V] of their mask tokens.
        windows: The B windows.
        mask_id: The mask token's id, where a task fills masks.
    """
    if level == "token":
        counts = [len(window.ids) for window in windows]
    elif level == "mask" and mask_id is not None:
        counts = [window.ids.count(mask_id) for window in windows]
    else:
        return list(logits)
    return np.split(logits, np.cumsum(counts)[:-1])


def own_logits(level: str, logits: np.ndarray, window: Window, mask_id: int | None) -> np.ndarray | None:
    """Return the logits of the tokens that are a window's own; ``None`` where logits are those of the whole window.

    Args:
        level: See `split_logits`.
        logits: The window's: [C], [L, C] of its L tokens, or [m, V] of its mask tokens.
        window: The window.
        mask_id: See `split_logits`.
    """
    if level == "token":
        return logits[window.start : window.stop]
    if level == "mask":
        places = (place for place, token in enumerate(window.ids) if token == mask_id)
        return logits[[window.start <= place < window.stop for place in places]]
    return None
