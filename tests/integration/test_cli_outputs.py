"""What `hf-mtl predict` reads and writes besides plain files: pipes, devices, links, single texts, other encodings."""

import json
import os
import stat
import subprocess
import sys
import threading

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.cli import app
from hf_mtl.cli._progress_lines import RowProgress
from tests.encoders import tiny_encoder

TEXTS = ["good film", "bad, very bad", "caf\u00e9 in rome"]


@pytest.fixture(scope="module")
def model(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("model")
    tasks = [
        TaskConfig("mood", "sentiment", labels=["bad", "good"]),
        TaskConfig("places", "token-classification", labels=["O", "B-place"]),
    ]
    MultiTaskModel.from_encoder(tiny_encoder(), tasks).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS), encoding="utf-8")
    return path


def call(*args, code=0, **kwargs):
    result = CliRunner().invoke(app, ["predict", *map(str, args)], **kwargs)
    assert result.exit_code == code, result.output
    return result


def read(data, kind):
    """Return the texts of an output."""
    if kind == "parquet":
        import io

        return pq.read_table(io.BytesIO(data)).column("text").to_pylist()
    if kind == "csv":
        import csv

        return [row["text"] for row in csv.DictReader(data.decode().splitlines())]
    return [json.loads(line)["text"] for line in data.splitlines()]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("place", ["new", "file", "link", "dangling link", "pipe", "device"])
def test_an_output_is_replaced_only_where_it_is_a_file(model, rows, tmp_path, place, kind):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    output, target = tmp_path / f"out.{kind}", folder / "target"
    found = []
    if place == "file":
        output.write_text("old")
        output.chmod(0o640)
    elif "link" in place:
        output.symlink_to(target)
        if place == "link":
            target.write_text("old")
    elif place == "pipe":
        os.mkfifo(output)
        reader = threading.Thread(target=lambda: found.append(output.read_bytes()))
        reader.start()
    elif place == "device":
        output.symlink_to("/dev/null")
    call(model, rows, "-o", output, "--overwrite")
    if place == "pipe":
        reader.join(60)
        assert stat.S_ISFIFO(output.stat().st_mode)
        assert read(found[0], kind) == TEXTS
    elif place == "device":
        assert output.is_symlink()
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    else:
        assert output.is_symlink() == ("link" in place)
        assert read(output.read_bytes(), kind) == TEXTS
        assert place != "file" or stat.S_IMODE(output.stat().st_mode) == 0o640
    left = {path.name for path in (*tmp_path.iterdir(), *folder.iterdir())}
    assert left <= {"in.jsonl", "elsewhere", "target", output.name}


@pytest.mark.parametrize("kind", ["partial", "journal"])
@pytest.mark.parametrize("how", ["link", "hard link", "pipe"])
def test_files_beside_an_output_are_not_followed(model, rows, tmp_path, kind, how):
    victim, beside = tmp_path / "victim", tmp_path / f".out.jsonl.{kind}"
    victim.write_text("precious")
    if how == "link":
        beside.symlink_to(victim)
    elif how == "hard link":
        beside.hardlink_to(victim)
    else:
        os.mkfifo(beside)
    result = call(model, rows, "-o", tmp_path / "out.jsonl", code=2)
    assert "Remove it." in result.stderr
    assert victim.read_text() == "precious"


def test_an_output_that_exists_is_replaced_only_on_request(model, rows, tmp_path):
    (tmp_path / "out.jsonl").write_text("mine")
    result = call(model, rows, "-o", tmp_path / "out.jsonl", code=2)
    assert "already exists. Replace it with --overwrite" in result.stderr
    assert (tmp_path / "out.jsonl").read_text() == "mine"


def test_leftovers_of_killed_runs_are_cleared_and_those_of_living_ones_stay(tmp_path):
    from hf_mtl_light.outputs import written_whole

    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    old, living = tmp_path / f".a.{int(dead.stdout)}.tmp", tmp_path / f".a.{os.getppid()}.tmp"
    old.write_text("half")
    living.write_text("half")
    with written_whole(tmp_path / "a") as stream:
        stream.write(b"whole")
    assert not old.exists()
    assert living.exists()
    assert (tmp_path / "a").read_bytes() == b"whole"


