"""Files as people have them, in every encoding and form: read as meant, or one line that names file and remedy."""

import io
import json
import logging

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_mtl.recipe import Recipe
from tests.hostile.judge import RIGHT
from tests.unit.recipe.recipe_files import write_recipe

TEXTS = [f"text {i}" for i in range(12)]
ROWS = [{"text": "a caf\u00e9", "y": "book"}, {"text": "b", "y": "play"}]
TWO = {"labels": ["book", "play"]}


def csv(cells=("book", "play"), header="text,y", separator=",", end="\n", encoding="utf-8", texts=TEXTS):
    lines = [header, *(f"{text}{separator}{cells[i % len(cells)]}" for i, text in enumerate(texts))]
    return (end.join(lines) + end).encode(encoding)


def lines(rows=ROWS, encoding="utf-8", end="\n"):
    texts = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows] * 6
    return (end.join(texts) + end).encode(encoding)


def array(rows=ROWS, encoding="utf-8", **kwargs):
    return json.dumps(rows * 6, **kwargs).encode(encoding)


def labelled(*labels):
    return lines([{"text": f"text {i}", "y": label} for i, label in enumerate(labels)])


def parquet(names=("text", "y"), rows=12, **columns):
    file = io.BytesIO()
    given = [columns.get(name, TEXTS if name == "text" else ["book", "play"] * 6) for name in names]
    pq.write_table(pa.table([pa.array(column) for column in given], names=list(names)).slice(0, rows), file)
    return file.getvalue()


def integers(*values, kind):
    return pa.array(values * 6, kind)


#: Format, bytes, further arguments of its reader, the task, and what the line says, or the labels that are read.
FILES = {
    "CSV: a byte-order mark": ("csv", b"\xef\xbb\xbf" + csv(), {}, {}, ("book", "play")),
    "CSV: utf-16": ("csv", csv(encoding="utf-16"), {}, {}, "'rows' is not text in utf-8.*encoding:"),
    "CSV: utf-16, said so": ("csv", csv(encoding="utf-16"), {"encoding": "utf-16"}, {}, ("book", "play")),
    "CSV: latin-1, said so": (
        *("csv", csv(["caf\u00e9", "play"], encoding="latin-1"), {"encoding": "latin-1"}, {}),
        ("caf\u00e9", "play"),
    ),
    "CSV: line breaks of Windows": ("csv", csv(end="\r\n"), {}, {}, ("book", "play")),
    "CSV: line breaks of old": ("csv", csv(end="\r"), {}, {}, ("book", "play")),
    "CSV: empty lines": ("csv", csv(end="\n\n"), {}, {}, ("book", "play")),
    "CSV: a line break in a cell": ("csv", csv(texts=['"a\nb"'] * 12), {}, {}, ("book", "play")),
    "CSV: a label twice": ("csv", csv(["book,x", "play,y"], "text,y,y"), {}, {}, "'rows' has 2 columns 'y'. Rename"),
    "CSV: a text twice": ("csv", csv(["book,x", "play,y"], "text,y,text"), {}, {}, "'rows' has 2 columns 'text'"),
    "CSV: another column twice": ("csv", csv(["book,x,z", "play,y,z"], "text,y,a,a"), {}, {}, ("book", "play")),
    "CSV: semicolons": (
        "csv",
        csv(header="text;y", separator=";"),
        {},
        {},
        "separated by ';'. Say so: load: {sep: ';'}",
    ),
    "CSV: semicolons, said so": ("csv", csv(header="text;y", separator=";"), {"sep": ";"}, {}, ("book", "play")),
    "CSV: tabs": ("csv", csv(header="text\ty", separator="\t"), {}, {}, r"separated by '\\t'"),
    "CSV: a bar": ("csv", csv(header="text|y", separator="|"), {}, {}, r"separated by '\|'"),
    "CSV: a space in the header": ("csv", csv(header="text, y"), {}, {}, "Did you mean ' y'"),
    "CSV: no header": ("csv", csv(header="text 0,book"), {}, {}, "no column 'text'. Did you mean 'text 0'"),
    "CSV: a header alone": ("csv", b"text,y\n", {}, {}, "there are no rows"),
    "CSV: an open quote": ("csv", csv(texts=['"b', *TEXTS[1:]]), {}, {}, "cannot load 'csv'.*EOF inside string"),
    "CSV: a number of 20 digits": ("csv", csv(["9" * 20, "1"]), {}, {}, "a whole number has more than 64 bits"),
    "CSV: truth values": ("csv", csv(["True", "False"]), {}, {}, ("False", "True")),
    "CSV: truth values, some missing": ("csv", csv(["True", "False", ""]), {}, {}, ("False", "True")),
    "CSV: 1.0 and 0.0": ("csv", csv(["1.0", "0.0"]), {}, {}, "may be classes or amounts"),
    "CSV: 1, 0 and nothing": ("csv", csv(["1", "0", ""]), {}, {}, "may be classes or amounts"),
    "CSV: a number and a letter": ("csv", csv(["1", "a"]), {}, {}, ("1", "a")),
    "CSV: zeros in front": ("csv", csv(["01", "02"]), {}, {"labels": ["01", "02"]}, "label 1 is not one of"),
    "CSV: infinity": ("csv", csv(["inf", "1.5", "2.5"]), {}, {}, r"line 2 of 'rows'.*not a finite number"),
    "CSV: texts that are numbers": ("csv", csv(texts=[str(i) for i in range(12)]), {}, {}, "must hold strings"),
    "CSV: a hard space": ("csv", csv(["book", "book\u00a0"]), {}, {}, "needs at least 2 labels, found 'book'"),
    "JSON: a byte-order mark": ("json", lines(encoding="utf-8-sig"), {}, {}, ("book", "play")),
    "JSON: an array with a mark": ("json", array(encoding="utf-8-sig"), {}, {}, ("book", "play")),
    "JSON: an array over many lines": ("json", array(indent=1), {}, {}, ("book", "play")),
    "JSON: utf-16, said so": ("json", lines(encoding="utf-16"), {"encoding": "utf-16"}, {}, ("book", "play")),
    "JSON: line breaks of Windows": ("json", lines(end="\r\n"), {}, {}, ("book", "play")),
    "JSON: empty lines": ("json", lines(end="\n\n"), {}, {}, ("book", "play")),
    "JSON: a key twice": ("json", lines(['{"text":"a","y":"b","y":"c"}']), {}, {}, "y.* was specified twice"),
    "JSON: a number and its text": ("json", labelled(1, "1"), {}, {}, "shows no type.*give type and labels"),
    "JSON: truth values": ("json", labelled(True, False), {}, {}, ("False", "True")),
    "JSON: truth values with names": ("json", labelled(True, False), {}, {"labels": ["no", "yes"]}, ("no", "yes")),
    "JSON: a number of 70 bits": ("json", labelled(2**70, 1), {}, {}, "may be classes or amounts"),
    "JSON: floats for classes": ("json", labelled(1.0, 0.0), {}, TWO, "label 1.0 is not one of.*Name them"),
    "JSON: quotes of Python": ("json", lines([repr(row) for row in ROWS]), {}, {}, "cannot load 'json'"),
    "JSON: a comma at the end": ("json", lines(['{"text":"a","y":"book",}']), {}, {}, "cannot load 'json'"),
    "JSON: rows under a key": ("json", json.dumps({"data": ROWS}).encode(), {}, {}, "no column 'text'.*'data'"),
    "JSON: rows under a key, said so": (
        *("json", json.dumps({"data": ROWS * 6}).encode(), {"field": "data"}, {}),
        ("book", "play"),
    ),
    "Parquet: no rows": ("parquet", parquet(rows=0), {}, {}, "'rows' has no rows. Leave it out"),
    "Parquet: a label twice": ("parquet", parquet(["text", "y", "y"]), {}, {}, "'rows' has 2 columns 'y'. Rename"),
    "Parquet: categories": (
        *("parquet", parquet(y=pa.array(["book", "play"] * 6).dictionary_encode()), {}, {}),
        ("book", "play"),
    ),
    "Parquet: dates": (
        "parquet",
        parquet(y=integers(0, 1, kind=pa.int32()).cast(pa.date32())),
        {},
        {},
        "shows no type",
    ),
    "Parquet: bytes": ("parquet", parquet(y=[b"a", b"b"] * 6), {}, {}, "shows no type"),
    "Parquet: texts as bytes": ("parquet", parquet(text=[b"a"] * 12), {}, {}, "must hold strings"),
    "Parquet: 64 bits without a sign": (
        "parquet",
        parquet(y=integers(2**64 - 1, 1, kind=pa.uint64())),
        {},
        {},
        "Name them",
    ),
    "Parquet: nulls": ("parquet", parquet(y=pa.nulls(12)), {}, {}, "no row of dataset 'rows' has a label"),
}


