"""A script in a process of its own, forked from one that has everything imported.

To start costs milliseconds instead of seconds, and what kills one, memory that runs out or a signal, leaves the others
alone. What is asked for goes into the server by its standard input, a line of JSON each, and two lines come back by its
standard output: the process, and how it ended. Whoever asked may die: the server sees its input end, stops the process
as Ctrl-C would, and ends.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

PATIENCE = 15.0  # seconds that a process gets to end when it is told to
POLL = 0.05  # seconds between two looks
START = "import sys; sys.path[:] = sys.argv[2:]; from vaelab.sweeps.process import serve; serve(sys.argv[1])"

_server: subprocess.Popen[bytes] | None = None
_watcher: threading.Thread | None = None


def run_script(command: Sequence[str], asked: Callable[[], int | None], ahead: str = "") -> int:
    """`python COMMAND…`, its standard output thrown away; -> its exit code, negative for a signal.

    Args:
        command: a Python file, and what follows it on the command line.
        asked: -> the signal that it shall end by, or None; looked at all the time.
        ahead: Python that is run before the first script, for what every script would import.
    """
    if not hasattr(os, "fork"):
        return _wait_for(subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL), asked)
    server = _running_server(ahead)
    assert server.stdin is not None
    server.stdin.write(json.dumps(list(command)).encode() + b"\n")
    server.stdin.flush()
    process, told = None, None
    while True:
        answer = _answer(server)
        if answer is not None and process is None:
            process = answer
        elif answer is not None:
            return answer
        elif server.poll() is not None:
            return server.returncode or 1
        if process is not None and (number := asked()) is not None:
            told = _tell(process, number, told)


def _running_server(ahead: str) -> subprocess.Popen[bytes]:
    global _server
    if _server is None or _server.poll() is not None:
        _server = subprocess.Popen(
            [sys.executable, "-c", START, ahead, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # what is not read stays in the pipe, where `select` sees it
            start_new_session=True,  # Ctrl-C goes to the sweep, which passes it on once
        )
    return _server


def _answer(server: subprocess.Popen[bytes]) -> int | None:
    """A number that came from the server within `POLL`."""
    assert server.stdout is not None
    if select.select([server.stdout], [], [], POLL)[0] and (line := server.stdout.readline()):
        return int(line)
    return None


def _tell(process: int, number: int, told: float | None) -> float:
    """Passes a signal on, once; kills who does not listen to it."""
    if told is None:
        told = time.monotonic()
    elif time.monotonic() - told < PATIENCE:
        return told
    else:
        number = signal.SIGKILL
    with suppress(ProcessLookupError):
        os.kill(process, number)
    return told


def _wait_for(process: subprocess.Popen[bytes], asked: Callable[[], int | None]) -> int:
    """Where there is no fork."""
    while process.poll() is None:
        time.sleep(POLL)
        if asked() is not None:
            process.terminate()
    return process.returncode


def end_with_parent() -> None:
    """From now on this process ends, at the latest a second later, when the one that started it has: it was killed."""
    global _watcher
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    if _watcher is None:
        _watcher = threading.Thread(target=watch, daemon=True)
        _watcher.start()


def serve(ahead: str) -> None:
    """The server: imports what a run needs, then forks a process for each line that comes."""
    import gc

    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    gc.disable()  # none of what is imported is garbage, and to look for some takes a second
    import torch.utils.tensorboard  # noqa: F401

    import vaelab.data
    import vaelab.runs.environment
    import vaelab.runs.load
    import vaelab.training  # noqa: F401

    exec(ahead, {})
    gc.enable()
    gc.freeze()
    while line := sys.stdin.buffer.readline():
        process = os.fork()
        if not process:
            answers.close()
            _become(json.loads(line))
        answers.write(b"%d\n" % process)
        answers.write(b"%d\n" % _end_of(process))


def _end_of(process: int) -> int:
    """Waits for a process; stops it where nobody waits for this one any longer."""
    told: float | None = None
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        # While the process runs nothing more is asked for, so that what can be read is the end.
        if told is not None or select.select([sys.stdin], [], [], POLL)[0]:
            told = _tell(process, signal.SIGTERM, told)
            time.sleep(POLL)


def _become(command: list[str]) -> None:
    """The forked process becomes `python COMMAND…`."""
    import runpy

    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a launcher's process ignores it, and passes that on
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.argv = command
        sys.path.insert(0, os.path.dirname(command[0]))
        runpy.run_path(command[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(code)
