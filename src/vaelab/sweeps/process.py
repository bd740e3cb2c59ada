"""Runs scripts in processes of their own, each forked from a server that has already imported what they need.

A script starts in milliseconds instead of seconds, and if it dies, the others run on. The server reads a line of JSON
for each script from its standard input, and answers with two lines on its standard output: the number of the process,
and its exit code. If the sweep dies, the server's input ends. The server then stops the process with SIGTERM, and ends.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

PATIENCE = 15.0  # seconds that a process gets to end when it is told to
POLL = 0.05  # seconds between two looks
START = "import sys; sys.path[:] = sys.argv[2:]; from vaelab.sweeps.process import serve; serve(sys.argv[1])"

_idle: list["subprocess.Popen[bytes]"] = []  # servers; each runs one script at a time


@dataclass(frozen=True)
class Setting:
    """Where and how a script runs.

    Attributes:
        folder: its working directory; empty for the current one.
        environment: variables to set.
        ahead: Python code that a server runs once, before its first script, to import what every script needs.
    """

    folder: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    ahead: str = ""


def run_script(command: Sequence[str], asked: Callable[[], int | None], setting: Setting | None = None) -> int:
    """Runs `python COMMAND…` without its standard output; returns its exit code, negative for a signal.

    Args:
        command: a Python file or the name of a module, and its arguments.
        asked: returns the signal that stops the script, or None; called about every `POLL` seconds.
        setting: where and how it runs.
    """
    setting = setting or Setting()
    folder, environment = setting.folder or os.getcwd(), dict(setting.environment)
    if not hasattr(os, "fork"):
        alone = [sys.executable, *([] if _is_file(command) else ["-m"]), *command]
        variables = os.environ | environment
        return _wait_for(subprocess.Popen(alone, stdout=subprocess.DEVNULL, cwd=folder, env=variables), asked)
    server = _running_server(setting)
    assert server.stdin is not None
    server.stdin.write(json.dumps([list(command), folder, environment]).encode() + b"\n")
    server.stdin.flush()
    process, told = None, None
    while True:
        answer = _answer(server)
        if answer is not None and process is None:
            process = answer
        elif answer is not None:
            _idle.append(server)
            return answer
        elif server.poll() is not None:
            return server.returncode or 1
        if process is not None and (number := asked()) is not None:
            told = _tell(process, number, told)


def _running_server(setting: Setting) -> subprocess.Popen[bytes]:
    while _idle:
        if (server := _idle.pop()).poll() is None:
            return server
    return subprocess.Popen(
        [sys.executable, "-c", START, setting.ahead, *sys.path],
        env=os.environ | dict(setting.environment),  # some variables count only when torch is imported
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,  # what is not read stays in the pipe, where `select` sees it
        start_new_session=True,  # Ctrl-C goes to the sweep, which passes it on once
    )


def _answer(server: subprocess.Popen[bytes]) -> int | None:
    """A number that came from the server within `POLL`."""
    assert server.stdout is not None
    if select.select([server.stdout], [], [], POLL)[0] and (line := server.stdout.readline()):
        return int(line)
    return None


def _tell(process: int, number: int, told: float | None) -> float:
    """Passes a signal on, once, and kills the process if it has not ended in time."""
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
    """Waits for a process on a system without fork."""
    while process.poll() is None:
        time.sleep(POLL)
        if asked() is not None:
            process.terminate()
    return process.returncode


def serve(ahead: str) -> None:
    """The server: runs `ahead`, then forks a process for each line that comes."""
    import gc

    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    gc.disable()  # nothing imported is garbage, and searching it takes a second
    with _ending_if_abandoned():
        exec(ahead, {})
    gc.enable()
    gc.freeze()
    while (line := sys.stdin.buffer.readline()) and not _is_abandoned():
        process = os.fork()
        if not process:
            answers.close()
            _become(*json.loads(line))
        with suppress(BrokenPipeError):  # if the sweep has died, `_end_of` stops the process
            answers.write(b"%d\n" % process)
        with suppress(BrokenPipeError):
            answers.write(b"%d\n" % _end_of(process))


@contextmanager
def _ending_if_abandoned() -> Iterator[None]:
    """Ends the server if the sweep dies while the imports take their seconds."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(POLL):
            if _is_abandoned():
                os._exit(1)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    yield
    done.set()
    watcher.join()


def _is_abandoned() -> bool:
    """Whether the other end of the standard input is closed."""
    poll = select.poll()
    poll.register(sys.stdin, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def _end_of(process: int) -> int:
    """Waits for a process, and stops it if the sweep has died."""
    told: float | None = None
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        # The sweep sends nothing while the process runs, so if the input can be read, it has ended.
        if told is not None or select.select([sys.stdin], [], [], POLL)[0]:
            told = _tell(process, signal.SIGTERM, told)
            time.sleep(POLL)


def _is_file(command: Sequence[str]) -> bool:
    return command[0].endswith(".py")


def _become(command: list[str], folder: str, environment: dict[str, str]) -> None:
    """The forked process becomes `python COMMAND…`, in a folder and with more variables in its environment."""
    import runpy

    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a launcher's process ignores it, and passes that on
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(folder)
        os.environ.update(environment)
        sys.argv = command
        if _is_file(command):
            sys.path.insert(0, os.path.dirname(command[0]))
            runpy.run_path(command[0], run_name="__main__")
        else:
            runpy.run_module(command[0], run_name="__main__", alter_sys=True)
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
