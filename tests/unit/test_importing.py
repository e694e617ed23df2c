"""What an import of the packages may do."""

import ast
import subprocess
import sys
from pathlib import Path

import hf_mtl

PACKAGE = Path(hf_mtl.__file__).parent


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


def test_answers_without_torch_need_nothing_but_numpy_to_import():
    code = "import sys, hf_mtl_light; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=PACKAGE.parent)
    imported = set(ast.literal_eval(done.stdout))
    assert not imported & {"torch", "transformers", "hf_mtl", "tokenizers", "onnxruntime", "onnx"}
