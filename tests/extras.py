"""Install each extra of setup.cfg beside the core, each into a fresh environment: ``make test-extras``.

``python tests/extras.py [NAME ...]`` makes an environment with torch and the core, in the versions of
``constraints.txt``, and for each extra another one that begins with the same files (hard links, so that torch is
unpacked once) and in which pip installs ``hf-mtl[EXTRA]``. An extra passes if pip finds versions for it, installs them
and keeps torch and transformers, if ``pip check`` finds no conflict, and if all that the extra names can be imported
beside torch, transformers and hf_mtl. A name that is no extra is taken as a requirement: ``'tensorflow-cpu>=2.21'``.

It prints a table, and exits with 1 if an extra failed. It needs pip's index, 3 GB of disk and minutes; nothing is kept.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from configparser import ConfigParser
from pathlib import Path
from typing import NamedTuple

__all__ = ["Result", "install", "make_core", "requirements"]

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
# What no extra may move. Of the others, the versions in constraints.txt are tried first.
HELD = ("torch", "transformers")
# Imports every public module of the distributions that are its arguments, after what they must work beside.
IMPORT = """
import importlib, re, sys
from importlib.metadata import packages_distributions
import torch, transformers, hf_mtl
plain = lambda name: re.sub("[-_.]+", "-", name).lower()
wanted = {plain(name) for name in sys.argv[1:]}
for module, owners in sorted(packages_distributions().items()):
    if module.isidentifier() and not module.startswith("_") and wanted & {plain(owner) for owner in owners}:
        importlib.import_module(module)
        print(module)
"""


class Result(NamedTuple):
    """What came of an extra; ``failure`` is empty if it passed."""

    failure: str
    moved: str = ""
    megabytes: int = 0
    imported: str = ""


def requirements() -> dict[str, list[str]]:
    """Return what each extra of setup.cfg names."""
    options = ConfigParser()
    options.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = options["options.extras_require"]
    return {extra: [line for line in text.splitlines() if line and line[0] != "#"] for extra, text in extras.items()}


def make_core(folder: Path) -> Path:
    """Make an environment with torch and hf-mtl without extras; return its folder of packages.

    Raises:
        RuntimeError: If something of it cannot be installed, or ``pip check`` finds a conflict.
    """
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pinned = ["--constraint", str(CONSTRAINTS)]
    # As the Makefile does, torch first and exactly: a looser range may bring gigabytes of CUDA libraries.
    failure = _pip(folder, "install", *pinned, f"torch=={_pins()['torch']}")
    failure = failure or _pip(folder, "install", *pinned, "--editable", "light", "--editable", ".")
    failure = failure or _pip(folder, "check")
    if failure:
        raise RuntimeError(f"The core could not be installed: {failure}")
    return _packages(folder)


def install(core: Path, name: str, named: list[str], folder: Path) -> Result:
    """Install an extra, or a requirement, into an environment that begins with the core's packages.

    Args:
        core: The core's folder of packages, on the same file system.
        name: What pip is asked for.
        named: The requirements whose modules are imported.
        folder: Where the environment goes.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = _packages(folder)
    # pip and Python replace files and never write into them, so the core's own are left as they are.
    shutil.copytree(core, packages, copy_function=os.link, dirs_exist_ok=True)
    before, size = _versions(folder), _size(packages)
    if _pip(folder, "install", "--constraint", str(CONSTRAINTS), name):
        held = folder / "held.txt"
        held.write_text("".join(f"{one}=={_pins()[one]}\n" for one in HELD), encoding="utf-8")
        failure = _pip(folder, "install", "--constraint", str(held), name)
        if failure:
            return Result(failure)
    after, megabytes = _versions(folder), round((_size(packages) - size) / 1e6)
    moved = ", ".join(f"{one} {before[one]} > {after.get(one)}" for one in before if before[one] != after.get(one))
    failure = _pip(folder, "check")
    if failure:
        return Result(failure, moved, megabytes)
    distributions = [re.split(r"[^\w.-]", one)[0] for one in named]
    done = _run([folder / "bin" / "python", "-c", IMPORT, *distributions])
    failure = done.stderr.strip().splitlines()[-1] if done.returncode else ""
    imported = done.stdout.strip()
    return Result(failure or ("" if imported else "it brings nothing to import"), moved, megabytes, imported)


def _pip(folder: Path, *arguments: str) -> str:
    """Run pip in an environment; return the reason why it failed, in its own words, or nothing."""
    options = ["--no-compile", "--quiet"] if arguments[0] == "install" else []
    done = _run(_pip_command(folder, *arguments, *options))
    if not done.returncode:
        return ""
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return " ".join([line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")] or lines)[:500]


def _pip_command(folder: Path, name: str, *arguments: str) -> list[str | Path]:
    """Return a command of an environment's pip: uv's, which needs a tenth of the time, where uv is installed."""
    python, uv = folder / "bin" / "python", shutil.which("uv")
    return [uv, "pip", name, "--python", python, *arguments] if uv else [python, "-m", "pip", name, *arguments]


def _run(command: list[str | Path]) -> subprocess.CompletedProcess[str]:
    # Nothing of the caller's environment, and no bytecode, which would count as size.
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    options = {"PYTHONDONTWRITEBYTECODE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env={**kept, **options})


def _packages(folder: Path) -> Path:
    return next((folder / "lib").glob("python*")) / "site-packages"


def _pins() -> dict[str, str]:
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    return {name: version for name, _, version in (line.partition("==") for line in lines) if version}


def _versions(folder: Path) -> dict[str, str]:
    listed = _run(_pip_command(folder, "list", "--format", "freeze")).stdout.splitlines()
    return {name: version for name, _, version in (line.partition("==") for line in listed)}


def _size(packages: Path) -> int:
    return sum(file.stat().st_size for file in packages.rglob("*") if file.is_file())


def _print_row(name: str, result: Result) -> None:
    passed = "passes" if not result.failure else f"fails: {result.failure}"
    imported = ", ".join(f"`{module}`" for module in result.imported.split())
    print(f"| `{name}` | {passed} | {result.moved or '-'} | {result.megabytes} | {imported or '-'} |", flush=True)


def _main(names: list[str]) -> int:
    extras = requirements()
    failed = False
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build", prefix="extras-") as temporary:
        core = make_core(Path(temporary, "core"))
        print("| extra | result | versions it moves | MB it adds | imported |\n|---|---|---|---|---|", flush=True)
        for name in names or extras:
            folder = Path(temporary, "extra")
            asked = f"hf-mtl[{name}]" if name in extras else name
            result = install(core, asked, extras.get(name, [name]), folder)
            shutil.rmtree(folder)
            _print_row(name, result)
            failed = failed or bool(result.failure)
    return int(failed)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
