"""Writes files that appear under their name only when they are complete."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from vaelab import platforms
from vaelab.files import open_regular
from vaelab.open_folder import OpenFolder, open_folder

UNFINISHED = ".part"  # how the name of an unfinished file ends; it begins with a dot


def write_whole(path: Path, contents: bytes | memoryview, within: Path | None = None) -> None:
    """Writes a file: a reader finds the old file or the new one, never half of one.

    Args:
        path: the file.
        contents: its new contents.
        within: as for `replacing`.

    Raises:
        OSError: the file cannot be written. It is then unchanged.
    """
    try:
        with replacing(path, within) as file:
            file.write(contents)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(
            f"{path} cannot be written ({reason}) and is unchanged; make room, or choose another place"
        ) from error


@contextmanager
def replacing(path: Path, within: Path | None = None) -> Iterator[BinaryIO]:
    """Opens a new file, which becomes `path` when the block ends without an error.

    It is on the disk by then, so not even a power failure leaves half of it. Until then it lies beside `path`, under a
    hidden name that cannot be guessed, and is locked. The lock lets the next writer in this folder remove the files of
    killed processes. If `path` is a link, the link is replaced, and its target is unchanged.

    Args:
        path: the file.
        within: a folder above it, by default the file's own folder. No folder between the two may be a link.

    Raises:
        OSError: the file cannot be written.
    """
    with open_folder(path.parent, within) as folder:
        _remove_left_over(folder)
        part, file = _begin(folder)
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                if platforms.HAS_FILE_LOCKS:  # rename it while it is locked, so no other process removes it
                    folder.rename(part, path.name)
            if not platforms.HAS_FILE_LOCKS:  # Windows can rename only closed files
                folder.rename(part, path.name)
            folder.sync()
        finally:
            with suppress(OSError):
                folder.remove(part)


def _begin(folder: OpenFolder) -> tuple[str, BinaryIO]:
    """Opens a new file under a hidden name. It is locked while it is open."""
    while True:
        part = f".{secrets.token_hex(8)}{UNFINISHED}"
        file = os.fdopen(folder.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL), "w+b")
        with suppress(OSError):  # the file system has no locks, and then nothing is removed either
            platforms.lock_file(file.fileno(), wait=True)
        if folder.has(part):  # another process may have removed it before it was locked
            return part, file
        file.close()


def _remove_left_over(folder: OpenFolder) -> None:
    """Removes the unfinished files of processes that have ended."""
    for name in folder.names():
        if name.startswith(".") and name.endswith(UNFINISHED):
            with suppress(OSError):  # its process is still writing, or it is not an ordinary file
                descriptor = folder.open(name, os.O_RDWR | platforms.NO_WAIT)
                try:
                    platforms.lock_file(descriptor, wait=False)
                    folder.remove(name)
                finally:
                    os.close(descriptor)


def second_name(path: Path, name: Path) -> None:
    """Gives a file a second name in its folder. It keeps the contents when the first name is rewritten.

    The file is copied if the system has no hard links. Nothing happens if there is no such file.
    """
    part = f".{secrets.token_hex(8)}{UNFINISHED}"
    with suppress(OSError, ValueError), open_folder(path.parent) as folder:  # ValueError: it is not an ordinary file
        if not platforms.HAS_HARD_LINKS:
            _copy(path, name)
            return
        folder.add_name(path.name, part)
        try:
            folder.rename(part, name.name)
        finally:
            with suppress(OSError):  # the temporary name stays if both already were names of one file
                folder.remove(part)


def _copy(path: Path, name: Path) -> None:
    with open_regular(path) as source, replacing(name) as copy:
        shutil.copyfileobj(source, copy)
