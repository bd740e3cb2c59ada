"""Processes that start in a fraction of a second: each is forked from one that has imported what a run needs.

Everything else is as in an ordinary process: folder, environment, arguments, standard output, signals and exit code.
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from vaelab.sweeps.preloaded_process import become, start_process

PRELOAD = "vaelab.app.cell_imports"


class Forked:
    """`python COMMAND…`, with the part of `subprocess.Popen` that tests use; its output goes to files."""

    def __init__(self, command: list[str], cwd: Path) -> None:
        self.command = command
        self.folder = tempfile.TemporaryDirectory(prefix="forked-")
        self.output = [Path(self.folder.name, name) for name in ("stdout", "stderr")]
        for path in self.output:
            path.touch()
        arguments = (command, str(cwd), self.output, dict(os.environ))
        self.process = start_process(_become, arguments, os.environ, PRELOAD)
        self.pid = self.process.pid

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int | None:
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.kill()
            raise subprocess.TimeoutExpired(self.command, timeout or 0.0)
        return self.process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        self.wait(timeout)
        out, err = (path.read_text() for path in self.output)
        return out, err


def run(command: list[str], cwd: Path, timeout: float) -> subprocess.CompletedProcess:
    """Like `subprocess.run` with captured output."""
    process = Forked(command, cwd)
    out, err = process.communicate(timeout)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _become(command: list[str], cwd: str, output: list[Path], environment: dict[str, str]) -> None:
    for descriptor, path in enumerate(output, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), descriptor)
    sys.stdin, sys.stdout, sys.stderr = (open(d, m, closefd=False) for d, m in enumerate("rww"))  # noqa: SIM115
    become(command, cwd, environment)
