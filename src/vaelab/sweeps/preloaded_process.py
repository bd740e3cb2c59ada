"""Starts Python processes in milliseconds: each is forked from a server that has already imported what they need.

If the process that started them dies, they stop. On systems without a fork server, each one is a new Python, which
takes seconds.
"""

import gc
import multiprocessing
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

from vaelab import platforms

PATIENCE = 15.0  # seconds that a process has to end after a signal
POLL = 0.05  # seconds between two checks
_starting = threading.Lock()  # held while a process starts, because this one then has the other's variables


def variables() -> dict[str, str]:
    """The environment variables of this process."""
    with _starting:
        return dict(os.environ)


def start_process(
    target: Callable[..., object], arguments: tuple[Any, ...], environment: Mapping[str, str], preload: str
) -> BaseProcess:
    """Runs a function in its own process.

    Args:
        target: a function of a module, found by its name.
        arguments: the function's arguments, which are pickled.
        environment: the server's variables, if this starts it. Some have an effect only when torch is imported.
        preload: the module that the server imports.

    Raises:
        EOFError: the server died, because the import failed.
    """
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)  # the server looks for `preload` here
    with _starting, _variables({**environment, "PYTHONPATH": paths}), _without_main_module():
        if platforms.HAS_FORK_SERVER:
            if preload:
                multiprocessing.get_context("forkserver").set_forkserver_preload([preload])
            with suppress(OSError):  # its socket cannot be made, for example because the path TMPDIR is too long
                return _started("forkserver", target, arguments)
        return _started("spawn", target, arguments)


def exit_code(process: BaseProcess, seconds: float = 0.0) -> int | None:
    """Waits for a process for at most so many seconds. Returns its exit code, or None if it still runs.

    An exit code can be read only once, and multiprocessing reads those of all processes whenever it starts another. So
    two threads must not do either at the same time.
    """
    connection.wait([process.sentinel], seconds)
    with _starting:
        return process.exitcode


def _started(method: str, target: Callable[..., object], arguments: tuple[Any, ...]) -> BaseProcess:
    context: Any = multiprocessing.get_context(method)
    name = multiprocessing.current_process().name  # so it doesn't look like a part of multiprocessing
    process: BaseProcess = context.Process(target=target, args=arguments, name=name)
    process.start()
    return process


@contextmanager
def _variables(environment: Mapping[str, str]) -> Iterator[None]:
    """Sets this process's environment variables, which a new server inherits."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Hides this process's script from multiprocessing, which would otherwise import it again in every process."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def preloading() -> Iterator[None]:
    """Wraps the imports of the module that a server preloads, so that all its processes share them.

    These imports are a second faster than elsewhere, and stop if the process that started the server dies.
    """
    platforms.leave_terminal()
    gc.disable()  # imports leave no garbage
    parent, done = os.getppid(), threading.Event()

    def watch() -> None:
        while not done.wait(POLL):
            if os.getppid() != parent:
                os._exit(1)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()  # a process with threads should not fork
        gc.enable()
        gc.freeze()


def become(command: list[str], folder: str, environment: Mapping[str, str]) -> None:
    """Turns this process, started by `start_process`, into `python COMMAND…` in a folder and with these variables."""
    platforms.leave_terminal()  # Ctrl-C goes to the process that started this one, and that passes it on once
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a launcher ignores SIGINT, and we would inherit that
    threading.Thread(target=_end_with_parent, daemon=True).start()
    multiprocessing.set_start_method(None, force=True)  # workers that load data start in the usual way
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    try:
        if command[0] == "-m":
            sys.path.insert(0, folder)
            sys.argv = command[1:]
            runpy.run_module(command[1], run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, os.path.dirname(command[0]))
            sys.argv = command
            runpy.run_path(command[0], run_name="__main__")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _end_with_parent() -> None:
    """Waits until the process that started this one ends, and then ends this one."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os.kill(os.getpid(), signal.SIGKILL)
