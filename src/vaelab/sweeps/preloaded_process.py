"""Starts Python processes in milliseconds: each is forked from a server, which has imported what all of them need.

If the process that started them dies, they stop. On systems without a fork server, each is started anew, which takes
seconds.
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
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

from vaelab import platforms

PATIENCE = 15.0  # seconds that a process gets to end after it was told to
POLL = 0.05  # seconds between two looks
_starting = threading.Lock()  # while a process starts, the variables of this one are those of the other


def variables() -> dict[str, str]:
    """The variables of this process."""
    with _starting:
        return dict(os.environ)


def start_process(
    target: Callable[..., object], arguments: tuple[Any, ...], environment: Mapping[str, str], preload: str
) -> BaseProcess:
    """Starts a function in a process of its own.

    Args:
        target: a function of a module, to be found by its name.
        arguments: of the function, to be pickled.
        environment: the server's variables, if this starts it: some count only when torch is imported.
        preload: the module that the server imports.

    Raises:
        EOFError: the server died, because the import failed.
    """
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)  # where the server finds `preload`
    with _starting, _variables({**environment, "PYTHONPATH": paths}), _without_main_module():
        if platforms.HAS_FORK_SERVER:
            if preload:
                multiprocessing.get_context("forkserver").set_forkserver_preload([preload])
            with suppress(OSError):  # its socket cannot be made, for instance because TMPDIR is too long a path
                return _started("forkserver", target, arguments)
        return _started("spawn", target, arguments)


def _started(method: str, target: Callable[..., object], arguments: tuple[Any, ...]) -> BaseProcess:
    context: Any = multiprocessing.get_context(method)
    name = multiprocessing.current_process().name  # as if it were no part of multiprocessing
    process: BaseProcess = context.Process(target=target, args=arguments, name=name)
    process.start()
    return process


@contextmanager
def _variables(environment: Mapping[str, str]) -> Iterator[None]:
    """Sets this process's variables, which a server takes over."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Hides this process's script from multiprocessing, which would import it again in every process."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def preloading() -> Iterator[None]:
    """Imports made inside, by the module that a server preloads, are shared by all its processes.

    They take a second less than elsewhere, and end if the process that started the server dies.
    """
    platforms.leave_terminal()
    gc.disable()  # nothing imported is garbage
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
    platforms.leave_terminal()  # Ctrl-C goes to the process that started this one, which passes it on once
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a launcher's process ignores it, and passes that on
    threading.Thread(target=_end_with_parent, daemon=True).start()
    multiprocessing.set_start_method(None, force=True)  # workers for loading data start as they would elsewhere
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
    """Waits until the process that started this one has ended, and then ends this one."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os.kill(os.getpid(), signal.SIGKILL)
