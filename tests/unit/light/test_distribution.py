"""hf-mtl-light is a distribution by itself: small, without torch, with the answers of the model."""

import configparser
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.environments import run_in
from tests.pages import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def project():
    return tomllib.loads((ROOT / "light" / "pyproject.toml").read_text())["project"]


def options():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def test_both_distributions_have_one_version_and_the_larger_needs_the_smaller():
    version = options()["metadata"]["version"]
    assert project()["version"] == version
    assert f"hf-mtl-light=={version}" in options()["options"]["install_requires"].splitlines()


def test_no_file_belongs_to_both():
    assert "hf_mtl_light" not in options()["options.packages.find"]["include"]
    assert (ROOT / "light" / "hf_mtl_light").resolve() == ROOT / "hf_mtl_light"


def test_both_ask_for_the_same_versions():
    larger = options()["options"]["install_requires"].splitlines()
    onnx = options()["options.extras_require"]["onnx"].splitlines()
    assert "numpy>=1.24" in project()["dependencies"]
    assert "numpy>=1.24" in larger
    assert project()["optional-dependencies"]["onnx"][0] in onnx


_INSTALLED = """
import importlib.util, json, pathlib, sysconfig

folder = pathlib.Path(sysconfig.get_paths()["purelib"])
found = sorted(path.name for path in folder.iterdir())
print(json.dumps([sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()), found]))
"""


@pytest.mark.skipif("HF_MTL_TEST_LIGHT" not in os.environ, reason="needs pip's index: make test-light runs it")
def test_the_wheel_alone_answers_as_the_model_does(tmp_path, tokenizer):
    from hf_mtl import OnnxPredictor
    from hf_mtl.export import export_onnx
    from tests.unit.export.test_onnx import TEXTS, make

    def run(*command):
        subprocess.run([str(part) for part in command], check=True, cwd=tmp_path, capture_output=True)

    # A copy: setuptools leaves its build beside the sources, and takes old files from it.
    shutil.copytree(ROOT / "light", tmp_path / "light", ignore=shutil.ignore_patterns("build", "*.egg-info"))
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path, tmp_path / "light")
    [wheel] = tmp_path.glob("hf_mtl_light-*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "alone")
    python = tmp_path / "alone" / "bin" / "python"
    run(python, "-m", "pip", "install", "--constraint", ROOT / "constraints.txt", f"{wheel}[onnx]")
    run(python, "-m", "pip", "uninstall", "--yes", "setuptools", "pip")
    size, names = json.loads(run_in(python, _INSTALLED, cwd=tmp_path))
    print(f"\nhf-mtl-light with onnxruntime: {size / 1e6:.0f} MB")
    assert size < 240e6
    assert not {"torch", "transformers", "hf_mtl"} & set(names)

    export_onnx(make(), tokenizer, tmp_path / "out")
    rows = [{"text": text} if isinstance(text, str) else text for text in TEXTS]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    run(Path(python).with_name("hf-mtl-light"), "predict", tmp_path / "out", "rows.jsonl", "-o", "answers.jsonl")
    found = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    expected = OnnxPredictor(tmp_path / "out")(rows)
    assert found == [{**row, **answers} for row, answers in zip(rows, expected, strict=True)]
