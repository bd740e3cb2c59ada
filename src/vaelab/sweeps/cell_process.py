"""Runs `python COMMAND…` for a cell of a sweep, and passes signals on to it. If it dies, the other cells continue."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess

from vaelab.sweeps.preloaded_process import PATIENCE, POLL, become, exit_code, start_process, variables


@dataclass(frozen=True)
class Setting:
    """The folder, the variables and the imports with which a process runs.

    Attributes:
        folder: its working folder; empty for the current one.
        environment: the environment variables to set.
        preload: a module that the server imports before it forks the first process. Its own imports should be inside
            `preloading`.
    """

    folder: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    preload: str = ""


def run_python(command: Sequence[str], asked: Callable[[], int | None], setting: Setting | None = None) -> int:
    """Runs `python COMMAND…` without its standard output. Returns its exit code, which is negative for a signal.

    Args:
        command: a Python file and its arguments, or `-m`, a module and its arguments.
        asked: returns the signal that stops the process, or None. It is called about every `POLL` seconds.
        setting: the folder, the variables and the imports of the process.
    """
    setting = setting or Setting()
    environment = variables() | dict(setting.environment)
    try:
        arguments = (list(command), setting.folder or os.getcwd(), environment)
        process = start_process(_become_silent, arguments, environment, setting.preload)
    except EOFError:  # the server died
        return 1
    told: float | None = None
    try:
        while (code := exit_code(process, POLL)) is None:
            if (number := asked()) is not None:
                told = _tell(process, number, told)
        return code
    finally:
        _end(process)


def _tell(process: BaseProcess, number: int, told: float | None) -> float:
    """Passes a signal on once, and kills the process if it doesn't end in time. Returns the time of the signal."""
    if told is None:
        assert process.pid is not None
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)
        return time.monotonic()
    if time.monotonic() - told > PATIENCE:
        process.kill()
    return told


def _end(process: BaseProcess) -> None:
    """Ends a process if waiting for it was interrupted, for example by a second Ctrl-C."""
    if exit_code(process) is None:
        process.terminate()
        exit_code(process, PATIENCE)
        process.kill()


def _become_silent(command: list[str], folder: str, environment: dict[str, str]) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    become(command, folder, environment)
