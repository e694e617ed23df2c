"""Stored predictions: what is written is found by dataset, row and task, or refused by name."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_mtl.data import Prediction, StoredPredictions, write_predictions

LABELS = {"mood": ["bad", "good"], "tags": ["O", "B-x"], "value": None}
PREDICTIONS = [
    Prediction("films", 1, "mood", [0.25, 0.75]),
    Prediction("films", 0, "mood", [1.0, 0.0]),
    Prediction("news", 0, "tags", [[0.5, 0.5], None]),
    Prediction("news", 0, "value", [2.5]),
]


def test_predictions_are_found_by_dataset_row_and_task(tmp_path):
    path = tmp_path / "predictions.parquet"
    assert write_predictions(path, iter(PREDICTIONS), LABELS, ["tags"]) == 4
    stored = StoredPredictions(path)
    assert stored.labels == LABELS
    assert stored.tasks == ["mood", "tags", "value"]
    assert stored.rows("films", "mood") == 2
    for dataset, row, task, probabilities, _ in PREDICTIONS:
        assert stored.get(dataset, row, task) == probabilities
    for missing in (("films", 2, "mood"), ("news", 0, "mood"), ("films", 0, "tags")):
        with pytest.raises(ValueError, match="Dataset {!r}, row {}, task {!r}: .* has no prediction".format(*missing)):
            stored.get(*missing)


def test_a_file_with_one_column_for_both_kinds_is_read(tmp_path):
    path = tmp_path / "oof.parquet"
    table = pa.table(
        {"dataset": ["news"], "row": [0], "task": ["tags"], "probabilities": [[[0.5, 0.5]]]},
    ).replace_schema_metadata({"labels": '{"tags": ["O", "B-x"]}'})
    pq.write_table(table, path)
    assert StoredPredictions(path).get("news", 0, "tags") == [[0.5, 0.5]]


def test_what_is_no_file_of_predictions_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no Parquet file that can be read"):
        StoredPredictions(tmp_path / "none.parquet")
    table = pa.table({"dataset": ["a"], "row": [0], "task": ["t"]})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="lacks the columns probabilities"):
        StoredPredictions(tmp_path / "a.parquet")
    pq.write_table(table.append_column("probabilities", [[[1.0]]]), tmp_path / "b.parquet")
    with pytest.raises(ValueError, match="lacks the labels of its tasks"):
        StoredPredictions(tmp_path / "b.parquet")
    write_predictions(tmp_path / "c.parquet", [*PREDICTIONS, PREDICTIONS[0]], LABELS, ["tags"])
    with pytest.raises(ValueError, match="two predictions for dataset 'films', row 1, task 'mood'"):
        StoredPredictions(tmp_path / "c.parquet")


def test_what_fails_half_way_leaves_no_file(tmp_path):
    def broken():
        yield PREDICTIONS[0]
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_predictions(tmp_path / "p.parquet", broken(), LABELS, ["tags"])
    assert not list(tmp_path.iterdir())
