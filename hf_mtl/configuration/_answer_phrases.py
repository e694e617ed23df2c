"""What tasks without labels answer, in words. The command line reads it as heads do, but without importing torch."""

from __future__ import annotations

__all__ = ["ANSWER_PHRASES", "A_NUMBER"]

#: What a task without labels answers, where its type says nothing else.
A_NUMBER = "a number"
#: Task type -> what it answers.
ANSWER_PHRASES = {
    "masked-lm": "tokens for masks",
    "question-answering": "a span of `text_pair`",
    "multiple-choice": "one of `choices`",
}
