"""Standard streams that are closed, full, cut off or unable to show a character."""

import os
import subprocess
import sys

import pytest

from helpers.runner import ROOT, SHORT, TINY, messages
from vaelab.runs.run_state import read_state

FORGIVING = """
import sys
from vaelab.standard_streams import forgive_streams
forgive_streams()
with open("kept", "w") as file:
    assert file.fileno() > 2
    print("σ ± ∞" * 9999)
    print("gone", file=sys.stderr, flush=True)
    sys.stdout.flush()
    file.write("whole")
"""


@pytest.mark.parametrize(
    "redirected", [">&- 2>&- <&-", ">&-", ">/dev/full 2>/dev/full", "2>&- | head -c 1", "| cat >said", "-u"]
)
def test_the_process_survives_whatever_happens_to_its_streams(redirected, tmp_path):
    (tmp_path / "script.py").write_text(FORGIVING)
    unbuffered, redirected = ("-u", ">said") if redirected == "-u" else ("", redirected)
    command = f"set -o pipefail; {sys.executable} {unbuffered} script.py {redirected}"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    code = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL).returncode
    assert code == 0
    assert (tmp_path / "kept").read_text() == "whole"
    if "said" in redirected:
        assert (tmp_path / "said").read_text() == "? ? ?" * 9999 + "\n"


def test_a_run_without_streams_and_with_a_notebooks_backend_is_done(tmp_path):
    """Like `python train.py >&- 2>&-` in a notebook with a drawing backend that is missing here."""
    environment = {**os.environ, "MPLBACKEND": "module://missing.backend", "PYTHONIOENCODING": "ascii"}
    keys = [*TINY, *SHORT[:-1], "callbacks.pictures.examples=7", "hydra.run.dir=run"]
    closed = ["bash", "-c", 'exec "$@" >&- 2>&- <&-', "bash", sys.executable, str(ROOT / "train.py"), *keys]
    assert subprocess.run(closed, cwd=tmp_path, env=environment, timeout=120).returncode == 0
    assert read_state(tmp_path / "run").state == "done"
    assert (tmp_path / "run" / "figures" / "latents.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"metrics.json", "checkpoints", "train.log"}
    assert messages((tmp_path / "run" / "train.log").read_text()) == []


def test_the_notebooks_backend_is_left_to_the_notebook(tmp_path):
    """A figure of vaelab's is drawn whatever MPLBACKEND is; a backend that exists is still the one that pyplot uses."""
    script = (
        "import numpy as np, os\n"
        "from vaelab.figures import KLBars\n"
        "assert KLBars(np.ones(3, np.float32)).render().startswith(b'\\x89PNG')\n"
        "import matplotlib\n"
        "print(matplotlib.get_backend(), os.environ['MPLBACKEND'])\n"
    )
    for named, used in (("nonsense", "agg"), ("svg", "svg")):
        environment = {**os.environ, "MPLBACKEND": named}
        said = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert said.stdout.split() == [used, named]
