"""Every benchmark runs: ``--quick`` on generated data, for its code, not for its figures."""

import json
from pathlib import Path

import pytest

from tests import warm

FOLDER = Path(__file__).parents[2] / "benchmarks"
#: test_kill_and_resume.py runs the one; the other needs a file of the package index and checks itself.
ELSEWHERE = {"kill_and_resume.py", "image_encoder.py"}
SCRIPTS = sorted(
    path.name
    for path in FOLDER.glob("*.py")
    if '__name__ == "__main__"' in path.read_text() and path.name not in ELSEWHERE
)


def test_benchmarks_are_found():
    assert {"training_throughput.py", "evaluation_memory.py", "start_up.py", "loader.py"} <= set(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_benchmark_runs_and_prints_a_table_and_json(script, tmp_path, tmp_path_factory):
    done = warm.run(warm.Script(FOLDER / script, ["--quick"], tmp_path_factory.mktemp("printed") / "out", tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("|---") for line in lines) or script == "stock_baseline.py"
    assert any(isinstance(json.loads(line), dict) for line in lines if line.startswith('{"'))
    # What --quick makes goes away with it.
    assert not list(tmp_path.iterdir())
