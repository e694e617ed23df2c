import platform

import pytest

from tests.warm import Script, run

SCRIPT = """
import resource, sys, torch
from hf_mtl.trainer import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else True
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):  # the heap grows until a block fits beside what lies in it
    torch.zeros(64 * 2**18).sum()
before = faults()
for _ in range(10):
    torch.zeros(64 * 2**18)  # 64 MB
print(kept, faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc takes the setting")
def test_large_blocks_are_not_mapped_anew_each_time(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)

    def faults(how):
        done = run(Script(tmp_path / "script.py", [how], tmp_path / how))
        assert done.returncode == 0, done.stderr
        kept, faults = done.stdout.split()
        assert kept == "True"
        return int(faults)

    freed, kept = faults("free"), faults("keep")
    # Ten blocks of 16,384 pages; huge pages, where the system gives them, are 512 times fewer.
    assert kept < freed / 5
