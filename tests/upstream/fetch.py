"""Fetch the tests that Transformers ships in its source distribution: nothing of them is kept in this repository.

``python tests/upstream/fetch.py FOLDER`` downloads the source distribution of the installed version through pip,
without building it, and puts its test mixins into the package ``FOLDER/upstream_tests``. What they import and the
distribution lacks (mixins for generation and export, whose tests do not concern this library) is an empty stand-in.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

__all__ = ["fetch"]

FILES = ("test_modeling_common.py", "test_configuration_common.py", "test_pipeline_mixin.py")
STAND_INS = {
    "__init__.py": "",
    "exporters/__init__.py": "",
    "exporters/test_export.py": "class ExportTesterMixin:\n    pass\n",
    "generation/__init__.py": "",
    "generation/test_utils.py": "class GenerationTesterMixin:\n    pass\n",
    "utils/__init__.py": "",
    "utils/test_configuration_utils.py": "config_common_kwargs = {}\n",
    # The mixins look for the package's own sources beside the tests; with nothing in it they take the installed one.
    "../src/transformers/__init__.py": "",
    "../tiny/reports/tiny_model_summary.json": "{}\n",
}


def fetch(folder: Path) -> Path:
    """Return the package of test mixins, which is downloaded unless it lies there.

    Args:
        folder: Where it goes; one folder for each version.
    """
    number = version("transformers")
    package = folder / number / "upstream_tests"
    if (package / "fetched").exists():
        return package
    with tempfile.TemporaryDirectory() as temporary:
        # --no-build-isolation: else pip would fetch the build's requirements before it reads the metadata.
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-build-isolation", "--quiet"]
        subprocess.run(
            [*command, "--no-binary", "transformers", f"transformers=={number}", "--dest", temporary], check=True
        )
        (archive,) = Path(temporary).glob("*.tar.gz")
        with tarfile.open(archive) as source:
            for name in FILES:
                member = source.extractfile(f"transformers-{number}/tests/{name}")
                assert member is not None, f"{archive.name} holds no {name}"
                _write(package / name, member.read().decode())
    for name, text in STAND_INS.items():
        _write(package / name, text)
    _write(package / "fetched", number)
    return package


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    print(fetch(Path(sys.argv[1])).parent)
