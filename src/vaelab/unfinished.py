"""Files that appear under their name only when they are whole, even if the process is killed."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where what a killed process leaves has to be removed by hand
    fcntl = None  # type: ignore[assignment]

SUFFIX = ".unfinished"


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file, which becomes `path` when the block ends without an error.

    Until then it is beside `path`, under a hidden name, and locked as long as its process lives. So the next
    call for a file there can remove what a killed process left.

    Raises:
        OSError: the file cannot be written.
    """
    _remove_left_over(path.parent)
    part, file = _begin(path)
    try:
        with file:
            yield file
            file.flush()
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _begin(path: Path) -> tuple[Path, BinaryIO]:
    while True:
        part = path.with_name(f".{path.name[:60]}.{secrets.token_hex(4)}{SUFFIX}")
        file = part.open("x+b")  # a new file, never one that was there
        with suppress(OSError):  # a file system without locks, on which nothing is removed either
            _lock(file.fileno(), wait=True)
        if part.exists():  # another process may have removed it before it was locked
            return part, file
        file.close()


def _remove_left_over(folder: Path) -> None:
    """Removes the unfinished files of processes that have ended."""
    for part in folder.glob(f".*{SUFFIX}"):
        with suppress(OSError):  # its process still writes, or the file is not ours
            descriptor = os.open(part, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
            try:
                _lock(descriptor, wait=False)
                part.unlink()
            finally:
                os.close(descriptor)


def _lock(descriptor: int, wait: bool) -> None:
    """Locks a file until it is closed.

    Raises:
        OSError: another process has locked it, or the system has no such locks.
    """
    if fcntl is None:
        raise OSError("there are no file locks")
    fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
