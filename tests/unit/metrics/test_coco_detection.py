"""COCO's metrics of boxes."""

import pytest

from hf_mtl.metrics import CocoDetection

pytest.importorskip("faster_coco_eval", reason="COCO's metrics need faster-coco-eval: pip install 'hf-mtl[vision]'")


def boxes(*rows, **more):
    return {"boxes": [list(row) for row in rows], "labels": [0] * len(rows), **more}


TRUE = [boxes((0, 0, 10, 10), (20, 20, 40, 40)), boxes(), boxes((5, 5, 15, 25))]


def scored(row, scores=None):
    return {**row, "scores": scores or [0.9] * len(row["boxes"])}


def test_right_boxes_score_one_and_none_zero():
    perfect = CocoDetection().compute(predictions=[scored(row) for row in TRUE], references=TRUE)
    assert perfect == {"map": 1.0, "map_50": 1.0, "map_75": 1.0, "mar_100": 1.0}
    for row in (boxes(), boxes((100, 100, 110, 110))):
        assert set(CocoDetection().compute(predictions=[scored(row)] * 3, references=TRUE).values()) == {0.0}
    nothing = CocoDetection().compute(predictions=[scored(boxes((0, 0, 9, 9)))], references=[boxes()])
    assert set(nothing.values()) == {0.0}


def test_the_overlap_decides_at_which_thresholds_a_box_counts():
    # An overlap of 0.6: counts at 0.50, 0.55 and 0.60 of the ten thresholds.
    found = CocoDetection().compute(predictions=[scored(boxes((0, 0, 6, 10)))], references=[boxes((0, 0, 10, 10))])
    assert found["map_50"] == 1
    assert found["map_75"] == 0
    assert found["map"] == pytest.approx(0.3)


def test_batches_add_up_and_a_wrong_box_with_a_higher_score_costs():
    metric = CocoDetection()
    found = [
        scored(boxes((0, 0, 10, 10), (20, 20, 40, 40), (60, 60, 70, 70)), [0.6, 0.7, 0.8]),
        scored(boxes()),
        scored(TRUE[2]),
    ]
    for one, true in zip(found, TRUE, strict=True):
        metric.add_batch(predictions=[one], references=[true])
    assert len(metric) == 3
    streamed = metric.compute()
    assert streamed == CocoDetection().compute(predictions=found, references=TRUE)
    assert 0.6 < streamed["map_50"] < 1
    assert streamed["mar_100"] == 1


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (boxes((0, 0, 1, 1)), "row 0: expected a mapping with boxes and labels and scores"),
        ({**scored(boxes((0, 0, 1, 1))), "scores": []}, "row 0: 1 boxes, and another number of labels or scores"),
    ],
)
def test_rows_that_do_not_fit_are_named(prediction, message):
    metric = CocoDetection()
    with pytest.raises(ValueError, match=message):
        metric.add_batch(predictions=[prediction], references=[boxes()])
    assert len(metric) == 0
