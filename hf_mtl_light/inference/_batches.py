"""Which windows share a pass of the encoder: those of like length, as many as a budget of tokens allows."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["plan_batches"]


def plan_batches(lengths: Sequence[int], batch_tokens: int, batch_size: int | None = None) -> list[list[int]]:
    """Sort windows by length and cut them into batches.

    Args:
        lengths: Tokens of each window.
        batch_tokens: The most tokens of a batch, counted as if it were padded to its longest window; a window that is
            longer makes a separate batch.
        batch_size: The most windows of a batch; ``None``: any number.

    Returns:
        The numbers of the windows of each batch, longest first: what does not fit into memory is found out at once.

    >>> plan_batches([5, 90, 6, 88], batch_tokens=200)
    [[1, 3], [2, 0]]
    """
    batches: list[list[int]] = []
    batch: list[int] = []
    longest = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not batch or longest * (len(batch) + 1) > batch_tokens or len(batch) == batch_size:
            batch, longest = [], lengths[i]
            batches.append(batch)
        batch.append(i)
    return batches
