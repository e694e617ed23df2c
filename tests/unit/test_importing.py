"""What an import of the packages may do."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hf_mtl
import hf_mtl.balancers
import hf_mtl.data
import hf_mtl.recipe
import hf_mtl.training_methods

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


def test_answering_imports_nothing_that_only_data_and_training_need():
    code = "import sys, hf_mtl; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=PACKAGE.parent)
    imported = set(ast.literal_eval(done.stdout))
    assert {"torch", "hf_mtl.model", "hf_mtl.pipelines"} <= imported
    assert not imported & {"datasets", "pandas", "evaluate", "sklearn", "hf_mtl.trainer", "hf_mtl.metrics"}


def test_options_of_a_training_are_read_without_torch():
    code = (
        "import sys; sys.argv[0] = 'hf-mtl'\n"
        "from hf_mtl.augmentation import make_augmentations\n"
        "from hf_mtl.balancers import make_balancer\n"
        "from hf_mtl.samplers import make_sampler\n"
        "from hf_mtl.training_methods import METHODS, make_methods\n"
        "make_augmentations({'word-deletion': {'p': 0.1}}), make_balancer('random'), make_sampler('bandit')\n"
        "make_methods({name: {'tasks': ['a'], 'teachers': 'b'} if name == 'distillation' else {'tasks': ['a']}\n"
        "              for name in METHODS})\n"
        "print(sorted(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=PACKAGE.parent)
    assert not set(ast.literal_eval(done.stdout)) & {"torch", "transformers", "datasets"}


@pytest.mark.parametrize("package", [hf_mtl, hf_mtl.balancers, hf_mtl.data, hf_mtl.recipe, hf_mtl.training_methods])
def test_names_that_are_imported_later_are_those_of_the_package(package):
    assert set(package._LATER) <= set(package.__all__)
    assert [name for name in package.__all__ if not hasattr(package, name)] == []
    assert not hasattr(package, "nothing")


def test_names_that_are_imported_later_are_completed():
    assert set(hf_mtl.__all__) <= set(dir(hf_mtl))


def test_rooms_of_the_package_are_found_without_an_import_of_their_own():
    code = "import hf_mtl; print(hf_mtl.metrics.__name__, hf_mtl.trainer.__name__, hasattr(hf_mtl, 'none'))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.stdout.split() == ["hf_mtl.metrics", "hf_mtl.trainer", "False"]
