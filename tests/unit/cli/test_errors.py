"""What a user can mend is one line; a bug keeps its traceback, in a file."""

import json
import os
import re
import stat
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

import hf_mtl.recipe
from hf_mtl.cli import app
from hf_mtl.cli._crash import report_crashes_in
from hf_mtl_light.errors import MissingExtraError, UserError, UserKeyError, UserTypeError, library_errors_name

USERS = [UserError, UserTypeError, UserKeyError, MissingExtraError]
SYSTEMS = [OSError, FileNotFoundError, MemoryError]
BUGS = [ValueError, TypeError, KeyError, AttributeError, RuntimeError, ImportError, AssertionError, Exception]


def raising(monkeypatch, make):
    def load(*args, **kwargs):
        raise make()

    monkeypatch.setattr(hf_mtl.recipe.ReadRecipe, "load", load)
    return CliRunner().invoke(app, ["train", "recipe.yaml", "--dry-run", "training.hub_token=hf_" + "a" * 30])


@pytest.mark.parametrize("kind", [*USERS, *SYSTEMS])
def test_what_a_user_can_mend_is_one_line(monkeypatch, kind):
    result = raising(monkeypatch, lambda: kind("row 3:\n no label"))
    assert result.exit_code == 2
    assert re.fullmatch(r"error: (row 3: no label|out of memory\..*)\n", result.stderr)


@pytest.mark.parametrize("kind", BUGS)
@pytest.mark.parametrize("where", ["run folder", "temporary folder"])
def test_a_bug_keeps_its_traceback_in_a_file(monkeypatch, tmp_path, kind, where):
    run = tmp_path / "run"
    run.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    report_crashes_in(run if where == "run folder" else None)
    try:
        result = raising(monkeypatch, lambda: kind("zip() argument 2 is longer\x1b[2J"))
    finally:
        report_crashes_in(None)
    assert result.exit_code == 70
    (line,) = result.stderr.splitlines()
    assert "\x1b" not in line
    name = re.search(r"Its traceback is in (\S+)\.$", line)[1]
    assert Path(name).parent == (run if where == "run folder" else tmp_path)
    assert stat.S_IMODE(Path(name).stat().st_mode) == 0o600
    text = Path(name).read_text()
    assert "Traceback" in text
    assert "in load" in text
    assert "hf_aaa" not in text


def test_a_recipe_that_comes_through_a_pipe_is_read_once(tmp_path):
    pipe = tmp_path / "recipe.yaml"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_text, args=("encoder: x\ndatasets: {}\ntraning: {}\n",), daemon=True)
    writer.start()
    result = CliRunner().invoke(app, ["train", str(pipe), "--dry-run"])
    assert result.exit_code == 2
    assert "unknown key 'traning'. Did you mean 'training'?" in result.stderr


def test_the_place_decides_whether_a_library_or_this_package_is_wrong():
    with pytest.raises(UserError, match=r"^a\.json: Expecting value"), library_errors_name("a.json"):
        json.loads("nonsense")
    own = {"__name__": "hf_mtl.somewhere"}
    exec("def f():\n    list(zip([1], [1, 2], strict=True))", own)
    with pytest.raises(ValueError, match="zip") as caught, library_errors_name("a.json"):
        own["f"]()
    assert not isinstance(caught.value, UserError)


@pytest.mark.parametrize("damage", ["cut", "noise", "deep", "list", "latin", "none"])
@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
def test_a_damaged_file_of_a_model_is_one_line_that_names_the_model(model_folder, tmp_path, file, damage):
    for path in model_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    whole = (tmp_path / file).read_bytes()
    bad = {
        "cut": whole[: len(whole) // 2],
        "noise": bytes(range(256)),
        "deep": b"[" * 100_000,
        "list": b"[]",
        "latin": '{"a": "é"}'.encode("latin-1"),
        "none": b"",
    }[damage]
    (tmp_path / file).write_bytes(bad)
    changed = ["drop", "mood", "-o", str(tmp_path / "out")] if file.startswith("tokenizer") else []  # a list reads none
    result = CliRunner().invoke(app, ["heads", str(tmp_path), *changed])
    assert result.exit_code == 2, (result.stderr, result.exception)
    (line,) = result.stderr.splitlines()
    assert str(tmp_path) in line
