"""The likeliest spans of a context, over all of its windows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from hf_mtl_light.words import WordMap

__all__ = ["MOST_ANSWERS", "best_spans", "spread"]

#: Answers that are given where all are asked for: the n-best size of Transformers' own question-answering script.
MOST_ANSWERS = 20


def best_spans(
    logits: np.ndarray, words: WordMap, longest: int, null_threshold: float | None, count: int
) -> list[dict[str, Any]]:
    """Return the best answers of one row.

    Args:
        logits: [n, 2], the logits of beginning and ending the answer, of the tokens of all windows.
        words: The tokens of the context; its ``word_ids`` run over the n.
        longest: The most tokens of an answer.
        null_threshold: How much more than the best span's the sum of logits of "no answer" must be to win over it;
            ``None``: there is an answer.
        count: How many are wanted.

    Returns:
        At least one ``{"answer", "score", "start", "end"}``, best first.

    Source: ``postprocess_qa_predictions`` of Transformers' example ``run_qa.py``, without its limit on the starts and
        ends that are looked at.
    """
    sums, null = _sums(logits.astype(np.float64), words, longest)
    flat = sums.ravel()
    allowed = null_threshold is not None
    top = max(float(flat.max(initial=-np.inf)), null if allowed else -np.inf)
    if not np.isfinite(top):  # no token at all, or logits that are no numbers
        return [_answer(words, None, 0.0)]
    powers = np.exp(flat - top)
    total = float(powers.sum()) + (float(np.exp(null - top)) if allowed else 0.0)
    chosen = np.argsort(-flat, kind="stable")[:count]
    found: list[tuple[float, dict[str, Any]]] = []
    for number in chosen.tolist():
        if np.isfinite(flat[number]):
            span = divmod(number, sums.shape[1])
            found.append((float(flat[number]), _answer(words, span, float(powers[number]) / total)))
    if null_threshold is not None:
        found.append((null - null_threshold, _answer(words, None, float(np.exp(null - top)) / total)))
    # Stable: of equals the span comes first.
    return [answer for _, answer in sorted(found, key=lambda pair: -pair[0])[:count]]


def _sums(logits: np.ndarray, words: WordMap, longest: int) -> tuple[np.ndarray, float]:
    """Return the best sum of logits of each span in any window, and that of no answer: the least of the windows.

    Returns:
        [G, K]: spans by the first of G tokens and their length less 1; minus infinity where no window holds one.
    """
    tokens = len(words.spans)
    lengths = min(longest, max(tokens, 1))
    sums = np.full((tokens, lengths), -np.inf)
    null, at = np.inf, 0
    for window in words.windows or (len(words.word_ids),):
        ids = words.word_ids[at : at + window]
        own = [i for i, token in enumerate(ids) if token is not None]
        null = min(null, float(logits[at].sum()))
        if own:
            first, size, begin = ids[own[0]], len(own), at + own[0]
            assert first is not None
            starts, ends = logits[begin : begin + size].T
            reachable = sliding_window_view(np.concatenate([ends, np.full(lengths - 1, -np.inf)]), lengths)
            reached = sums[first : first + size]
            np.maximum(reached, starts[:, None] + reachable, out=reached)
        at += window
    return sums, null


def _answer(words: WordMap, span: tuple[int, int] | None, score: float) -> dict[str, Any]:
    if span is None:
        return {"answer": "", "score": score, "start": 0, "end": 0}
    start, end = words.spans[span[0]][0], words.spans[span[0] + span[1]][1]
    text = words.text[start:end]
    # Some tokens begin with the space before a word.
    start, end = start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip())
    end = max(start, end)
    return {"answer": words.text[start:end], "score": score, "start": start, "end": end}


def spread(count: int, among: int) -> list[int]:
    """Return ``count`` numbers evenly among those from 0.

    >>> spread(2, 8), spread(3, 2)
    ([2, 6], [0, 1])
    """
    count = min(count, among)
    return [(2 * i + 1) * among // (2 * count) for i in range(count)]
