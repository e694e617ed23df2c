"""`hf-mtl merge --rename`: models whose tasks have the same names become one."""

import shutil

import pytest
from typer.testing import CliRunner

from hf_mtl import MultiTaskModel
from hf_mtl.cli import app


def call(model, other, output, *renames):
    args = ["merge", str(model), str(other), "-o", str(output)]
    return CliRunner().invoke(app, [*args, *(arg for rename in renames for arg in ("--rename", rename))])


def test_tasks_of_one_name_are_merged_under_others(model_folder, tmp_path):
    other = shutil.copytree(model_folder, tmp_path / "other")
    refused = call(model_folder, other, tmp_path / "out")
    assert refused.exit_code == 2
    assert "--rename" in refused.stderr
    done = call(model_folder, other, tmp_path / "out", "2:mood=feeling", "1:topic=subject", "2:topic=a:b (c)")
    assert done.exit_code == 0, done.output
    merged = MultiTaskModel.from_pretrained(tmp_path / "out")
    assert list(merged.task_heads) == ["mood", "subject", "feeling", "a:b (c)"]


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ("mood", "takes old=new or 2:old=new, found 'mood'"),
        ("3:mood=a", "there is no model 3. Models: 1 to 2"),
        ("nood=a", "no task 'nood'. Tasks: 'mood', 'topic'"),
    ],
)
def test_wrong_renames_are_one_line(model_folder, tmp_path, rename, message):
    result = call(model_folder, model_folder, tmp_path / "out", rename)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()
