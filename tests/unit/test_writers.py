"""Files appear whole or not at all: only a few modules open one for writing, and the rest go through them."""

import ast
import os

import pytest

from hf_mtl_light.outputs import write_text_whole
from tests.unit.test_structure import LIGHT, PACKAGE

#: Modules that open files for writing, and why they may.
WRITERS = {
    "hf_mtl_light/outputs.py": "is the way itself",
    "hf_mtl_light/folders.py": "writes in a folder that is renamed when it is whole",
    "hf_mtl/cli/_writing.py": "writes to devices and pipes, and beside an output",
    "hf_mtl/cli/_crash.py": "makes a file that must be new",
    "hf_mtl/trainer/_whole.py": "opens files to flush them, and writes nothing",
}


def in_place(tree):
    """Yield the lines on which a file is opened for writing by its name."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        values = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
        modes = [v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)]
        is_writing = any(set(mode) <= set("rwaxbt+") and set(mode) & set("wax+") for mode in modes)
        if name in ("write_text", "write_bytes") or (name in ("open", "fdopen") and is_writing):
            yield node.lineno


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("path.write_text('a')", 1),
        ("open(path, 'w')", 1),
        ("path.open(mode='ab')", 1),
        ("os.fdopen(3, 'r+b')", 1),
        ("open(path)", 0),
        ("path.open('rb')", 0),
    ],
)
def test_writing_in_place_is_seen(code, count):
    assert len(list(in_place(ast.parse(code)))) == count


def test_no_other_module_writes_a_file_in_place():
    found = {}
    for package in (PACKAGE, LIGHT):
        for file in package.rglob("*.py"):
            lines = list(in_place(ast.parse(file.read_text(encoding="utf-8"))))
            if lines:
                found[file.relative_to(package.parent).as_posix()] = lines
    assert {name: lines for name, lines in found.items() if name not in WRITERS} == {}
    assert set(WRITERS) == set(found), "a module that no longer writes needs no leave"


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_text_is_old_or_new_wherever_its_writing_ends(tmp_path, monkeypatch, name):
    file = tmp_path / "README.md"
    write_text_whole(file, "old é\n")

    def ends(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, name, ends)
    with pytest.raises(KeyboardInterrupt):
        write_text_whole(file, "new")
    assert file.read_bytes() == "old é\n".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