def write(folder, encoder, kind, data, load, task):
    (folder / "rows").write_bytes(data)
    source = {"load": {"path": kind, "data_files": "rows", **load}, "columns": {"text": "text", "y": "y"}}
    training = {"output_dir": "run", "max_steps": 1, "use_cpu": True, "precision": "float32"}
    recipe = {"encoder": str(encoder), "datasets": {"rows": source | {"validation_size": 0}}, "training": training}
    write_recipe(folder, recipe | ({"tasks": {"y": task}} if task else {}))


@pytest.mark.parametrize("case", FILES)
def test_a_file_is_read_as_meant_or_named(folder, judge, encoder_folder, case):
    *file, expected = FILES[case]
    write(folder, encoder_folder, *file)
    found = judge.python(lambda: Recipe.load("recipe.yaml").prepare(), expected if isinstance(expected, str) else RIGHT)
    if not isinstance(expected, str):
        rows = found.train["rows"]
        assert (found.tasks[0].labels, len(rows)) == (expected, 12)
        assert rows[0]["text"] in ("text 0", "a\nb", "a caf\u00e9")


def test_utf_8_that_is_read_by_another_encoding_is_said(folder, encoder_folder, caplog):
    for encoding, is_said in (("latin-1", True), ("utf-8-sig", False), (None, False)):
        caplog.clear()
        write(folder, encoder_folder, "csv", csv(["caf\u00e9", "play"]), {"encoding": encoding} if encoding else {}, {})
        with caplog.at_level(logging.WARNING, "hf_mtl"):
            Recipe.load("recipe.yaml").prepare()
        assert ("is valid UTF-8, which encoding: latin-1 reads" in caplog.text) == is_said
