"""Files appear whole or not at all: only a few modules open one for writing, and the rest go through them."""

import ast
import os

import pytest

from hf_mtl_light.outputs import write_text_whole
from tests.unit.test_structure import LIGHT, PACKAGE

#: Modules that write by name, with which calls, and why they may.
WRITERS = {
    "hf_mtl_light/outputs.py": ({"open", "fdopen"}, "is the way itself"),
    "hf_mtl_light/folders.py": ({"write_text"}, "writes in a folder that is renamed when it is whole"),
    "hf_mtl/cli/_writing.py": ({"open"}, "writes to devices and pipes, and beside an output"),
    "hf_mtl/cli/_crash.py": ({"fdopen", "mkstemp"}, "makes a file that must be new"),
    "hf_mtl/cli/_model.py": ({"save_pretrained"}, "writes in a folder whose files are moved when whole"),
    "hf_mtl/export/_graph.py": ({"save"}, "writes in a folder that is renamed when it is whole"),
    "hf_mtl/export/_quantize.py": ({"save"}, "writes in a folder that is renamed when it is whole"),
    "hf_mtl/export/_saved_model/convert.py": ({"savez"}, "writes in a folder that is renamed when it is whole"),
    "hf_mtl/export/_tensorflow.py": ({"savez"}, "writes in a folder that is renamed when it is whole"),
    "hf_mtl/hub/_clean.py": ({"copyfile", "link"}, "makes a copy to upload, which nobody else reads"),
    "hf_mtl/hub/_model.py": ({"copyfile", "save_pretrained"}, "adds to a copy to upload, which nobody else reads"),
    "hf_mtl/model/_adapter_folder.py": (
        {"save_file", "save_pretrained"},
        "writes in a folder whose files are moved when they are whole",
    ),
    "hf_mtl/model/_saving.py": ({"save_pretrained"}, "writes in a folder whose files are moved when they are whole"),
    "hf_mtl/pipelines/_pipeline.py": ({"save_pretrained"}, "writes in a folder whose files are moved when whole"),
    "hf_mtl/report/_figures.py": ({"savefig"}, "writes to memory"),
    "hf_mtl/trainer/_averaging.py": ({"save_file"}, "writes in a checkpoint's folder, renamed when it is whole"),
    "hf_mtl/trainer/_pushes.py": ({"copyfile"}, "adds to a copy to upload, which nobody else reads"),
    "hf_mtl/trainer/_saving.py": (
        {"save_pretrained", "save_to_json"},
        "writes in a folder that is renamed, or whose files are moved, when it is whole",
    ),
    "hf_mtl/trainer/_whole.py": ({"open"}, "opens files to flush them, and writes nothing"),
}
#: Functions and methods that write where a name says.
WRITING = frozenset(
    (
        *("write_text", "write_bytes", "touch", "link", "symlink", "symlink_to", "hardlink_to", "mkstemp"),
        *("copyfile", "copy2", "copytree", "move", "make_archive", "unpack_archive", "extractall", "ZipFile"),
        *("save_file", "save_model", "save_pretrained", "save_vocabulary", "save_to_disk", "save_to_json"),
        *("save_metrics", "save_state", "savetxt", "savez", "savez_compressed", "tofile", "savefig", "to_netcdf"),
        *("to_parquet", "to_csv", "to_pickle", "to_excel", "to_feather", "to_hdf", "to_sql", "write_feather"),
        *("write_table", "write_csv", "ParquetWriter", "quantize_dynamic", "write_image", "imsave", "imwrite"),
    )
)
#: Of a library, by the name it is imported under, or of an object of one.
SAVING = frozenset({"torch", "np", "numpy", "onnx", "program", "image", "card", "joblib"})
#: The trainer's own, which write whole files.
OWN = frozenset({"trainer.save_model", "self.save_model", "trainer.save_metrics", "trainer.save_state"})


def whole_streams(tree):
    """Return the names of streams that ``with written_whole(...)`` gives, and of writers to them."""
    names = set()
    for node in ast.walk(tree):
        for item in getattr(node, "items", ()):
            call = getattr(item, "context_expr", None)
            if isinstance(call, ast.Call) and isinstance(item.optional_vars, ast.Name):
                given = {arg.id for arg in call.args if isinstance(arg, ast.Name)}
                if getattr(call.func, "id", "") == "written_whole" or given & names:
                    names.add(item.optional_vars.id)
    return names


def in_place(tree):
    """Yield the calls that write a file by its name: line and name."""
    streams = whole_streams(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        owner = ast.unparse(node.func).rpartition(".")[0]
        if streams & {owner, *(arg.id for arg in node.args if isinstance(arg, ast.Name))}:
            continue
        if name == "to_csv" and not node.args:  # it returns the text
            continue
        values = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
        modes = [v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)]
        is_writing = any(set(mode) <= set("rwaxbt+") and set(mode) & set("wax+") for mode in modes)
        is_saving = (name == "save" and owner in SAVING) or (name == "copy" and owner == "shutil")
        is_own = ast.unparse(node.func) in OWN or ast.unparse(node.func) == "super().save_model"
        if (name in WRITING and not is_own) or is_saving or (name in ("open", "fdopen") and is_writing):
            yield node.lineno, name


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("path.write_text('a')", 1),
        ("open(path, 'w')", 1),
        ("path.open(mode='ab')", 1),
        ("os.fdopen(3, 'r+b')", 1),
        ("torch.save(x, path)", 1),
        ("np.savez(path, x)", 1),
        ("save_file(tensors, path)", 1),
        ("shutil.copyfile(a, b)", 1),
        ("shutil.copy(a, b)", 1),
        ("model.save_pretrained(folder)", 1),
        ("super().save_pretrained(folder)", 1),
        ("data.to_parquet(path)", 1),
        ("with written_whole(path) as file:\n    torch.save(x, file)", 0),
        ("with written_whole(path) as f, ParquetWriter(f) as w:\n    w.write_table(x)", 0),
        ("with other(path) as file:\n    torch.save(x, file)", 1),
        ("write_text_whole(path, table.to_csv(index=False))", 0),
        ("open(path)", 0),
        ("path.open('rb')", 0),
        ("values.copy()", 0),
        ("trainer.save_model(folder)", 0),
    ],
)
def test_writing_in_place_is_seen(code, count):
    assert len(list(in_place(ast.parse(code)))) == count


def test_no_other_module_writes_a_file_in_place():
    found = {}
    for package in (PACKAGE, LIGHT):
        for file in package.rglob("*.py"):
            name = file.relative_to(package.parent).as_posix()
            for line, call in in_place(ast.parse(file.read_text(encoding="utf-8"))):
                found.setdefault((name, call), []).append(line)
    allowed = {(name, call) for name, (calls, _) in WRITERS.items() for call in calls}
    assert {key: lines for key, lines in found.items() if key not in allowed} == {}
    assert allowed - set(found) == set(), "a module that no longer writes needs no leave"


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
