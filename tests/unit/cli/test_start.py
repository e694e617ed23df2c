"""The command line answers what needs no model without importing torch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hf_mtl

#: Arguments, and words of what is then printed.
QUICK = {
    "help": (["--help"], "Commands:"),
    "a command's help": (["train", "--help"], "Usage: hf-mtl train"),
    "version": (["--version"], "hf-mtl "),
    "a mistake on the command line": (["trian"], "Did you mean 'train'"),
}


def _run(code, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(Path(hf_mtl.__file__).parent.parent)}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment, check=False
    )


@pytest.mark.parametrize("name", QUICK)
def test_what_needs_no_model_imports_neither_torch_nor_transformers(name):
    arguments, words = QUICK[name]
    code = (
        "import atexit, sys\n"
        "sys.argv[0] = 'hf-mtl'\n"
        "atexit.register(lambda: print('imported', *{'torch', 'transformers', 'datasets'} & {*sys.modules}))\n"
        "from hf_mtl.cli import main\n"
        "main()\n"
    )
    done = _run(code, *arguments)
    assert words in done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "imported"


def test_the_names_of_the_package_are_there_on_the_command_line_too():
    code = (
        "import sys\n"
        "sys.argv[0] = '/usr/bin/hf-mtl'\n"
        "import hf_mtl\n"
        "assert 'torch' not in sys.modules\n"
        "assert [name for name in hf_mtl.__all__ if not hasattr(hf_mtl, name)] == []\n"
        "assert not hasattr(hf_mtl, 'nothing')\n"
        "from transformers import AutoConfig\n"
        "print(type(AutoConfig.for_model('multi-task')).__name__)\n"
    )
    assert _run(code).stdout == "MultiTaskConfig\n"