@pytest.mark.parametrize("text", ["good film in rome", "Great", "U.S.A", "x" * 5000, "\u597d", "a/b and c.txt"])
def test_one_text_is_answered_in_words(model, text):
    lines = call(model, text).stdout.splitlines()
    assert lines[0].split() == ["task", "answer", "score"]
    assert any(line.startswith("mood") and ("good" in line or "bad" in line) for line in lines)
    assert any(line.startswith("places") for line in lines)


@pytest.mark.parametrize("name", ["missing.csv", "data/missing", "missing.jsonl", "missing.txt"])
def test_the_name_of_a_missing_file_is_no_text(model, name):
    assert f"{name}: no such file." in call(model, name, code=2).stderr


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("good film\nbad film\n", ["good film", "bad film"]),
        ('\n{"text": "good"}\n{"text": "bad"}\n', ["good", "bad"]),
        ("\ufeffgood\n", ["good"]),
        ("", []),
    ],
)
@pytest.mark.parametrize("path", ["-", "pipe"])
def test_a_pipe_holds_texts_or_json(model, tmp_path, given, expected, path):
    if path == "pipe":
        path = tmp_path / "pipe"
        os.mkfifo(path)
        writer = threading.Thread(target=path.write_text, args=(given,), kwargs={"encoding": "utf-8"})
        writer.start()
    result = call(model, path, input=given.encode())
    assert read(result.stdout.encode(), "jsonl") == expected


@pytest.mark.parametrize("target", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("source", ["csv", "tsv", "text", "json"])
def test_a_pipe_is_read_once_whatever_the_formats(model, tmp_path, source, target):
    data = {"csv": "id,text\n1,good\n", "tsv": "id\ttext\n1\tgood\n", "text": "good\n", "json": '{"text": "good"}\n'}
    output = tmp_path / f"out.{target}"
    call(model, "-", "--input-format", source, "-o", output, input=data[source])
    assert read(output.read_bytes(), target) == ["good"]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig", "latin-1", "cp1251"])
@pytest.mark.parametrize("ending", ["txt", "csv", "jsonl"])
def test_an_encoding_is_read_as_named_and_missed_in_words(model, tmp_path, encoding, ending):
    text = "\u0444\u0438\u043b\u044c\u043c" if encoding == "cp1251" else "caf\u00e9"
    body = {
        "txt": text + "\n",
        "csv": f"text\n{text}\n",
        "jsonl": json.dumps({"text": text}, ensure_ascii=False) + "\n",
    }
    path = tmp_path / f"in.{ending}"
    path.write_bytes(body[ending].encode(encoding))
    assert read(call(model, path, "--encoding", encoding).stdout.encode(), "jsonl") == [text]
    if encoding not in ("utf-8-sig", "utf-16"):
        assert "--encoding" in call(model, path, code=2).stderr
    assert "Python does not know 'klingon'" in call(model, path, "--encoding", "klingon", code=2).stderr


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", lambda: b"text," + b",".join(b"c%d" % i for i in range(100_000)) + b"\n", "100,001 columns"),
        ("a.csv", lambda: b"text\n" + b"a" * 10_000_000 + b"\n", "has 10,000,000 characters"),
        ("a.jsonl", lambda: b'{"text": ' + b"[" * 100_000 + b"\n", "nested too deeply"),
        ("a.txt", lambda: b"a" * (65 << 20), "longer than 64 MB"),
    ],
    ids=["columns", "cell", "depth", "line"],
)
def test_inputs_beyond_the_bounds_are_refused_in_words(model, tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data())
    assert message in call(model, tmp_path / name, code=2).stderr


def test_a_log_file_shows_progress_now_and_then(capsys):
    now = [0.0]
    with RowProgress(total=100_000, clock=lambda: now[0]) as progress:
        for _ in range(1_600):
            now[0] += 1.0
            progress.update(50)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("500 of 100,000 rows, 50 a second, about 33 minutes left")
    assert 6 <= len(lines) <= 12
