"""Runs train.py in processes that are forked from one with torch and Lightning imported: a second instead of five."""

import subprocess
from pathlib import Path

from hydra_plugins.vaelab_sweeps.cell import AHEAD
from runner import ROOT
from vaelab.sweeps.process import Setting, run_script

SHOW = """
import os, runpy, sys
for number, name in ((1, "stdout"), (2, "stderr")):
    os.dup2(os.open(sys.argv[1] + "." + name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
sys.argv = sys.argv[2:]
sys.path[:1] = [os.path.dirname(sys.argv[0]), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def fork_train(cwd: Path, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    """As `runner.run_train`; what it prints lies beside `cwd` meanwhile."""
    said = cwd.with_name(f"{cwd.name}.said")
    said.mkdir(exist_ok=True)
    (said / "show.py").write_text(SHOW)
    command = [str(said / "show.py"), str(said / "it"), str(ROOT / "train.py"), *arguments]
    code = run_script(command, lambda: None, Setting(str(cwd), environment or {}, AHEAD))
    return subprocess.CompletedProcess(
        arguments, code, (said / "it.stdout").read_text(), (said / "it.stderr").read_text()
    )
