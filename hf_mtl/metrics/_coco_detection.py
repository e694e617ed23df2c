"""Mean average precision and recall of boxes, as COCO counts them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hf_mtl.metrics._base import StreamingMetric
from hf_mtl_light.errors import MissingExtraError, UserError

__all__ = ["CocoDetection"]

#: The scores by their places among those that COCO's evaluation gives.
_SCORES = {"map": 0, "map_50": 1, "map_75": 2, "mar_100": 8}


class CocoDetection(StreamingMetric):
    """Mean average precision over labels and over overlaps of 0.50, 0.55 ... 0.95, in [0, 1], and the mean recall.

    A row is a mapping: ``boxes``, each left, top, right and bottom in pixels; ``labels``, their numbers; of
    predictions also ``scores``. At most 100 boxes a picture count. ``map_50`` and ``map_75`` are at one overlap,
    ``mar_100`` is the mean of the largest recalls. A label without any box of the references is left out of the means;
    where no reference has a box, all are 0.

    faster-coco-eval computes it (``pip install 'hf-mtl[vision]'``). Boxes are kept as numbers until then, about 50
    bytes each: a precision depends on the order of all scores.

    Source: T.-Y. Lin et al., Microsoft COCO, ECCV 2014; the evaluation of cocoapi.
    """

    input_kind = "boxes"
    summary_keys = tuple(_SCORES)
    headline_keys = ("map", "map_50")
    detail_keys = ("map",)

    def _reset(self) -> None:
        self._predicted: list[np.ndarray] = []
        self._true: list[np.ndarray] = []

    def _update(self, predictions: npt.ArrayLike, references: npt.ArrayLike) -> int:
        found, true = list(predictions), list(references)  # type: ignore[arg-type]  # lists of mappings
        if len(found) != len(true):
            raise UserError(
                f"Metric {self.name!r}: expected one prediction per reference, found {len(found)} predictions for "
                f"{len(true)} references. Pass the same rows in both."
            )
        first = len(self)
        predicted = [_table(row, first + number, scored=True) for number, row in enumerate(found)]
        expected = [_table(row, first + number, scored=False) for number, row in enumerate(true)]
        self._predicted += predicted
        self._true += expected
        return len(true)

    def _result(self) -> dict[str, float]:
        try:
            from faster_coco_eval import COCO, COCOeval_faster  # type: ignore[import-untyped]
        except ImportError as error:
            raise MissingExtraError("COCO's metrics need faster-coco-eval: pip install 'hf-mtl[vision]'.") from error
        predicted, true = np.concatenate(self._predicted), np.concatenate(self._true)
        if not len(true):
            return dict.fromkeys(_SCORES, 0.0)
        labels = sorted({*true[:, 1].astype(int).tolist(), *predicted[:, 1].astype(int).tolist()})
        truth = COCO(
            {
                "info": {},
                "images": [{"id": number} for number in range(len(self))],
                "categories": [{"id": label, "name": str(label)} for label in labels],
                "annotations": [{**box, "id": n, "iscrowd": 0} for n, box in enumerate(_boxes(true), 1)],
            }
        )
        # An empty list is refused; a box without a score is found by no one.
        found = truth.loadRes(
            _boxes(predicted) if len(predicted) else [{**_boxes(true)[0], "score": 0.0, "bbox": [0, 0, 0, 0]}]
        )
        evaluation = COCOeval_faster(truth, found, "bbox", print_function=lambda *_: None)
        evaluation.run()
        # COCO says -1 where there is nothing to find.
        return {name: max(float(evaluation.stats[place]), 0.0) for name, place in _SCORES.items()}


def _table(row: Any, number: int, scored: bool) -> np.ndarray:
    """Return a row's boxes as [n, 7]: the picture, label, score, left, top, right and bottom."""
    keys = ("boxes", "labels", "scores") if scored else ("boxes", "labels")
    if not isinstance(row, Mapping) or not set(keys) <= row.keys():
        raise UserError(
            f"Metric 'coco_detection', row {number}: expected a mapping with {' and '.join(keys)}, found "
            f"{str(row)[:80]!r}."
        )
    columns: list[Sequence[Any]] = [row["labels"], row["scores"] if scored else [1.0] * len(row["labels"])]
    boxes = np.asarray(row["boxes"], dtype=np.float64).reshape(-1, 4)
    if any(len(column) != len(boxes) for column in columns):
        raise UserError(
            f"Metric 'coco_detection', row {number}: {len(boxes)} boxes, and another number of labels or scores."
        )
    return np.column_stack(
        [np.full(len(boxes), float(number)), *(np.asarray(c, dtype=np.float64) for c in columns), boxes]
    )


def _boxes(table: np.ndarray) -> list[dict[str, Any]]:
    sizes = table[:, 5:7] - table[:, 3:5]
    return [
        {
            "image_id": int(row[0]),
            "category_id": int(row[1]),
            "score": float(row[2]),
            "bbox": [*row[3:5].tolist(), *size.tolist()],
            "area": float(size.prod()),
        }
        for row, size in zip(table, sizes, strict=True)
    ]
