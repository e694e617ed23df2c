"""Precision, recall and F1 of tagged spans."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import numpy.typing as npt

from hf_mtl.metrics._base import StreamingMetric
from hf_mtl.metrics._row_statistics import Numbers, RowStatistic, columns, f1_of_sums, share_of_items
from hf_mtl.metrics._spans import SCHEMES, span_reader
from hf_mtl.metrics._tag_rows import paired_tag_rows
from hf_mtl_light.errors import UserError

MODES = ("default", "strict")


class Seqeval(StreamingMetric):
    """Score spans (entities, slots) marked by IOB-like tags, with the values of the package seqeval.

    A predicted span is correct if type, first and last word all agree with a reference span. With the counts of all
    rows together, ``precision = correct / predicted``, ``recall = correct / true``,
    ``f1 = 2 correct / (predicted + true)``; ``accuracy`` is the share of words with the right tag. All lie in [0, 1],
    and a ratio with nothing below the line is 0.0, without seqeval's warnings. For every type that occurs,
    ``<type>_precision``, ``<type>_recall``, ``<type>_f1`` and ``<type>_support`` (reference spans) follow.

    The state is three counts per type and two numbers.

    Args:
        scheme: Tagging scheme that ``mode="strict"`` holds the tags to; the default mode reads all of them alike.
        mode: ``"default"`` forgives illegal sequences as conlleval does (``O I-PER`` opens a span); ``"strict"`` counts
            only spans that are well formed in ``scheme``. The two can differ by several points of F1: report which one
            was used.
        keep_in_memory: See `StreamingMetric`.

    Raises:
        ValueError: If ``scheme`` or ``mode`` is unknown.

    Source: Nakayama (2018), https://github.com/chakki-works/seqeval; Tjong Kim Sang and De Meulder (2003), section 2.3,
    https://aclanthology.org/W03-0419

    >>> scores = Seqeval().compute(predictions=[["B-PER", "I-PER", "O"]], references=[["B-PER", "I-PER", "B-LOC"]])
    >>> scores["precision"], scores["recall"], scores["PER_f1"], scores["LOC_support"]
    (1.0, 0.5, 1.0, 1.0)
    """

    input_kind = "tags"
    summary_keys = ("precision", "recall", "f1", "accuracy")
    headline_keys = ("accuracy", "f1", "precision", "recall")
    detail_keys = ("precision", "recall", "f1", "support")

    def __init__(
        self,
        *,
        scheme: Literal["IOB1", "IOB2", "IOBES"] = "IOB2",
        mode: Literal["default", "strict"] = "default",
        keep_in_memory: bool = True,
    ) -> None:
        for option, value, choices in (("scheme", scheme, SCHEMES), ("mode", mode, MODES)):
            if value not in choices:
                raise UserError(f"Metric 'seqeval': expected {option} to be one of {list(choices)}, found {value!r}.")
        super().__init__(keep_in_memory=keep_in_memory)
        self.scheme = scheme
        self.mode = mode

    def row_statistic(self, key: str, num_classes: int | None) -> RowStatistic | None:
        """Return what single rows add to a score: see `StreamingMetric.row_statistic`."""
        if key == "accuracy":
            return share_of_items(str.__eq__)
        return RowStatistic(self._counts_of_rows, f1_of_sums) if key == "f1" else None

    def _counts_of_rows(self, predictions: Sequence[Any], references: Sequence[Any]) -> Numbers:
        read = span_reader(mode=self.mode, scheme=self.scheme)
        pairs = [(read(p), read(r)) for p, r in zip(predictions, references, strict=True)]
        return columns([len(p & r) for p, r in pairs], [len(p) for p, _ in pairs], [len(r) for _, r in pairs])

    def _reset(self) -> None:
        self._correct: Counter[str] = Counter()
        self._predicted: Counter[str] = Counter()
        self._true: Counter[str] = Counter()
        self._right_tags = 0
        self._tags = 0

    def _update(self, predictions: npt.ArrayLike, references: npt.ArrayLike) -> int:
        rows = paired_tag_rows(predictions, references, metric=self.name, first_row=self._rows)
        read_spans = span_reader(mode=self.mode, scheme=self.scheme)
        # Lists first, counters last: a bad tag in a late row then leaves the state untouched.
        correct: list[str] = []
        predicted: list[str] = []
        true: list[str] = []
        right_tags = 0
        for row, (predicted_tags, true_tags) in enumerate(rows, self._rows):
            try:
                true_spans = read_spans(true_tags)
                predicted_spans = true_spans if predicted_tags == true_tags else read_spans(predicted_tags)
            except ValueError as error:
                raise UserError(
                    f"Metric {self.name!r}, row {row}: {error}. Choose the scheme of the data, or mode='default'."
                ) from None
            true += [span[0] for span in true_spans]
            predicted += [span[0] for span in predicted_spans]
            correct += [span[0] for span in true_spans & predicted_spans]
            right_tags += sum(map(str.__eq__, predicted_tags, true_tags))
        self._correct.update(correct)
        self._predicted.update(predicted)
        self._true.update(true)
        self._right_tags += right_tags
        self._tags += sum(len(true_tags) for _, true_tags in rows)
        return len(rows)

    def _result(self) -> dict[str, float]:
        if self._tags == 0:
            raise UserError(
                f"Metric {self.name!r}: expected at least one tag, found {self._rows} rows without any. Check that "
                "the words reach the metric."
            )
        scores = _scores(self._correct.total(), self._predicted.total(), self._true.total())
        scores["accuracy"] = self._right_tags / self._tags
        for type_ in sorted({*self._predicted, *self._true}):
            of_type = _scores(self._correct[type_], self._predicted[type_], self._true[type_])
            scores |= {f"{type_}_{name}": value for name, value in of_type.items()}
            scores[f"{type_}_support"] = float(self._true[type_])
        return scores


def _scores(correct: int, predicted: int, true: int) -> dict[str, float]:
    return {
        "precision": correct / predicted if predicted else 0.0,
        "recall": correct / true if true else 0.0,
        "f1": 2 * correct / (predicted + true) if predicted + true else 0.0,
    }
