"""Features of Linux and POSIX that vaelab uses, and what it does without them. Only this file depends on the system.

================================  ==================================  ============================================
what                              needs                               elsewhere
================================  ==================================  ============================================
cells start in milliseconds       a fork server (Linux)               each cell starts a new Python, in seconds
drawing gets idle time only       `SCHED_IDLE` (Linux)                it runs at a lower priority, or a normal one
links are never followed          folder descriptors (POSIX)          each folder is checked before it is used
unfinished files are removed      `flock` (POSIX)                     files that a killed process left stay
a checkpoint gets a second name   hard links (most file systems)      it is copied
a file survives a power failure   `fsync` of folders (POSIX)          only its contents are put on the disk
SIGHUP ends a command cleanly     POSIX                               there is no such signal
Ctrl-C saves a checkpoint         signals (POSIX)                     only in a run; cells of a sweep are ended
`vaelab train` is one process     `execv` (POSIX)                     it waits for a second process
threads suit the cores granted    `sched_getaffinity` (Linux)         all cores of the machine count
memory is kept between steps      glibc                               the system may take it back
data are checked to fit memory    `sysconf` (POSIX)                   too large data end with a MemoryError
================================  ==================================  ============================================
"""

import _thread
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any, NoReturn

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

PYTHON = sys.version_info
IS_LINUX = sys.platform == "linux"
HAS_SIGNALS = os.name == "posix"  # signals between processes, `select` on pipes, and `execv`
# Flags of `os.open`; 0 if the system lacks them. Without O_BINARY, Windows would change line ends.
NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
NO_WAIT: int = getattr(os, "O_NONBLOCK", 0)
FOLDER: int = getattr(os, "O_DIRECTORY", 0)
BINARY: int = getattr(os, "O_BINARY", 0)

# macOS has a fork server too, but its libraries start threads, and then a forked process may crash.
# Before 3.10.9 and in 3.11.0 any user of the machine could send commands to a fork server (CVE-2022-42919).
HAS_FORK_SERVER = IS_LINUX and PYTHON >= (3, 10, 9) and PYTHON[:3] != (3, 11, 0)
HAS_IDLE_SCHEDULING = hasattr(os, "SCHED_IDLE")
HAS_FOLDER_DESCRIPTORS = (
    {os.open, os.mkdir, os.unlink, os.rename} <= os.supports_dir_fd
    and os.listdir in os.supports_fd
    and bool(NO_FOLLOW and FOLDER)
    and (IS_LINUX or PYTHON >= (3, 11))  # see `remove_folder`
)
HAS_FILE_LOCKS = fcntl is not None
HAS_HARD_LINKS = os.link in os.supports_follow_symlinks
HAS_SESSIONS = hasattr(os, "setsid")
HAS_AFFINITY = hasattr(os, "sched_getaffinity")
HAS_SYSCONF = hasattr(os, "sysconf")

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# SIGINT is not among them, because Python turns it into a KeyboardInterrupt.
END_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


def take_idle_time_only() -> None:
    """Lets this process run only when no other process wants the processor, or else at a lower priority."""
    with suppress(OSError):  # it is not allowed
        if HAS_IDLE_SCHEDULING:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        elif hasattr(os, "nice"):
            os.nice(3)


def take_normal_time(process: int) -> None:
    """Undoes `take_idle_time_only` for a process; a lower priority cannot be undone."""
    with suppress(OSError):  # it has ended, or it is not allowed
        if HAS_IDLE_SCHEDULING:
            os.sched_setscheduler(process, os.SCHED_OTHER, os.sched_param(0))


def leave_terminal() -> None:
    """Takes this process out of the terminal's group. Ctrl-C then does not reach it."""
    if HAS_SESSIONS:
        with suppress(OSError):  # it leads a group already
            os.setsid()


def interrupt_main_thread() -> None:
    """Does what Ctrl-C does. Windows's `os.kill` would end the process instead."""
    if HAS_SIGNALS:
        os.kill(os.getpid(), signal.SIGINT)  # this also ends a system call that waits
    else:
        _thread.interrupt_main()


def interrupt_process(process: "subprocess.Popen[Any]") -> None:
    """Sends Ctrl-C to a process, or ends it on systems without signals."""
    if HAS_SIGNALS:
        process.send_signal(signal.SIGINT)
    else:
        process.terminate()


def become_program(command: Sequence[str]) -> NoReturn:
    """Replaces this process by another program; on Windows, runs it and ends with its exit code."""
    if HAS_SIGNALS:
        os.execv(command[0], list(command))
    sys.exit(subprocess.call(command))


def lock_file(descriptor: int, wait: bool) -> None:
    """Locks a file until it is closed.

    Raises:
        OSError: another process has locked it, or the system has no such locks.
    """
    if not HAS_FILE_LOCKS:
        raise OSError("this system has no file locks")
    fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def processors() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if HAS_AFFINITY else os.cpu_count() or 1


def memory() -> float:
    """The machine's memory in bytes; infinity if the system does not say."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if HAS_SYSCONF else float("inf")


def has_input(stream: IO[Any]) -> bool:
    """True if reading from a pipe would not wait, or if the system cannot say."""
    return not HAS_SIGNALS or bool(select.select([stream], [], [], 0)[0])


def remove_folder(folder: str, inside: int | None) -> None:
    """Removes a folder and all it holds without following a link.

    Args:
        folder: its name in `inside`, or its path if that is None.
        inside: the descriptor of the folder above, or None.
    """
    if inside is None:
        shutil.rmtree(folder)
    elif PYTHON >= (3, 11):
        shutil.rmtree(folder, dir_fd=inside)
    else:  # Linux keeps a path for each descriptor
        shutil.rmtree(f"/proc/self/fd/{inside}/{folder}")
