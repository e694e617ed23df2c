"""Answers by workers of Spark are those of one process, row by row; skipped where Spark is missing: make test-spark."""

import inspect
import json
import os
import runpy
import sys

import pandas
import pytest
import torch
from transformers import AutoTokenizer

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.inference import predict
from tests.encoders import tiny_encoder
from tests.pages import ROOT

EXAMPLE = runpy.run_path(str(ROOT / "examples" / "spark.py"))
TEXTS = [f"{'good ' * (number % 7)}film in rome {number}" for number in range(200)]


@pytest.fixture(scope="module")
def model(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    tasks = [
        TaskConfig("mood", "sentiment", labels=["bad", "good"]),
        TaskConfig("names-of", "token-classification", labels=["O", "B-city", "I-city"]),
    ]
    MultiTaskModel.from_encoder(tiny_encoder(), tasks).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def expected(model):
    found = predict(MultiTaskModel.from_pretrained(model), AutoTokenizer.from_pretrained(model), TEXTS)
    return [rounded(answer) for answer in found]


def rounded(answer):
    """Return an answer without the last digits, which follow how rows are batched."""
    return json.loads(json.dumps(answer), parse_float=lambda number: round(float(number), 4))


def read(frame):
    """Return the answers of a table's rows, in the order of their ids."""
    rows = frame.sort_values("id").to_dict("records")
    assert [row["text"] for row in rows] == TEXTS
    return [rounded({task: json.loads(row[task]) for task in ("mood", "names-of")}) for row in rows]


def test_the_page_shows_the_function_of_the_example():
    shown = inspect.getsource(EXAMPLE["answers"]).split('"""')[2].strip("\n")
    assert shown in (ROOT / "docs" / "scaling.md").read_text()


def test_the_function_answers_batches_of_pandas(model, expected):
    frame = pandas.DataFrame({"id": range(200), "text": TEXTS})
    found = EXAMPLE["answers"](str(model))(iter([frame[:150], frame[150:]]))
    assert read(pandas.concat(found)) == expected


@pytest.fixture
def spark(monkeypatch):
    sql = pytest.importorskip("pyspark.sql", reason="needs Spark and Java: make test-spark")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    session = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    yield session
    session.stop()


def test_local_spark_answers_as_one_process(spark, model, expected, tmp_path):
    frame = pandas.DataFrame({"id": range(200), "text": TEXTS})
    spark.createDataFrame(frame).repartition(3).write.parquet(str(tmp_path / "in"))
    EXAMPLE["main"](str(model), str(tmp_path / "in"), str(tmp_path / "out"))
    assert read(pandas.read_parquet(tmp_path / "out")) == expected
    frame.loc[130, "text"] = None  # the second partition begins with row 100
    with pytest.raises(Exception, match="row 30: expected 'text'"):
        spark.createDataFrame(frame).mapInPandas(EXAMPLE["answers"](str(model)), "id long, text string").collect()
