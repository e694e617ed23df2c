"""A flag of ``hf-mtl predict`` has an effect or is refused, before anything is answered."""

import inspect

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from hf_mtl.cli import app
from hf_mtl.cli.predict import predict

#: Flags beside a text, a file or an output that they say nothing of, and what is said.
WITHOUT_EFFECT = {
    "text_column": ("a text", ["--text-column", "x"], "--text-column would be without effect: it is for files"),
    "pair_column": ("a text", ["--pair-column", "x"], "--pair-column would be without effect"),
    "image_column": ("a text", ["--image-column", "x"], "--image-column would be without effect"),
    "encoding": ("a text", ["--encoding", "cp1252"], "--encoding would be without effect"),
    "input_format": ("a text", ["--input-format", "csv"], "--input-format would be without effect"),
    "on_error": ("a text", ["--on-error", "skip"], "--on-error skip would be without effect"),
    "overwrite": ("a text", ["--overwrite"], "--overwrite would be without effect: answers go to stdout"),
    "resume": ("a text", ["--resume"], "--resume: only a file can be continued"),
    "engine": ("a text", ["--engine", "ray"], "--engine would be without effect"),
    "actors": ("a text", ["--actors", "2"], "--actors would be without effect: it is for --engine ray"),
    "coverage": ("a text", ["--coverage", "0.9"], "coverage"),
    "threshold": ("a text", ["--threshold", "0.3"], "thresholds"),
    "aggregation_strategy": ("a text", ["--aggregation-strategy", "first"], "no task that is asked reads it"),
}
#: These hold for any input and any task: which, where, and how many tokens or rows a pass takes.
ALWAYS = {"model", "input", "output", "tasks", "batch_tokens", "batch_size", "stride"}


def test_every_flag_is_in_the_tables():
    assert set(inspect.signature(predict).parameters) == ALWAYS | set(WITHOUT_EFFECT)


@pytest.mark.parametrize("flag", WITHOUT_EFFECT)
def test_flags_without_effect_are_refused(flag, model_folder):
    text, flags, message = WITHOUT_EFFECT[flag]
    result = CliRunner().invoke(app, ["predict", str(model_folder), text, *flags])
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_an_encoding_of_parquet_is_refused(model_folder, tmp_path):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "in.parquet")
    call = ["predict", str(model_folder), str(tmp_path / "in.parquet"), "-o", str(tmp_path / "out.jsonl")]
    result = CliRunner().invoke(app, [*call, "--encoding", "cp1252"])
    assert result.exit_code == 2
    assert "--encoding would be without effect" in result.stderr
    assert not (tmp_path / "out.jsonl").exists()
