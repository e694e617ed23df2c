"""The walls of the house: which part may import which, and what an import may do."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hf_mtl

PACKAGE = Path(hf_mtl.__file__).parent

#: Parts of the package, highest first. A part imports only parts of lower rows.
ROWS = [
    {"cli"},
    {"recipe", "trainer", "pipelines", "training_args", "export", "surgery", "report"},
    {"inference"},
    {"modeling", "data", "evaluation", "step_loss", "optimization"},
    {"padding_free", "task_view", "stock", "sharing", "freezing", "loading"},
    {"hub"},
    {"model_card"},
    {"heads", "samplers", "balancers", "metrics", "unpadding"},
    {"encoders", "configuration", "outputs", "states", "dropout", "memory"},
    {"untrusted", "layers", "per_label"},
    {"_names", "compatibility"},
]
#: Parts that may import others of their own row.
FREE = {"recipe", "trainer"}


def parts():
    return sorted(
        p.stem
        for p in PACKAGE.iterdir()
        if (p.suffix == ".py" or (p / "__init__.py").exists()) and p.stem != "__init__"
    )


def imported_by(part):
    files = [PACKAGE / f"{part}.py"] if (PACKAGE / f"{part}.py").exists() else (PACKAGE / part).rglob("*.py")
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module] if node.module != "hf_mtl" else [f"hf_mtl.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                pieces = name.split(".")
                if pieces[0] == "hf_mtl" and len(pieces) > 1 and pieces[1] in parts() and pieces[1] != part:
                    yield file, pieces[1]


def row_of(part):
    return next(i for i, row in enumerate(ROWS) if part in row)


def test_every_part_has_a_place():
    assert set(parts()) == set().union(*ROWS)


@pytest.mark.parametrize("part", parts())
def test_imports_point_one_way(part):
    for file, other in imported_by(part):
        allowed = row_of(other) > row_of(part) or (part in FREE and row_of(other) == row_of(part))
        assert allowed, f"{file.relative_to(PACKAGE)} imports hf_mtl.{other}, which does not lie below {part}"


def test_import_opens_no_socket_and_changes_no_variable_or_logger():
    script = (
        "import os, socket, logging\n"
        "import transformers, datasets, evaluate, torch  # what they do at import is theirs\n"
        "def refuse(*args, **kwargs): raise AssertionError('a socket was opened')\n"
        "socket.socket.connect = socket.create_connection = refuse\n"
        "variables = dict(os.environ)\n"
        "def levels(): return {n: (l.level, len(l.handlers)) for n, l in logging.root.manager.loggerDict.items()\n"
        "                      if isinstance(l, logging.Logger) and not n.startswith('hf_mtl')}\n"
        "root, before = logging.root.level, levels()\n"
        "import hf_mtl, hf_mtl.metrics, hf_mtl.recipe, hf_mtl.cli\n"
        "after = levels()\n"
        "assert dict(os.environ) == variables, 'environment changed'\n"
        "assert logging.root.level == root and all(after[n] == before[n] for n in before), 'logger changed'\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_no_file_holds_more_than_one_screenful_of_ideas():
    long = {
        str(f.relative_to(PACKAGE)): n for f in PACKAGE.rglob("*.py") if (n := len(f.read_text().splitlines())) > 400
    }
    assert not long, f"split these: {long}"


def test_answers_of_graphs_need_nothing_but_numpy_to_import():
    code = "import sys, hf_mtl_light; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=PACKAGE.parent)
    imported = set(ast.literal_eval(done.stdout))
    assert not imported & {"torch", "transformers", "hf_mtl", "tokenizers", "onnxruntime", "onnx"}
