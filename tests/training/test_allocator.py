"""Memory that is kept is not cleared again."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys, torch
from vaelab.training import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.empty(40 << 18).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_blocks_of_40_megabytes_are_kept():
    faults = {}
    for how in ("kept", "not kept"):
        process = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True)
        faults[how] = int(process.stdout)
    assert faults["kept"] < faults["not kept"] / 10
