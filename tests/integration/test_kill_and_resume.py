"""A training that is killed, truly, and resumed ends with the weights of an unbroken one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_and_resume.py"


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL and fork servers are POSIX's")
def test_training_killed_twice_ends_with_the_weights_of_an_unbroken_one():
    command = [sys.executable, str(SCRIPT), "--quick", "--runs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["different"] == 0
    assert sum(facts["kills"].values()) == 2
    assert facts["kills"]["saving"] == 1
