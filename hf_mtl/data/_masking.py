"""Which tokens of a text are to be predicted, and what replaces them: a function of the seed and the draw."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerBase

from hf_mtl.samplers.plan import uniforms
from hf_mtl_light.encoding import Row
from hf_mtl_light.errors import UserError
from hf_mtl_light.words import WordMap

__all__ = ["TokenMasker"]

#: In place of a pass's number, for texts that are not drawn: they are scored under one mask, whatever the seed.
_FIXED = (0, -1)
_MASKED, _REPLACED = 0.8, 0.9


class TokenMasker:
    """Masks texts; nothing is remembered and no generator moves on.

    Of a text's n tokens, special and unknown ones not counted, p n are chosen, rounded up or down at random so that
    this is the mean, and at least one. The numbers belong to the seed, the pass over the dataset, the row's number and
    its tokens: each pass has new masks, a resumed training as an unbroken one, and every process and worker alike.

    Args:
        tokenizer: The tokenizer.
        task: A task that needs it, for the message.
        seed: Names the masks of training.

    Raises:
        ValueError: If the tokenizer has no mask token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, task: str, seed: int) -> None:
        if tokenizer.mask_token_id is None:
            raise UserError(
                f"Task {task!r}: {type(tokenizer).__name__} has no mask token, so there is nothing to mask texts with. "
                "Load the encoder's own tokenizer, or leave the task out."
            )
        self.mask_id = int(tokenizer.mask_token_id)
        self._seed = seed
        self._special = np.array(sorted(tokenizer.all_special_ids), dtype=np.int64)
        self._ordinary = np.setdiff1d(np.array(list(tokenizer.get_vocab().values()), dtype=np.int64), self._special)

    def mask(
        self,
        input_ids: torch.Tensor,
        places: Sequence[int],
        rows: Sequence[Row],
        words: Sequence[WordMap],
        options: Any,
        no_label: float,
    ) -> torch.Tensor:
        """Mask some rows of a batch in place.

        Args:
            input_ids: [B, L] int64.
            places: Which of the B the R rows to mask are.
            rows: The R rows.
            words: What became of their words.
            options: `hf_mtl.heads.MaskedLmOptions`.
            no_label: What is returned for tokens that are not to be predicted.

        Returns:
            [R, L] int64: the ids of the tokens to predict, ``no_label`` elsewhere.
        """
        labels = torch.full((len(rows), input_ids.shape[1]), int(no_label))
        for number, (i, row, word_map) in enumerate(zip(places, rows, words, strict=True)):
            ids = input_ids[i].numpy()
            word_ids = word_map.word_ids
            known = np.array([word is not None for word in word_ids])
            maskable = np.flatnonzero(known & ~np.isin(ids, self._special))
            if not len(maskable):
                continue
            draw = _FIXED if row.drawn is None else (self._seed, row.drawn)
            numbers = uniforms((*draw, row.index, zlib.crc32(ids[maskable].tobytes())), 3 * len(maskable) + 1)
            units = _words(word_ids, maskable) if options.whole_word else [[k] for k in range(len(maskable))]
            picked = _pick(units, len(maskable), options.mask_probability, numbers)
            # What a token becomes follows from its own two numbers, after those that chose it.
            kinds, others = numbers[1 + len(maskable) + picked], numbers[1 + 2 * len(maskable) + picked]
            at = maskable[picked]
            labels[number, at] = torch.from_numpy(ids[at])
            random = self._ordinary[(others * len(self._ordinary)).astype(np.int64)]
            new = np.where(kinds < _MASKED, self.mask_id, np.where(kinds < _REPLACED, random, ids[at]))
            input_ids[i, at] = torch.from_numpy(new)
        return labels


def _words(word_ids: Sequence[int | None], places: npt.NDArray[np.int64]) -> list[list[int]]:
    """Return the numbers of the places that each word has."""
    found: dict[int | None, list[int]] = {}
    for number, place in enumerate(places.tolist()):
        found.setdefault(word_ids[place], []).append(number)
    return list(found.values())


def _pick(
    units: Sequence[Sequence[int]], count: int, share: float, numbers: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Return the numbers of the tokens chosen, in order: whole units, as many as the share allows, at least one."""
    goal = max(1, int(share * count + numbers[0]))
    order = np.argsort(numbers[1 : 1 + len(units)], kind="stable").tolist()
    picked: list[int] = []
    for number in order:
        if len(picked) + len(units[number]) <= goal:
            picked.extend(units[number])
        if len(picked) == goal:
            break
    # All words are longer than what may be masked: the first of them is, all the same.
    return np.array(sorted(picked or units[order[0]]), dtype=np.int64)
