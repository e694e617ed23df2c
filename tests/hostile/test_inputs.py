"""Inputs and outputs of ``hf-mtl predict``: files of wrong bytes, and places where nothing can be written."""

import json
import os
import stat

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hostile.judge import RIGHT
from tests.unit.recipe.recipe_files import write_recipe

GOOD = '{"text": "a film"}\n'
#: Name of the file -> (its bytes, what the line says).
INPUTS = {
    "JSON: nothing": ("in.jsonl", b"", RIGHT),
    "JSON: spaces": ("in.jsonl", b" \n\t\n", RIGHT),
    "JSON: a byte": ("in.jsonl", b"\xff", "in.jsonl"),
    "JSON: NULs": ("in.jsonl", bytes(99), "in.jsonl"),
    "JSON: latin-1": ("in.jsonl", GOOD.replace("film", "caf\u00e9").encode("latin-1"), "in.jsonl.*--encoding"),
    "JSON: utf-16": ("in.jsonl", GOOD.encode("utf-16"), "in.jsonl.*--encoding"),
    "JSON: a byte-order mark": ("in.jsonl", GOOD.encode("utf-8-sig"), RIGHT),
    "JSON: no line break at the end": ("in.jsonl", GOOD.strip().encode(), RIGHT),
    "JSON: line breaks of Windows": ("in.jsonl", GOOD.replace("\n", "\r\n").encode() * 2, RIGHT),
    "JSON: cut off": ("in.jsonl", (GOOD + GOOD[:8]).encode(), "in.jsonl, line 2"),
    "JSON: nested deeply": ("in.jsonl", b"[" * 100_000, "in.jsonl, line 1"),
    "JSON: a list": ("in.jsonl", b'["a"]\n', "in.jsonl, line 1"),
    "JSON: a text": ("in.jsonl", b'"a"\n', "in.jsonl, line 1"),
    "JSON: a number": ("in.jsonl", b"3\n", "in.jsonl, line 1"),
    "JSON: null": ("in.jsonl", b"null\n", "in.jsonl, line 1"),
    "JSON: no text": ("in.jsonl", b'{"txt": "a"}\n', "in.jsonl, line 1.*'txt'"),
    "JSON: text is null": ("in.jsonl", b'{"text": null}\n', "in.jsonl, line 1"),
    "JSON: text is a number": ("in.jsonl", b'{"text": 3}\n', "in.jsonl, line 1"),
    "JSON: text is a list": ("in.jsonl", b'{"text": ["a"]}\n', "in.jsonl, line 1"),
    "JSON: text is NaN": ("in.jsonl", b'{"text": NaN}\n', "in.jsonl, line 1"),
    "JSON: text is empty": ("in.jsonl", b'{"text": ""}\n', RIGHT),
    "JSON: text is a NUL": ("in.jsonl", b'{"text": "\\u0000"}\n', RIGHT),
    "JSON: text is an escape": ("in.jsonl", b'{"text": "\\u001b[2J"}\n', RIGHT),
    "JSON: half a surrogate": ("in.jsonl", b'{"text": "\\ud800"}\n', "in.jsonl, line 1"),
    "JSON: an emoji": ("in.jsonl", b'{"text": "\\ud83d\\ude00"}\n', RIGHT),
    "JSON: NaN in another field": ("in.jsonl", b'{"text": "a", "n": NaN}\n', RIGHT),
    "JSON: a number of 5,000 digits": ("in.jsonl", b'{"text": "a", "n": ' + b"1" * 5000 + b"}\n", "in.jsonl, line 1"),
    "JSON: a key twice": ("in.jsonl", b'{"text": "a", "text": "b"}\n', RIGHT),
    "JSON: tokens are a text": ("in.jsonl", b'{"tokens": "a b"}\n', "in.jsonl, line 1"),
    "JSON: tokens hold null": ("in.jsonl", b'{"tokens": ["a", null]}\n', "in.jsonl, line 1"),
    "JSON: tokens hold numbers": ("in.jsonl", b'{"tokens": [1]}\n', "in.jsonl, line 1"),
    "JSON: tokens are none": ("in.jsonl", b'{"tokens": []}\n', RIGHT),
    "JSON: tokens are empty texts": ("in.jsonl", b'{"tokens": ["", ""]}\n', RIGHT),
    "JSON: text of a megabyte": ("in.jsonl", json.dumps({"text": "a " * 500_000}).encode(), RIGHT),
    "JSON: a field of a task's name": ("in.jsonl", b'{"text": "a", "intent": "x"}\n', RIGHT),
    "CSV: nothing": ("in.csv", b"", "in.csv"),
    "CSV: a header alone": ("in.csv", b"text\n", RIGHT),
    "CSV: NULs": ("in.csv", b"text\na\0b\n", RIGHT),
    "CSV: ragged, too long": ("in.csv", b"text,b\na,b,c\n", "in.csv"),
    "CSV: ragged, too short": ("in.csv", b"text,b\na\n", "in.csv"),
    "CSV: a column twice": ("in.csv", b"text,text\na,b\n", "in.csv"),
    "CSV: a column without a name": ("in.csv", b"text,\na,b\n", RIGHT),
    "CSV: no text": ("in.csv", b"txt\na\n", "in.csv.*'txt'"),
    "CSV: an open quote": ("in.csv", b'text\n"a\n', "in.csv"),
    "CSV: latin-1": ("in.csv", "text\ncaf\u00e9\n".encode("latin-1"), "in.csv.*--encoding"),
    "CSV: utf-16": ("in.csv", "text\na\n".encode("utf-16"), "in.csv.*--encoding"),
    "CSV: a cell of a megabyte": ("in.csv", b"text\n" + b"a " * 500_000, RIGHT),
    "CSV: really Parquet": ("in.csv", b"PAR1" + bytes(range(256)), "in.csv"),
    "Parquet: nothing": ("in.parquet", b"", "in.parquet"),
    "Parquet: really CSV": ("in.parquet", b"text\na\n", "in.parquet"),
    "Parquet: a beginning": ("in.parquet", b"PAR1" + bytes(100), "in.parquet"),
    "text: nothing": ("in.txt", b"", RIGHT),
    "text: a byte": ("in.txt", b"\xff\n", "in.txt"),
    "text: NULs": ("in.txt", bytes(10), RIGHT),
}


