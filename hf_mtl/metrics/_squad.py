"""Exact match and F1 of answers, as SQuAD's own scripts count them."""

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy.typing as npt

from hf_mtl.metrics._base import StreamingMetric
from hf_mtl.metrics._row_statistics import RowStatistic, mean_of_rows
from hf_mtl_light.errors import UserError

__all__ = ["Squad", "squad_scores"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def _normalized(text: str) -> str:
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def _overlap(predicted: Sequence[str], right: Sequence[str]) -> float:
    """Return F1 of two bags of words; of an empty one whether both are."""
    if not predicted or not right:
        return float(predicted == right)
    same = sum((Counter(predicted) & Counter(right)).values())
    return 2 * same / (len(predicted) + len(right))


def squad_scores(prediction: str, answers: Sequence[str]) -> tuple[float, float]:
    """Return exact match and F1 of one answer, each the best over the right ones.

    Args:
        prediction: The answer; empty: none.
        answers: The right answers; none: there is no answer.

    >>> squad_scores("the Eiffel tower", ["Eiffel Tower", "tower"])
    (1.0, 1.0)
    >>> squad_scores("Paris", [])
    (0.0, 0.0)
    """
    right = [found for found in map(_normalized, answers) if found] or [""]
    given = _normalized(prediction)
    return float(given in right), max(_overlap(given.split(), found.split()) for found in right)


class Squad(StreamingMetric):
    """Share of questions whose answer is exactly right, and the mean F1 of the words of answers, in [0, 1].

    Answers are compared in lower case without punctuation and articles. A question may have several right answers, of
    which the nearest counts, or none: then the empty answer alone is right. Where both kinds of questions occur, each
    is scored by itself besides.

    The official scripts say the same times 100.

    Source: P. Rajpurkar et al., SQuAD, EMNLP 2016, section 6.1; the evaluation script of SQuAD 2.0.

    >>> Squad().compute(predictions=["an old film", "Rome"], references=[["old films", "the old film"], []])
    {'exact_match': 0.5, 'f1': 0.5, 'has_answer_exact_match': 1.0, 'has_answer_f1': 1.0, 'no_answer_exact_match': 0.0}
    """

    input_kind = "answers"
    summary_keys = ("exact_match", "f1")
    detail_keys = summary_keys

    def row_statistic(self, key: str, num_classes: int | None) -> RowStatistic | None:
        """Return what single rows add to a score: see `StreamingMetric.row_statistic`."""
        number = {"exact_match": 0, "f1": 1}.get(key)
        return None if number is None else mean_of_rows(lambda p, r: squad_scores(p, r)[number])

    def _reset(self) -> None:
        # Without and with an answer: questions, exact ones, and the sum of F1.
        self._sums = [[0, 0.0, 0.0], [0, 0.0, 0.0]]

    def _update(self, predictions: npt.ArrayLike, references: npt.ArrayLike) -> int:
        rows = [(squad_scores(answer, right), bool(right)) for answer, right in self._pairs(predictions, references)]
        for (exact, f1), has_answer in rows:
            sums = self._sums[has_answer]
            sums[0] += 1
            sums[1] += exact
            sums[2] += f1
        return len(rows)

    def _pairs(self, predictions: npt.ArrayLike, references: npt.ArrayLike) -> list[tuple[str, list[str]]]:
        sides: list[list[object]] = []
        for name, values in (("predictions", predictions), ("references", references)):
            if isinstance(values, str) or not isinstance(values, Iterable):
                raise UserError(
                    f"Metric {self.name!r}: expected {name} as a list with an entry a row, found "
                    f"{type(values).__name__} {str(values)[:80]!r}."
                )
            sides.append(list(values))
        if len(sides[0]) != len(sides[1]):
            raise UserError(
                f"Metric {self.name!r}: expected one prediction per reference, found {len(sides[0])} predictions for "
                f"{len(sides[1])} references. Pass the same rows in both."
            )
        pairs = []
        for row, (answer, right) in enumerate(zip(*sides, strict=True), self._rows):
            texts = [right] if isinstance(right, str) else right
            if not isinstance(answer, str) or not isinstance(texts, (list, tuple)):
                wrong, name = (answer, "predictions") if not isinstance(answer, str) else (right, "references")
                raise UserError(
                    f"Metric {self.name!r}, row {row}: expected a text as prediction and a list of texts as reference, "
                    f"found {str(wrong)[:80]!r} in {name}."
                )
            # An empty text is none.
            pairs.append((answer, [str(text) for text in texts if text]))
        return pairs

    def _result(self) -> dict[str, float]:
        rows, exact, f1 = (float(one + other) for one, other in zip(*self._sums, strict=True))
        result = {"exact_match": exact / rows, "f1": f1 / rows}
        without, having = self._sums
        if without[0] and having[0]:
            result["has_answer_exact_match"] = having[1] / having[0]
            result["has_answer_f1"] = having[2] / having[0]
            # Their F1 is the same.
            result["no_answer_exact_match"] = without[1] / without[0]
        return result
