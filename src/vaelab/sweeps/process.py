"""A script in a process of its own, forked from one that has everything imported.

To start costs milliseconds instead of seconds, and what kills one, memory that runs out or a signal, leaves the others
alone.
"""

import multiprocessing
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PATIENCE = 15.0  # seconds that a process gets to end when it is told to
POLL = 0.1  # seconds between two looks


def run_script(script: Path, arguments: Sequence[str], asked: Callable[[], int | None]) -> int:
    """`python SCRIPT ARGUMENTS`, its standard output thrown away; -> its exit code, negative for a signal.

    Args:
        script: a Python file.
        arguments: what follows it on the command line.
        asked: -> the signal that it shall end by, or None; looked at all the time.
    """
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context: Any = multiprocessing.get_context(method)
    context.set_forkserver_preload(["__main__", "vaelab.sweeps.imports"])  # __main__: train.py, which imports Hydra
    process = context.Process(target=_become, args=(str(script), list(arguments)))
    process.start()
    deadline = None
    while process.is_alive():
        process.join(POLL)
        if deadline is None and (number := asked()) is not None:
            deadline = time.monotonic() + PATIENCE
            os.kill(process.pid or 0, number)
        elif deadline is not None and time.monotonic() > deadline:
            process.kill()
    return process.exitcode or 0


def _become(script: str, arguments: list[str]) -> None:
    """What the new process does."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # Ctrl-C goes to the sweep, which passes it on once
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).parent))
    runpy.run_path(script, run_name="__main__")


def _end_with_parent() -> None:
    """A sweep that is killed leaves nobody behind who trains on in its folders."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
