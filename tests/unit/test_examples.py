"""The scripts of examples/ say in their head what they need, so that ``uv run`` and ``hf jobs uv run`` take them."""

import configparser
import re
import sys

import pytest

from tests.pages import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: The pattern of PEP 723.
_BLOCK = re.compile(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
SCRIPTS = sorted([*(ROOT / "examples").glob("*.py"), *(ROOT / "examples" / "notebooks").glob("*.py")])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_names_its_dependencies(script):
    [block] = _BLOCK.finditer(script.read_text())
    values = tomllib.loads("".join(line[2:] for line in block["content"].splitlines(keepends=True)))
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert values["requires-python"] == config["options"]["python_requires"]
    [needed] = values["dependencies"]
    found = re.fullmatch(r"hf-mtl(?:\[(?P<extras>[\w,-]+)\])?", needed)
    extras = (found["extras"] or "").split(",") if found["extras"] else []
    assert set(extras) <= set(config["options.extras_require"])