@pytest.mark.parametrize("case", INPUTS)
def test_a_wrong_file_is_named(folder, judge, case):
    name, data, says = INPUTS[case]
    (folder / name).write_bytes(data)
    judge.command(["predict", "model", name, "-o", "out.jsonl"], says, written=["out.jsonl"])


TABLES = {
    "no columns": ({}, RIGHT),
    "no text": ({"txt": ["a"]}, "in.parquet.*'txt'"),
    "text is null": ({"text": pa.array([None], pa.string())}, "in.parquet"),
    "text is a number": ({"text": [3]}, "in.parquet"),
    "text is bytes": ({"text": [b"\xff"]}, "in.parquet"),
    "text is a list": ({"text": [["a"]]}, "in.parquet"),
    "tokens are numbers": ({"tokens": [[1]]}, "in.parquet"),
    "no rows": ({"text": pa.array([], pa.string())}, RIGHT),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_wrong_table_is_named(folder, judge, case):
    columns, says = TABLES[case]
    pq.write_table(pa.table(columns), folder / "in.parquet")
    judge.command(["predict", "model", "in.parquet", "-o", "out.jsonl"], says, written=["out.jsonl"])


def _write(path, text="old"):
    path.write_text(text)
    return path


#: What lies at the output -> (how it is made, further arguments, what the line says).
OUTPUTS = {
    "a file": (_write, [], "already exists.*--overwrite"),
    "a folder": (lambda path: path.mkdir(), [], "is a folder"),
    "a folder, to be replaced": (lambda path: path.mkdir(), ["--overwrite"], "is a folder"),
    "a link to a file": (lambda path: path.symlink_to(_write(path.parent / "target")), [], "already exists"),
    "a link to a folder": (lambda path: path.symlink_to("model"), [], "is a folder"),
    "a link to itself": (lambda path: path.symlink_to(path.name), [], "out"),
    "a link into nothing": (lambda path: path.symlink_to("no/where"), [], "does not exist"),
    "nothing to resume": (_write, ["--resume"], "out"),
}
ENDINGS = (".jsonl", ".csv", ".parquet")
PLACES = {f"{case}{ending}": (case, ending) for case in OUTPUTS for ending in ENDINGS}


@pytest.mark.parametrize("case", PLACES)
def test_an_output_that_cannot_be_written_is_left_as_it_is(folder, judge, case):
    what, ending = PLACES[case]
    make, args, says = OUTPUTS[what]
    (folder / "in.jsonl").write_text(GOOD)
    make(folder / f"out{ending}")
    judge.command(["predict", "model", "in.jsonl", "-o", f"out{ending}", *args], says)


@pytest.mark.parametrize("output", ["no/out.jsonl", "in.jsonl/out.jsonl", "x" * 300, "model"])
@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_place_that_is_none_is_named(folder, judge, values, command, output):
    (folder / "in.jsonl").write_text(GOOD)
    write_recipe(folder, values)
    judge.command([command, "model", {"predict": "in.jsonl"}.get(command, "recipe.yaml"), "-o", output], "")


@pytest.mark.parametrize("target", ["/dev/null", "link"])
def test_a_device_is_written_to_and_stays(folder, judge, target):
    (folder / "in.jsonl").write_text(GOOD)
    (folder / "link").symlink_to("/dev/null")
    judge.command(["predict", "model", "in.jsonl", "-o", target, "--overwrite"], RIGHT)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


#: A file in the way, or the model itself, of commands that write folders.
FOLDERS = {
    "export": ["export", "model", "out", "--to", "transformers", "--task", "intent"],
    "heads": ["heads", "model", "drop", "intent", "-o", "out"],
    "merge": ["merge", "model", "model", "-o", "out", "--average"],
    "interpolate": ["interpolate", "model", "model", "-o", "out", "--factor", "0.5"],
}


IN_THE_WAY = {"a file": _write, "a link to itself": lambda path: path.symlink_to(path.name)}


@pytest.mark.parametrize("case", IN_THE_WAY)
@pytest.mark.parametrize("command", FOLDERS)
def test_a_folder_that_cannot_be_written_is_named(folder, judge, command, case):
    IN_THE_WAY[case](folder / "out")
    judge.command(FOLDERS[command], "out")


#: Arguments -> what the line says.
ARGUMENTS = {
    "unknown task": (["--tasks", "nobody"], "nobody.*Tasks"),
    "no task": (["--tasks", ","], "--tasks names none"),
    "unknown encoding": (["--encoding", "nobody"], "nobody"),
    "unknown column": (["--text-column", "nobody"], "nobody"),
    "unknown strategy": (["--aggregation-strategy", "nobody"], "nobody"),
    "a huge stride": (["--stride", "100000"], "stride"),
    "a negative stride": (["--stride", "-1"], "stride"),
    "no tokens": (["--batch-tokens", "0"], "batch-tokens"),
    "batch of text": (["--batch-size", "many"], "batch-size"),
    "wrong format": (["--input-format", "parquet"], "in.jsonl"),
    "unknown format": (["--input-format", "xml"], "xml"),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_a_wrong_argument_is_named(folder, judge, case):
    args, says = ARGUMENTS[case]
    (folder / "in.jsonl").write_text(GOOD)
    judge.command(["predict", "model", "in.jsonl", "-o", "out.jsonl", *args], says)
