"""Files that are whole or as they were."""

import os
import stat
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, contents: bytes | memoryview) -> None:
    """Writes a file by way of another name: who looks finds the old file or the new one, never half of one.

    It is on the disk when this returns, so that not even a power failure leaves half of it.

    Raises:
        OSError: it cannot be written; it is then as it was.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(contents)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(
            f"{path} cannot be written ({reason}); it is as it was, so make room or choose another"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def read_small(path: Path, limit: int) -> bytes:
    """The bytes of a regular file that holds at most `limit` of them; it opens no link, and waits for no pipe.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is no regular file, or too large.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{path} must be a regular file, but is something else; remove it")
        contents = file.read(limit + 1)
    if len(contents) > limit:
        raise ValueError(f"{path} must hold at most {limit} bytes, but holds more; remove it")
    return contents


def second_name(path: Path, name: Path) -> None:
    """Gives what a file holds now a second name, under which it stays when the file is written anew."""
    part = name.with_name(f".{name.name}.{os.getpid()}.part")
    with suppress(OSError):  # where there is no such file, or the disk knows no second names
        part.unlink(missing_ok=True)  # of a process that was killed
        os.link(path, part)
        part.replace(name)


def _sync_folder(folder: Path) -> None:
    """Puts the names in a folder on the disk, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
