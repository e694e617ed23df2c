"""A command killed before any rename, unlink or fsync leaves the old model or the new one, never a mixture."""

import os
import shutil

import pytest

import hf_mtl.cli._answering
import hf_mtl.cli._model
import hf_mtl.cli._tables
import hf_mtl.export
import hf_mtl.surgery  # noqa: F401  # all that commands import, before the fork
from hf_mtl import MultiTaskModel
from hf_mtl.cli import app

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
#: The calls before which a process may be killed.
CALLS = ("rename", "replace", "unlink", "remove", "rmdir", "mkdir", "fsync", "link")


def run(args, kill_at=None):
    """Run a command in a child that ends before its ``kill_at``-th call; return whether it came to its end."""
    child = os.fork()
    if child == 0:
        count = 0

        def hooked(call):
            def hook(*args, **kwargs):
                nonlocal count
                count += 1
                if count == kill_at:
                    os._exit(9)
                return call(*args, **kwargs)

            return hook

        code = 1
        try:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 1)
            os.dup2(null, 2)
            for name in CALLS:
                setattr(os, name, hooked(getattr(os, name)))
            app([str(arg) for arg in args])
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9), status
    return status == 0


def state(folder):
    model = MultiTaskModel.from_pretrained(folder)
    labels = tuple((task.name, tuple(task.labels)) for task in model.tasks)
    return labels, {name: tuple(value.flatten()[:3].tolist()) for name, value in model.state_dict().items()}


def command(name, model, folder):
    return {
        "drop in place": ["heads", folder / "m", "drop", "mood", "-o", folder / "m"],
        "merge over a model": ["merge", model, model, "--average", "-o", folder / "m"],
        "export over an export": [
            "export",
            model,
            folder / "m",
            "--to",
            "transformers",
            "--task",
            "topic",
            "--overwrite",
        ],
    }[name]


def again(name, model, folder):
    """Return a command that writes the folder once more; a head that is gone cannot be dropped twice."""
    return (
        ["heads", folder / "m", "freeze", "topic", "-o", folder / "m"]
        if "drop" in name
        else command(name, model, folder)
    )


@pytest.mark.parametrize("name", ["drop in place", "merge over a model", "export over an export"])
def test_a_folder_is_old_or_new_wherever_a_command_is_killed(model_folder, tmp_path, name):
    from transformers import AutoModelForSequenceClassification

    def load(folder):
        if "export" not in name:
            return state(folder)
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        return model.config.id2label, {key: tuple(v.flatten()[:3].tolist()) for key, v in model.state_dict().items()}

    begin = tmp_path / "begin"
    if "export" in name:
        assert run(["export", model_folder, begin, "--to", "transformers", "--task", "mood"])
    else:
        shutil.copytree(model_folder, begin)
        if "merge" in name:
            assert run(["heads", begin, "drop", "mood", "-o", begin])
        (begin / "notes.txt").write_text("mine")
    allowed = [load(begin)]
    for kill_at in range(1, 200):
        folder = tmp_path / str(kill_at)
        folder.mkdir()
        shutil.copytree(begin, folder / "m")
        is_done = run(command(name, model_folder, folder), kill_at)
        if is_done:
            allowed.append(load(folder / "m"))
            assert "export" in name or {p.name for p in folder.iterdir()} == {"m"}
        if "export" not in name:
            assert (folder / "m" / "notes.txt").read_text() == "mine"
        if is_done:
            break
    else:
        pytest.fail("never came to its end")
    assert allowed[0] != allowed[1]
    assert kill_at > 5, "hardly a call was counted"
    for number in range(1, kill_at):
        folder = tmp_path / str(number)
        if "export" in name and not (folder / "m").exists():
            assert run(command(name, model_folder, folder))
        assert load(folder / "m") in allowed, f"killed before call {number}"
        # The next run clears what was left.
        if number % 5 == 0:
            assert run(again(name, model_folder, folder))
            assert {path.name for path in folder.iterdir()} == {"m"}
            assert not [path for path in (folder / "m").iterdir() if path.name.startswith(".hf_mtl")]
