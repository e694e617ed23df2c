"""What tests see of processes that `tests.warm` forks: that they fail, hang, and how they begin."""

import sys

import pytest

from tests.ranks import run_on_ranks
from tests.warm import Script, run


def test_a_script_gets_its_arguments_folder_and_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("SEEN", "yes")
    file = tmp_path / "script.py"
    file.write_text(
        "import os, sys\nassert __name__ == '__main__'\n"
        "print(sys.argv[1:], os.getcwd(), os.environ['SEEN'], os.environ['OWN'], 'hf_mtl' in sys.modules)\n"
        "print('complaint', file=sys.stderr)\n"
    )
    (tmp_path / "place").mkdir()
    done = run(Script(file, ["a", "b"], tmp_path / "out", tmp_path / "place", {"OWN": "too"}))
    assert (done.returncode, done.stderr) == (0, "complaint\n")
    assert done.stdout == f"['a', 'b'] {tmp_path / 'place'} yes too True\n"


@pytest.mark.parametrize(("code", "status"), [("raise OSError('full')", 1), ("import sys; sys.exit(3)", 3)])
def test_a_failure_is_seen(tmp_path, code, status):
    file = tmp_path / "script.py"
    file.write_text(code)
    done = run(Script(file, [], tmp_path / "out"))
    assert done.returncode == status
    assert ("OSError: full" in done.stderr) == (status == 1)


def test_a_rank_that_fails_ends_the_others_and_is_shown(tmp_path):
    code = "import os, time\nif os.environ['RANK'] == '1': raise OSError('full')\ntime.sleep(600)"
    with pytest.raises(AssertionError) as caught:
        run_on_ranks(2, code, tmp_path)
    assert "OSError: full" in str(caught.value)


def test_a_rank_that_hangs_is_ended(tmp_path):
    with pytest.raises(AssertionError, match=r"still running after 0\.2 seconds"):
        run_on_ranks(2, "import time; time.sleep(600)", tmp_path, seconds=0.2)


def test_this_process_keeps_its_command_line(tmp_path):
    before = list(sys.argv)
    (tmp_path / "script.py").write_text("")
    run(Script(tmp_path / "script.py", ["x"], tmp_path / "out"))
    assert sys.argv == before
