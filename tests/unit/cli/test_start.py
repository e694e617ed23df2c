"""The command line answers what needs no model without importing torch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hf_mtl

#: Recipes with a mistake.
RECIPES = {
    "key.yaml": "encoder: a\ndatasets: {one: {laod: {path: csv}, columns: {text: text, label: mood}}}",
    "type.yaml": "encoder: a\ndatasets: {one: {load: {path: csv}, columns: text}}",
    "syntax.yaml": "encoder: a\ndatasets: {one: [",
}
#: Arguments, and words of what is then printed.
QUICK = {
    "help": (["--help"], "Commands:"),
    "a command's help": (["train", "--help"], "Usage: hf-mtl train"),
    "version": (["--version"], "hf-mtl "),
    "a mistake on the command line": (["trian"], "Did you mean 'train'"),
    "a key of a recipe": (["train", "key.yaml"], "key.yaml: datasets.one: unknown key 'laod'. Did you mean 'load'?"),
    "a value of a recipe": (["cv", "type.yaml"], "type.yaml: datasets.one.columns: expected a mapping, found 'text'."),
    "a file that is no YAML": (["data", "syntax.yaml"], "syntax.yaml: line 2"),
    "an override": (["train", "key.yaml", "modle=b"], "key.yaml: unknown key 'modle'. Did you mean 'model'?"),
    "no file": (["evaluate", "runs/a", "none.yaml"], "none.yaml"),
}


def _run(code, *arguments, folder=None):
    environment = {**os.environ, "PYTHONPATH": str(Path(hf_mtl.__file__).parent.parent)}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        cwd=folder,
    )


@pytest.mark.parametrize("name", QUICK)
def test_what_needs_no_model_imports_neither_torch_nor_transformers(name, tmp_path):
    arguments, words = QUICK[name]
    for file, text in RECIPES.items():
        (tmp_path / file).write_text(text)
    code = (
        "import atexit, sys\n"
        "sys.argv[0] = 'hf-mtl'\n"
        "atexit.register(lambda: print('imported', *{'torch', 'transformers', 'datasets'} & {*sys.modules}))\n"
        "from hf_mtl.cli import main\n"
        "main()\n"
    )
    done = _run(code, *arguments, folder=tmp_path)
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
        "import hf_mtl.recipe\n"
        "assert 'torch' in sys.modules and 'hf_mtl.recipe._schema' not in sys.modules\n"
        "assert [name for name in hf_mtl.recipe.__all__ if not hasattr(hf_mtl.recipe, name)] == []\n"
        "assert not hasattr(hf_mtl.recipe, 'nothing')\n"
        "from transformers import AutoConfig\n"
        "print(type(AutoConfig.for_model('multi-task')).__name__)\n"
    )
    assert _run(code).stdout == "MultiTaskConfig\n"
