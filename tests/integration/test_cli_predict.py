"""``hf-mtl predict``: formats in and out, rows that cannot be read, outputs that were not finished."""

import csv
import io
import json
import signal
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.cli import app
from hf_mtl.inference import LOOK_AHEAD, Answerer
from tests.encoders import tiny_encoder
from tests.warm import Script

TASKS = [
    TaskConfig("mood", "sentiment", labels=["bad", "good"]),
    TaskConfig("topic", "sequence-classification", labels=["a", "b"]),
    TaskConfig("tones", "sequence-classification", labels=["x", "y"], problem_type="multi_label_classification"),
    TaskConfig("names", "token-classification", labels=["O", "B-city", "I-city"]),
    TaskConfig("stars", "regression"),
]
TEXTS = ["a good film", "", 'paris, "rome"\nand more', "\u5317\u4eac caf\u00e9 \U0001f600", "anna , bob", "the song"]


@pytest.fixture(scope="module")
def model(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("model")
    MultiTaskModel.from_encoder(tiny_encoder(), TASKS).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def many(tmp_path):
    """A file with rows for four steps and a bit."""
    rows = [{"text": f"{TEXTS[i % len(TEXTS)]} {i}", "id": i} for i in range(4 * LOOK_AHEAD + 7)]
    (tmp_path / "many.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return tmp_path / "many.jsonl"


def call(*args, code=0, **kwargs):
    result = CliRunner().invoke(app, ["predict", *map(str, args)], **kwargs)
    assert result.exit_code == code, result.output
    return result


def read(path):
    """Return the rows of an output."""
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".txt":
        path.write_text("".join(row["text"] + "\n" for row in rows), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def answers_of(row, like):
    """Return a row's answers as JSON Lines has them, from a table's columns."""
    found = {}
    for name, answer in like.items():
        if name in row:
            value = row[name]
            found[name] = json.loads(value) if isinstance(value, str) else value
        else:
            cells = {field: row[f"{name}.{field}"] for field in answer}
            found[name] = {
                field: cell if isinstance(answer[field], str) else json.loads(cell) for field, cell in cells.items()
            }
    return found


@pytest.mark.parametrize("source", ["jsonl", "csv", "parquet", "txt"])
@pytest.mark.parametrize("target", ["jsonl", "csv", "parquet"])
def test_every_format_gives_every_format_the_same_answers(model, tmp_path, source, target):
    texts = TEXTS if source != "txt" else [text.replace("\n", " ") for text in TEXTS]
    write(tmp_path / f"in.{source}", [{"text": text} for text in texts])
    write(tmp_path / "plain.jsonl", [{"text": text} for text in texts])
    call(model, tmp_path / "plain.jsonl", "-o", tmp_path / "plain-out.jsonl")
    call(model, tmp_path / f"in.{source}", "-o", tmp_path / f"out.{target}")
    expected, rows = read(tmp_path / "plain-out.jsonl"), read(tmp_path / f"out.{target}")
    assert len(rows) == len(expected) == len(texts)
    for row, wanted in zip(rows, expected, strict=True):
        assert row["text"] == wanted.pop("text")
        assert answers_of(row, wanted) == wanted
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_an_output_can_be_the_next_input(model, tmp_path):
    rows = [{"text": text, "id": i, "tokens": None} for i, text in enumerate(TEXTS)]
    rows.append({"text": None, "id": 9, "tokens": ["in", "rome"]})
    write(tmp_path / "in.jsonl", rows)
    for source, target in (("in.jsonl", "1.parquet"), ("1.parquet", "2.csv"), ("2.csv", "3.jsonl")):
        call(model, tmp_path / source, "-o", tmp_path / target, "--tasks", "topic")
    last = read(tmp_path / "3.jsonl")
    assert [json.loads(row["fields"])["id"] for row in last] == [0, 1, 2, 3, 4, 5, 9]
    first = read(tmp_path / "1.parquet")
    assert [row["topic"]["label"] for row in last] == [row["topic"]["label"] for row in first]
    assert last[-1]["tokens"] == '["in", "rome"]'


def test_columns_of_a_table_keep_their_types_and_labels_step_aside(model, tmp_path):
    table = pa.table({"text": TEXTS, "id": range(6), "topic": ["a", "b"] * 3, "when": pa.array([0] * 6, pa.date32())})
    pq.write_table(table, tmp_path / "in.parquet")
    call(model, tmp_path / "in.parquet", "-o", tmp_path / "out.parquet", "--tasks", "topic,names")
    schema = pq.read_schema(tmp_path / "out.parquet")
    assert schema.names == ["text", "id", "input_topic", "when", "topic", "names"]
    assert schema.field("id").type == pa.int64()
    assert schema.field("when").type == pa.date32()
    assert schema.field("topic").type == pa.struct([("label", pa.string()), ("score", pa.float64())])
    call(model, tmp_path / "in.parquet", "-o", tmp_path / "out.jsonl", "--tasks", "topic")
    assert read(tmp_path / "out.jsonl")[0]["when"] == "1970-01-01"


def test_the_schema_of_an_output_does_not_depend_on_its_rows(model, tmp_path):
    schemas = []
    for number, texts in enumerate(([], [""], TEXTS)):
        write(tmp_path / f"{number}.jsonl", [{"text": text} for text in texts])
        call(model, tmp_path / f"{number}.jsonl", "-o", tmp_path / f"{number}.parquet")
        schemas.append(pq.read_schema(tmp_path / f"{number}.parquet"))
    assert schemas[0] == schemas[1] == schemas[2]


def test_a_named_column_is_read(model, tmp_path):
    write(tmp_path / "in.csv", [{"first": "good", "second": "bad", "text": "never"}])
    call(model, tmp_path / "in.csv", "-o", tmp_path / "pair.jsonl", "--text-column", "first", "--pair-column", "second")
    write(tmp_path / "in.jsonl", [{"text": "good", "text_pair": "bad"}])
    call(model, tmp_path / "in.jsonl", "-o", tmp_path / "same.jsonl")
    (pair,), (same,) = read(tmp_path / "pair.jsonl"), read(tmp_path / "same.jsonl")
    assert pair["mood"] == same["mood"]
    assert pair["text"] == "never"
    result = call(model, tmp_path / "in.csv", "-o", tmp_path / "x.jsonl", "--text-column", "third", code=2)
    assert "in.csv, row 1: no 'third'. Fields: 'first', 'second', 'text'." in result.stderr


def test_long_texts_are_read_in_windows_on_request(model, tmp_path):
    write(tmp_path / "in.jsonl", [{"text": "rome " * 300}])
    call(model, tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", "--stride", 8, "--aggregation-strategy", "none")
    (row,) = read(tmp_path / "out.jsonl")
    assert all(entity["word"] == "rome"[: entity["end"] - entity["start"]] for entity in row["names"])
    result = call(model, tmp_path / "in.jsonl", "-o", tmp_path / "x.jsonl", "--stride", 60, code=2)
    assert "stride must lie between" in result.stderr


BAD = {
    "jsonl": (b'{"text": "a"}\n{"text": \n{"text": "\xff"}\n{"text": "\\ud800"}\n{"text": 3}\n{"text": "b"}\n', 4),
    "csv": (b'text,id\na,1\nb\n"\xff",3\nc,4,5\nb,6\n', 3),
    "txt": (b"a\n\xff\nb\n", 1),
}


@pytest.mark.parametrize("kind", BAD)
def test_rows_that_cannot_be_read_are_named_and_left_out_on_request(model, tmp_path, kind):
    data, bad = BAD[kind]
    (tmp_path / f"in.{kind}").write_bytes(data)
    place = "row" if kind == "csv" else "line"
    result = call(model, tmp_path / f"in.{kind}", "-o", tmp_path / "out.jsonl", code=2)
    assert f"in.{kind}, {place} 2: " in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [f"in.{kind}"]
    result = call(model, tmp_path / f"in.{kind}", "-o", tmp_path / "out.jsonl", "--on-error", "skip")
    assert [row["text"] for row in read(tmp_path / "out.jsonl")] == ["a", "b"]
    for number in range(2, 2 + bad):
        assert f"left out: {tmp_path / f'in.{kind}'}, {place} {number}: " in result.stderr
    assert f"{bad} of {bad + 2} rows were left out." in result.stderr


def test_questions_that_leave_no_room_are_named_and_left_out_on_request(tmp_path, tokenizer):
    folder = tmp_path / "model"
    MultiTaskModel.from_encoder(tiny_encoder(), [TaskConfig("reply", "question-answering")]).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    long = "rome " * 300
    rows = [("a", "paris"), (long, "rome"), ("b", "rome and paris"), (long, "anna"), ("c", "rome")]
    write(tmp_path / "in.jsonl", [{"text": text, "text_pair": pair} for text, pair in rows])
    result = call(folder, tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", code=2)
    assert f"Dataset {str(tmp_path / 'in.jsonl')!r}, row 2: the question has so many tokens" in result.stderr
    assert not (tmp_path / "out.jsonl").exists()
    result = call(folder, tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", "--on-error", "skip")
    assert [row["text"] for row in read(tmp_path / "out.jsonl")] == ["a", "b", "c"]
    assert [line.split(": ")[1] for line in result.stderr.splitlines() if line.startswith("left out")] == [
        f"Dataset {str(tmp_path / 'in.jsonl')!r}, row {number}" for number in (2, 4)
    ]
    assert "2 of 5 rows were left out." in result.stderr


def test_files_that_are_not_what_their_name_says_are_one_line(model, tmp_path):
    (tmp_path / "in.parquet").write_bytes(b"text")
    assert "in.parquet: not a Parquet file" in call(model, tmp_path / "in.parquet", "-o", "-", code=2).stderr
    (tmp_path / "in.csv").write_bytes(b"")
    assert "in.csv: no header." in call(model, tmp_path / "in.csv", "-o", "-", code=2).stderr
    (tmp_path / "in.csv").write_bytes(b"text,text\n")
    assert "names the column 'text' twice" in call(model, tmp_path / "in.csv", "-o", "-", code=2).stderr


def test_pipes_stream(model):
    result = call(model, "-", "-o", "-", "--tasks", "topic", input='{"text": "caf\u00e9"}\n{"text": "b"}\n')
    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == ["caf\u00e9", "b"]
    assert "--resume: only a file can be continued." in call(model, "-", "-o", "-", "--resume", code=2, input="").stderr


class _CutError(Exception):
    """Stands for a crash."""


@pytest.mark.parametrize("target", ["jsonl", "csv", "parquet"])
def test_a_resumed_output_is_that_of_an_unbroken_run(model, many, tmp_path, monkeypatch, target):
    output, partial = tmp_path / f"out.{target}", tmp_path / f".out.{target}.partial"
    call(model, many, "-o", tmp_path / f"whole.{target}")
    answer, calls = Answerer.answer, []

    def cut(self, rows):
        calls.append(len(rows))
        if len(calls) == 3:
            raise _CutError
        return answer(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Answerer, "answer", cut)
        result = CliRunner().invoke(app, ["predict", str(model), str(many), "-o", str(output)])
        assert "bug of hf-mtl: _CutError" in result.stderr
    assert f"{2 * LOOK_AHEAD:,} rows are done" in result.stderr
    assert not output.exists()
    with partial.open("ab") as stream:
        stream.write(b"half a li" * 500_000)  # what a kill leaves of a step: more than is still to come
    with (tmp_path / f".out.{target}.journal").open("ab") as stream:
        stream.write(b'{"rows": 99')
    del calls[:]
    with monkeypatch.context() as patch:
        patch.setattr(Answerer, "answer", lambda self, rows: calls.append(len(rows)) or answer(self, rows))
        call(model, many, "-o", output, "--resume")
    assert calls == [LOOK_AHEAD, LOOK_AHEAD, 7]
    assert output.read_bytes() == (tmp_path / f"whole.{target}").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"many.jsonl", f"out.{target}", f"whole.{target}"}


def test_a_killed_run_resumes_to_the_same_bytes(model, many, tmp_path):
    call(model, many, "-o", tmp_path / "whole.parquet", "--batch-size", "8")
    arguments = ["predict", str(model), str(many), "-o", str(tmp_path / "out.parquet"), "--batch-size", "8"]
    script = tmp_path / "script.py"
    script.write_text("from hf_mtl.cli import main\nmain()\n")
    started = Script(script, arguments, tmp_path / "printed").start()
    journal = tmp_path / ".out.parquet.journal"
    while started.exitcode is None and not (journal.exists() and journal.read_bytes().count(b"\n") >= 3):
        time.sleep(0.005)
    started.kill()
    started.join()
    assert started.exitcode == -signal.SIGKILL, "the run ended before it could be killed"
    assert not (tmp_path / "out.parquet").exists()
    call(*arguments[1:], "--resume")
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


@pytest.fixture
def unfinished(model, many, tmp_path, monkeypatch):
    """An output that was cut after its first step."""
    answer, calls = Answerer.answer, []

    def cut(self, rows):
        calls.append(rows)
        if len(calls) == 2:
            raise _CutError
        return answer(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Answerer, "answer", cut)
        CliRunner().invoke(app, ["predict", str(model), str(many), "-o", str(tmp_path / "out.jsonl")])
    return tmp_path / "out.jsonl"


def test_an_output_is_resumed_only_with_the_settings_and_rows_it_was_begun_with(model, many, unfinished):
    result = call(model, many, "-o", unfinished, "--resume", "--tasks", "mood", code=2)
    assert "was started otherwise: --tasks was ['mood', 'topic'," in result.stderr
    lines = many.read_text(encoding="utf-8").splitlines(keepends=True)
    many.write_text("".join([lines[1], lines[0], *lines[2:]]), encoding="utf-8")
    result = call(model, many, "-o", unfinished, "--resume", code=2)
    assert f"the first {LOOK_AHEAD} rows of {many} are not those that were answered" in result.stderr
    result = call(model, many, "-o", unfinished)
    assert f"{LOOK_AHEAD} rows of an unfinished run are thrown away" in result.stderr
    assert len(read(unfinished)) == len(lines)


def test_two_runs_cannot_write_one_output(model, many, unfinished, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    with (tmp_path / ".out.jsonl.partial").open("r+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert "another run is writing it" in call(model, many, "-o", unfinished, code=2).stderr


def test_nothing_to_resume_is_a_run_from_the_start(model, tmp_path):
    write(tmp_path / "in.jsonl", [{"text": text} for text in TEXTS])
    call(model, tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", "--resume")
    assert len(read(tmp_path / "out.jsonl")) == len(TEXTS)
    refused = call(model, tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", "--resume", code=2)
    assert "already exists. Replace it with --overwrite" in refused.stderr
