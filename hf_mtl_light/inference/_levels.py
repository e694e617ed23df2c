"""What a task's level means for logits: whether they are those of a window or row, of its tokens or of its masks.

A new level is one more case in `_counts` and `own_logits`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hf_mtl_light.answering import Answering
from hf_mtl_light.encoding import Window
from hf_mtl_light.words import WordMap

__all__ = ["logits_of_rows", "own_logits", "split_logits"]


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
    counts = _counts(level, [window.ids for window in windows], mask_id)
    return list(logits) if counts is None else _split(logits, counts)


def logits_of_rows(
    head: Answering, logits: np.ndarray, words: Sequence[WordMap], mask_id: int | None
) -> Sequence[np.ndarray]:
    """Return the logits of each row, of the merged ones that answers are made of.

    Args:
        head: What answers the task.
        logits: Those of all rows: see `answer_rows`.
        words: What became of each row's words.
        mask_id: The mask token's id, where a task fills masks.
    """
    if head.reads == "choices":
        return _split(logits, [len(row.choices) for row in words])
    # `word_ids` has an entry for each token; `ids` is kept only where answers are built from ids.
    counts = _counts(head.level, [row.word_ids if head.level == "token" else row.ids or () for row in words], mask_id)
    return _split(logits, counts or [1] * len(words))


def _counts(level: str, ids: Sequence[Sequence[int | None]], mask_id: int | None) -> list[int] | None:
    """Return how many logits each window or row has; ``None``: one, its own."""
    if level == "token":
        return [len(tokens) for tokens in ids]
    return [list(tokens).count(mask_id) for tokens in ids] if level == "mask" and mask_id is not None else None


def _split(logits: np.ndarray, counts: Sequence[int]) -> list[np.ndarray]:
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
