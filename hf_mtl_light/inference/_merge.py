"""Logits of windows to logits of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hf_mtl_light.answering import Answering
from hf_mtl_light.encoding import EncodedRow
from hf_mtl_light.inference._levels import own_logits

__all__ = ["merge_windows"]


def merge_windows(
    logits: Mapping[str, Sequence[np.ndarray]],
    rows: Sequence[EncodedRow],
    heads: Mapping[str, Answering],
    mask_id: int | None = None,
) -> dict[str, np.ndarray]:
    """Join the logits of each row's windows.

    A token's logits are those of the window whose own it is. A text's logits are the mean of its windows', weighted by
    their own tokens. Windows that are choices stay as they are.

    Args:
        logits: For each task the logits of each window, row after row: [C], or [L, C] for its L tokens, or [m, V] for
            its m mask tokens.
        rows: The rows.
        heads: What answers each task.
        mask_id: The mask token's id, where a task fills masks.

    Returns:
        For each task [R, C], or [n, C] for the own tokens of all windows, or [m, V] for their own mask tokens; of
        choices a row each.
    """
    windows = [window for row in rows for window in row.windows]
    merged = {}
    for name, values in logits.items():
        pairs = zip(values, windows, strict=True)
        own = [own_logits(heads[name].level, value, window, mask_id) for value, window in pairs]
        of_tokens = [value for value in own if value is not None]
        if of_tokens:
            merged[name] = np.concatenate(of_tokens)
        elif heads[name].reads == "choices" or len(windows) == len(rows):
            merged[name] = np.stack(values)
        else:
            weights = np.array([window.weight for window in windows], dtype=np.float32)
            first = np.cumsum([0, *(len(row.windows) for row in rows[:-1])])
            total = np.add.reduceat(np.stack(values) * weights[:, None], first)
            merged[name] = total / np.add.reduceat(weights, first)[:, None]
    return merged
