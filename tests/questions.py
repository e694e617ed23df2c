"""Questions whose answers can be looked up in the text beside them, for tests of answers and choices."""

from __future__ import annotations

from typing import Any

import torch
from datasets import Dataset

__all__ = ["make_choices", "make_questions"]

#: The word that asks, and what may be the answer.
KINDS = {"by": ("anna", "bob"), "in": ("paris", "rome")}
THINGS = ("film", "book", "play", "song")


def make_questions(count: int, seed: int, unanswerable: bool = False, filler: int = 0) -> Dataset:
    """Return rows such as ``by ?`` over ``the film is good . the song is in rome by anna .``

    Args:
        count: Rows.
        seed: The same seed makes the same rows.
        unanswerable: Whether every third context says nothing of what is asked.
        filler: Words in front of each context that say nothing.
    """
    generator = torch.Generator().manual_seed(seed)

    def pick(among: Any) -> Any:
        return list(among)[int(torch.randint(len(among), (1,), generator=generator))]

    rows = []
    for number in range(count):
        asked = "by"
        said = [(kind, pick(KINDS[kind])) for kind in (("by", "in") if pick((True, False)) else ("in", "by"))]
        context = " ".join(["very"] * filler + [f"the {pick(THINGS)} is {pick(('good', 'bad', 'very good'))} ."])
        context = f"{context.strip()} the {pick(THINGS)} is"
        answer: dict[str, Any] = {"text": [], "answer_start": []}
        for kind, name in said:
            if kind == asked:
                if unanswerable and number % 3 == 0:
                    continue
                answer = {"text": [name], "answer_start": [len(context) + 4]}
            context = f"{context} {kind} {name}"
        rows.append({"text": f"{asked} ?", "text_pair": f"{context} .", "answer": answer})
    return Dataset.from_list(rows)


def make_choices(count: int, seed: int) -> Dataset:
    """Return rows such as ``by ?`` with two to four choices, of which one is a person."""
    generator = torch.Generator().manual_seed(seed)

    def pick(among: Any) -> Any:
        return list(among)[int(torch.randint(len(among), (1,), generator=generator))]

    rows = []
    for _ in range(count):
        asked, other = "by", "in"
        wrong = [*THINGS, *KINDS[other]]
        size = pick((2, 3, 4))
        order = torch.randperm(len(wrong), generator=generator)[: size - 1].tolist()
        choices = [wrong[i] for i in order]
        right = pick(range(size))
        choices.insert(right, pick(KINDS[asked]))
        rows.append({"text": f"{asked} ?", "choices": choices, "right": right})
    return Dataset.from_list(rows)
