"""Boxes: how they are written, assigned, learned and answered."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.heads import HEADS, LabelError, Objects
from hf_mtl.heads._assignment import assign
from hf_mtl.heads._boxes import read_objects
from hf_mtl.heads._pyramid import _norm
from hf_mtl_light.answering import AnswerOptions, keep_best
from hf_mtl_light.words import WordMap
from tests.image_encoders import IMAGE_FAMILIES, pictures, tiny_image_encoder

HEAD = HEADS["object-detection"]
SHAPES = TaskConfig("shapes", "object-detection", labels=["red", "blue"], options={"channels": 16})
SIZE = (40, 20)


def objects(boxes, names, size=SIZE):
    return Objects(tuple(map(tuple, boxes)), tuple(names), *size)


def labels_of(*rows):
    return HEAD.encode_labels(SHAPES, rows, [WordMap("", [], [])] * len(rows))


ROWS = [
    objects([(2, 3, 20, 12), (25, 5, 39, 19)], ["red", "blue"]),
    objects([], []),
    objects([(0, 0, 40, 20)], ["blue"]),
]


@pytest.mark.parametrize(
    ("box_format", "box"),
    [("coco", [4, 5, 10, 8]), ("pascal_voc", [4, 5, 14, 13]), ("yolo", [0.225, 0.45, 0.25, 0.4])],
)
def test_all_formats_name_the_same_box(box_format, box):
    for value in (
        {"bbox": [box], "category": ["red"]},
        [{"bbox": box, "category": "red", "area": 80}],
    ):
        found = read_objects(SHAPES, value, SIZE, box_format)
        assert np.allclose(found.boxes, [(4, 5, 14, 13)])
        assert found.labels == ("red",)


BAD = {
    "no mapping": ([1, 2, 3, 4], "expected a mapping with 'bbox' and 'category', found \\[1"),
    "a number": (7, "expected a mapping"),
    "other keys": ({"boxes": [], "labels": []}, "found a mapping with 'boxes', 'labels'"),
    "boxes alone": ({"bbox": [[0, 0, 1, 1]]}, "expected a mapping with 'bbox' and 'category'"),
    "null boxes": ({"bbox": None, "category": []}, "'bbox' must be a list"),
    "one label for all": ({"bbox": [[0, 0, 1, 1]], "category": "red"}, "'category' must be a list"),
    "too few labels": ({"bbox": [[0, 0, 1, 1]] * 2, "category": ["red"]}, "2 boxes for 1 labels"),
    "three numbers": ({"bbox": [[0, 0, 1]], "category": ["red"]}, "box 0 must be four numbers"),
    "five numbers": ({"bbox": [[0, 0, 1, 1, 1]], "category": ["red"]}, "box 0 must be four numbers"),
    "a flat list": (
        {"bbox": [0, 0, 1, 1], "category": ["red"] * 4},
        "box 0 must be four numbers, .* found 0",
    ),
    "texts": ({"bbox": [["0", "0", "1", "1"]], "category": ["red"]}, "box 0 must be four numbers"),
    "truth values": ({"bbox": [[True, 0, 1, 1]], "category": ["red"]}, "box 0 must be four numbers"),
    "null": ({"bbox": [None], "category": ["red"]}, "box 0 must be four numbers, .* found None"),
    "not a number": ({"bbox": [[float("nan"), 0, 1, 1]], "category": ["red"]}, "four finite numbers"),
    "infinite": ({"bbox": [[0, 0, float("inf"), 1]], "category": ["red"]}, "four finite numbers"),
    "unknown label": ({"bbox": [[0, 0, 1, 1]], "category": ["green"]}, "label 'green' is not one of the task's 2"),
    "number as label": ({"bbox": [[0, 0, 1, 1]], "category": [1]}, "numbers without names"),
    "null label": ({"bbox": [[0, 0, 1, 1]], "category": [None]}, "box 0 has no label"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_box_is_named(case):
    value, message = BAD[case]
    with pytest.raises(LabelError, match=message):
        read_objects(SHAPES, value, SIZE, "coco")


def test_pixels_where_fractions_are_expected_are_named():
    with pytest.raises(LabelError, match="box_format='yolo' says"):
        read_objects(SHAPES, {"bbox": [[20, 20, 10, 10]], "category": ["red"]}, SIZE, "yolo")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(-60, 60), min_size=4, max_size=4), max_size=4))
def test_boxes_lie_in_the_picture_and_have_an_area(boxes):
    found = read_objects(SHAPES, {"bbox": boxes, "category": ["red"] * len(boxes)}, SIZE, "pascal_voc")
    assert len(found.boxes) + found.dropped == len(boxes)
    for left, top, right, bottom in found.boxes:
        assert 0 <= left < right <= 40
        assert 0 <= top < bottom <= 20
    inside = [box for box in boxes if tuple(box) in found.boxes]
    assert len(found.boxes) - len(inside) <= found.clipped


def overlap(a, b):
    width, height = (max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    area = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return width * height / (sum(area) - width * height)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 30), st.integers(1, 8))
def test_suppression_keeps_the_best_of_those_that_overlap(seed, count, most):
    generator = np.random.default_rng(seed)
    corners = generator.uniform(0, 10, (count, 2))
    boxes = np.concatenate([corners, corners + generator.uniform(1, 6, (count, 2))], 1)
    scores = generator.uniform(0, 1, (count, 2))
    kept, best, labels = keep_best(boxes, scores, [0.3, 0.0], 0.5, most)
    assert len(kept) <= most
    assert list(best) == sorted(best, reverse=True)
    found = list(zip(kept.tolist(), best.tolist(), labels.tolist(), strict=True))
    for number, (box, score, label) in enumerate(found):
        assert score >= [0.3, 0.0][label]
        assert all(overlap(box, other) <= 0.5 for other, _, same in found[:number] if same == label)
    if len(kept) < most:
        for box, row in zip(boxes.tolist(), scores.tolist(), strict=True):
            for label, score in enumerate(row):
                better = [other for other, its, same in found if same == label and its >= score]
                assert score < [0.3, 0.0][label] or any(box == other or overlap(box, other) > 0.5 for other in better)


def test_every_object_is_learned_by_places_in_it_or_the_nearest():
    torch.manual_seed(0)
    grid = (torch.arange(8) + 0.5) / 8
    points = torch.cartesian_prod(grid, grid)
    boxes = torch.cat([points - 0.1, points + 0.1], 1)
    wanted = torch.tensor([[0.1, 0.1, 0.6, 0.5], [0.30, 0.30, 0.305, 0.305], [0.7, 0.7, 1.0, 1.0]])
    places, owners, fits = assign(points, boxes, torch.rand(64, 2), wanted, torch.tensor([0, 1, 1]))
    assert set(owners.tolist()) == {0, 1, 2}
    assert len(set(places.tolist())) == len(places)
    for place, owner in zip(places, owners, strict=True):
        is_inside = (wanted[owner, :2] < points[place]).all() and (points[place] < wanted[owner, 2:]).all()
        assert is_inside or owner == 1
    assert fits.min() >= 0
    assert fits.max() <= 1


@pytest.mark.parametrize("family", IMAGE_FAMILIES)
def test_every_family_learns_and_saves_bit_equal(family, tmp_path):
    torch.manual_seed(0)
    model = MultiTaskModel.from_encoder(tiny_image_encoder(family), [SHAPES]).train()
    output = model(pixel_values=pictures(3), labels={"shapes": labels_of(*ROWS)})
    output.loss.backward()
    assert torch.isfinite(output.loss)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.heads.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.encoder.parameters())
    model.eval().save_pretrained(tmp_path)
    loaded = MultiTaskModel.from_pretrained(tmp_path)
    with torch.no_grad():
        expected = model(pixel_values=pictures(2)).logits["shapes"]
        assert torch.equal(loaded(pixel_values=pictures(2)).logits["shapes"], expected)
        assert torch.equal(model.flat_logits(pixel_values=pictures(2))["shapes"], expected)
        # Other sizes of pictures than the family's own, also such that are no square.
        wide = model(pixel_values=torch.randn(1, 3, 32, 48)).logits["shapes"]
    assert wide.shape[-1] == expected.shape[-1] == 8
    centres = wide[0, :, 4:6]
    assert centres.min() > 0
    assert centres.max() < 1.01
    assert wide.shape[1] > expected.shape[1]


def test_the_loss_of_a_batch_is_that_of_its_pictures_and_of_none_is_none():
    torch.manual_seed(0)
    model = MultiTaskModel.from_encoder(tiny_image_encoder(), [SHAPES])
    head, labels = model.task_heads["shapes"], labels_of(*ROWS)
    with torch.no_grad():
        logits = model(pixel_values=pictures(3)).logits["shapes"]
    whole = head.loss_sum(logits, labels)
    alone = sum(head.loss_sum(logits[i : i + 1], labels_of(ROWS[i])) for i in range(3))
    torch.testing.assert_close(whole, alone)
    assert head.count_items(labels) == 2 + 1 + 1
    assert torch.isnan(head.loss_sum(logits.index_fill(2, torch.tensor([6]), torch.nan), labels))


def test_new_layers_lose_about_what_is_said_of_guessing():
    torch.manual_seed(0)
    model = MultiTaskModel.from_encoder(tiny_image_encoder(), [SHAPES])
    loss = model(pixel_values=pictures(3), labels={"shapes": labels_of(*ROWS)}).losses["shapes"]
    assert 0.2 * HEAD.loss_of_guessing(SHAPES) < float(loss.detach()) < 2 * HEAD.loss_of_guessing(SHAPES)


def logits_of(boxes, scores):
    """Return logits of places with these boxes, fractions of the picture, and these scores of the labels."""
    scores = np.array(scores)
    return np.concatenate([np.array(boxes), np.zeros((len(boxes), 2)), np.log(scores / (1 - scores))], 1)[None]


def test_answers_are_those_of_the_stock_pipeline_in_pixels_of_the_picture():
    words = [WordMap("", [], [], picture_size=(200, 100))]
    boxes = [[0.1, 0.1, 0.5, 0.52], [0.1, 0.1, 0.5, 0.5], [0.6, -0.2, 1.3, 0.9]]
    logits = logits_of(boxes, [[0.9, 0.1], [0.8, 0.1], [0.2, 0.7]])
    [found] = HEAD.answers(SHAPES, logits, words)
    assert found == [
        {"label": "red", "score": pytest.approx(0.9), "box": {"xmin": 20, "ymin": 10, "xmax": 100, "ymax": 52}},
        {"label": "blue", "score": pytest.approx(0.7), "box": {"xmin": 120, "ymin": 0, "xmax": 200, "ymax": 90}},
    ]
    json.dumps(found)
    assert HEAD.answer_fields(SHAPES) == [{"label": str, "score": float, "box": dict.fromkeys(found[0]["box"], int)}]
    counts = [
        len(HEAD.answers(SHAPES, logits, words, AnswerOptions(**options))[0])
        for options in ({"thresholds": 0.15}, {"thresholds": {"red": 0.95}}, {"top_k": 1}, {"top_k": "all"})
    ]
    assert counts == [3, 1, 1, 4]
    with pytest.raises(ValueError, match="threshold is given for 'green'"):
        HEAD.answers(SHAPES, logits, words, AnswerOptions(thresholds={"green": 0.1}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": None}, "needs at least 1 label"),
        ({"problem_type": "multi_label_classification"}, "takes no problem_type"),
        ({"pooling": "mean"}, "takes no pooling"),
        ({"class_weights": [1.0, 2.0]}, "takes no class_weights"),
        ({"calibration_temperature": 2.0}, "calibration_temperature is for probabilities"),
        ({"options": {"box_format": "xyxy"}}, "option box_format must be one of 'coco'"),
        ({"options": {"nms_threshold": 2}}, "option nms_threshold must be a number in \\[0, 1\\]"),
        ({"options": {"max_boxes": 0}}, "option max_boxes must be a whole number"),
        ({"options": {"strides": [3]}}, "option strides must be a list of some of"),
        ({"options": {"anchors": 9}}, "unknown option 'anchors'"),
    ],
)
def test_fields_that_make_no_sense_for_boxes_are_refused(fields, message):
    task = TaskConfig("shapes", "object-detection", **{"labels": ["red", "blue"], **fields})
    with pytest.raises(ValueError, match=message):
        MultiTaskModel.from_encoder(tiny_image_encoder(), [task])


def test_one_label_is_enough():
    task = TaskConfig("shapes", "object-detection", labels=["cell"], options={"channels": 8, "strides": [1]})
    model = MultiTaskModel.from_encoder(tiny_image_encoder(), [task])
    assert model(pixel_values=pictures(1)).logits["shapes"].shape == (1, 4, 7)


@pytest.mark.parametrize("channels", [2, 3, 8, 16, 128])
def test_one_place_alone_keeps_what_it_found(channels):
    norm = _norm(channels)
    assert not torch.equal(norm(torch.arange(float(channels)).view(1, -1, 1, 1)), norm(torch.zeros(1, channels, 1, 1)))
