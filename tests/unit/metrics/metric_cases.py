"""Random data for each metric, and the laws that all metrics obey."""

import math
import pickle
from collections.abc import Sequence

import numpy as np

from hf_mtl.metrics import StreamingMetric

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "E-LOC", "S-PER")


def random_rows(kind: str, rows: int, seed: int) -> tuple[list[object], list[object]]:
    """Return predictions and references of one input kind, the predictions half right."""
    generator = np.random.default_rng(seed)
    if kind == "classes":
        true = generator.integers(0, 4, rows)
        predicted = np.where(generator.random(rows) < 0.5, true, generator.integers(0, 4, rows))
        return predicted.tolist(), true.tolist()
    if kind == "multilabel":
        flags = generator.integers(0, 2, (rows, 3))
        return np.where(generator.random((rows, 3)) < 0.5, flags, 1 - flags).tolist(), flags.tolist()
    if kind == "values":
        values = generator.normal(3.0, 2.0, rows).round(1)
        return (values + generator.normal(0.0, 1.0, rows)).round(1).tolist(), values.tolist()
    if kind == "probabilities":
        true_classes = generator.integers(0, 4, rows)
        logits = generator.normal(size=(rows, 4)) + 2 * np.eye(4)[true_classes]
        powers = np.exp(logits)
        return (powers / powers.sum(1, keepdims=True)).tolist(), np.eye(4)[true_classes].tolist()
    if kind == "boxes":
        sides: list[list[object]] = [[], []]
        for _ in range(rows):
            for side in sides:
                count = int(generator.integers(1, 4))
                corners = generator.integers(0, 3, (count, 2)).astype(float)
                boxes = np.concatenate([corners, corners + generator.integers(4, 8, (count, 2))], 1).tolist()
                labels, scores = generator.integers(0, 2, count).tolist(), generator.uniform(0, 1, count).tolist()
                side.append({"boxes": boxes, "labels": labels, "scores": scores})
        return sides[0], sides[1]
    if kind == "answers":
        texts = ["", "the Nile", "a film.", "old film", "film, old film", "Rome"]
        answers = [[texts[i] for i in generator.integers(1, 6, count)] for count in generator.integers(0, 3, rows)]
        return [texts[i] for i in generator.integers(0, 6, rows)], answers
    lengths = generator.integers(1, 8, rows)
    if kind == "tokens":
        true_ids = [generator.integers(0, 3, length).tolist() for length in lengths]
        return [generator.integers(0, 3, len(ids)).tolist() for ids in true_ids], true_ids
    true_tags = [generator.choice(TAGS, length).tolist() for length in lengths]
    predicted_tags = [
        tags if generator.random() < 0.3 else generator.choice(TAGS, len(tags)).tolist() for tags in true_tags
    ]
    return predicted_tags, true_tags


def add_cut(metric: StreamingMetric, predictions: Sequence[object], references: Sequence[object], cut: int) -> None:
    """Add all rows in batches of ``cut``."""
    for start in range(0, len(references), cut):
        batch = slice(start, start + cut)
        metric.add_batch(predictions=predictions[batch], references=references[batch])


def state_bytes(metric: StreamingMetric) -> int:
    """Return the size of the pickled metric in bytes."""
    return len(pickle.dumps(metric))


def assert_same_scores(found: dict[str, float], expected: dict[str, float]) -> None:
    """Check names and values, and that the values are plain finite floats."""
    assert list(found) == list(expected)
    for name, value in found.items():
        assert type(value) is float, name
        assert math.isfinite(value), name
        assert math.isclose(value, expected[name], rel_tol=1e-9, abs_tol=1e-9), (name, value, expected[name])
