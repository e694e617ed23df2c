"""Metrics that need no network, with the interface of `evaluate`.

`evaluate.load("accuracy")` downloads a script from the Hub, or runs a folder of that name in the working directory. The
metrics here are ordinary classes. Each is an `evaluate.Metric`, so everything that takes one takes these; each folds a
batch into a small state at once, so a large evaluation set costs no memory.

What one row of predictions and references is depends on the metric's ``input_kind``:

- ``"classes"``: a class id; a batch is [R] integers.
- ``"multilabel"``: C flags of 0 or 1; a batch is [R, C].
- ``"values"``: a number; a batch is [R] floats. For rows of several, ``"targets"``, see `PerTarget`.
- ``"tags"``: a list of tag strings, one per word; a batch is a list of R lists.
- ``"tokens"``: a list of token ids, one per masked token; a batch is a list of R lists.
- ``"boxes"``: a mapping with ``boxes``, ``labels`` and, of predictions, ``scores``; see `CocoDetection`.
- ``"answers"``: a text, empty for no answer; as reference a list of the right ones.

A new metric is one file and one row in `METRICS`; of a new kind of rows, also one row in `INPUT_KINDS`.

>>> metric = load_metric("f1")
>>> for batch in ([0, 1], [1, 1]):
...     metric.add_batch(predictions=batch, references=[0, 1])
>>> metric.compute()["f1_micro"]
0.75
"""

import difflib
from typing import Any

import evaluate

from hf_mtl.metrics._accuracy import Accuracy
from hf_mtl.metrics._base import StreamingMetric
from hf_mtl.metrics._brier_score import BrierScore
from hf_mtl.metrics._coco_detection import CocoDetection
from hf_mtl.metrics._conformal import conformal_sets, conformal_threshold
from hf_mtl.metrics._confusion import Cells, ClassMetric
from hf_mtl.metrics._expected_calibration_error import ExpectedCalibrationError, calibration_bins
from hf_mtl.metrics._f1 import F1
from hf_mtl.metrics._input_kinds import INPUT_KINDS, InputKind, RowKind
from hf_mtl.metrics._interval import bootstrap_interval
from hf_mtl.metrics._masked_accuracy import MaskedAccuracy
from hf_mtl.metrics._matthews_correlation import MatthewsCorrelation
from hf_mtl.metrics._mean_absolute_error import MeanAbsoluteError
from hf_mtl.metrics._mean_squared_error import MeanSquaredError
from hf_mtl.metrics._multilabel_f1 import MultilabelF1
from hf_mtl.metrics._negative_log_likelihood import NegativeLogLikelihood
from hf_mtl.metrics._pearson import Pearson
from hf_mtl.metrics._per_target import PerTarget
from hf_mtl.metrics._quadratic_weighted_kappa import QuadraticWeightedKappa
from hf_mtl.metrics._row_statistics import RowStatistic, mean_of_rows
from hf_mtl.metrics._seqeval import Seqeval
from hf_mtl.metrics._spans import lenient_spans
from hf_mtl.metrics._spearman import Spearman
from hf_mtl.metrics._squad import Squad
from hf_mtl.metrics._tag_accuracy import TagAccuracy
from hf_mtl.metrics._temperature import best_temperature, negative_log_likelihoods, threshold_at_temperature
from hf_mtl.metrics._thresholds import best_threshold, best_thresholds
from hf_mtl.metrics._value_metric import ValueMetric
from hf_mtl_light.errors import UserError

__all__ = [
    "F1",
    "INPUT_KINDS",
    "METRICS",
    "Accuracy",
    "BrierScore",
    "Cells",
    "ClassMetric",
    "CocoDetection",
    "ExpectedCalibrationError",
    "InputKind",
    "MaskedAccuracy",
    "MatthewsCorrelation",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "MultilabelF1",
    "NegativeLogLikelihood",
    "Pearson",
    "PerTarget",
    "QuadraticWeightedKappa",
    "RowKind",
    "RowStatistic",
    "Seqeval",
    "Spearman",
    "Squad",
    "StreamingMetric",
    "TagAccuracy",
    "ValueMetric",
    "best_temperature",
    "best_threshold",
    "best_thresholds",
    "bootstrap_interval",
    "calibration_bins",
    "conformal_sets",
    "conformal_threshold",
    "lenient_spans",
    "load_metric",
    "mean_of_rows",
    "negative_log_likelihoods",
    "threshold_at_temperature",
]

METRICS: dict[str, type[StreamingMetric]] = {
    "accuracy": Accuracy,
    "f1": F1,
    "matthews_correlation": MatthewsCorrelation,
    "quadratic_weighted_kappa": QuadraticWeightedKappa,
    "multilabel_f1": MultilabelF1,
    "pearson": Pearson,
    "spearman": Spearman,
    "mean_absolute_error": MeanAbsoluteError,
    "mean_squared_error": MeanSquaredError,
    "seqeval": Seqeval,
    "tag_accuracy": TagAccuracy,
    "masked_accuracy": MaskedAccuracy,
    "squad": Squad,
    "coco_detection": CocoDetection,
    "expected_calibration_error": ExpectedCalibrationError,
    "brier_score": BrierScore,
    "negative_log_likelihood": NegativeLogLikelihood,
}
"""Built-in metrics by name."""


def load_metric(name: str, **options: Any) -> evaluate.Metric:
    """Return a new metric by name: built in, or else whatever `evaluate.load` finds.

    Built-in names come first, so neither a missing network nor a folder called ``accuracy`` in the working directory
    changes what ``"accuracy"`` means.

    Args:
        name: A key of `METRICS`, a metric on the Hub (``"rouge"``, ``"user/metric"``), or the path of a folder with a
            metric script, such as ``"./my_metric"``.
        options: Passed on to the metric's class, or to `evaluate.load` with ``keep_in_memory=True`` as default.

    Returns:
        A metric without data. Only built-in ones state ``input_kind`` and ``greater_is_better``.

    Raises:
        ValueError: If the name is not built in, and neither a folder nor the Hub has it or the Hub cannot be reached.

    >>> load_metric("seqeval", mode="strict").compute(predictions=[["I-PER"]], references=[["I-PER"]])
    {'precision': 0.0, 'recall': 0.0, 'f1': 0.0, 'accuracy': 1.0}
    """
    if name in METRICS:
        return METRICS[name](**options)
    try:
        return evaluate.load(name, **{"keep_in_memory": True, **options})
    except OSError as error:  # FileNotFoundError, ConnectionError and the Hub client's errors
        nearest_first = difflib.get_close_matches(name, METRICS, n=len(METRICS), cutoff=0.0)
        raise UserError(
            f"Metric {name!r} is not built in, and evaluate.load could not load it ({type(error).__name__}: {error}). "
            f"Built in, nearest first: {', '.join(nearest_first)}. Any other metric needs the Hugging Face Hub within "
            "reach, or the path of a folder with its script, such as './my_metric'."
        ) from error
