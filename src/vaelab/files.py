"""Files that are whole or as they were, written and read without following a link into another folder."""

import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TextIO

KINDS = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
LIMIT = 1 << 22  # bytes of a small file: 4 MB
DIGITS = 18  # of a whole number in a JSON file: what fits into 64 bits


def write_whole(path: Path, contents: bytes | memoryview, within: Path | None = None) -> None:
    """Writes a file by way of another name: a reader finds the old file or the new one, never half of one.

    It is on the disk when this returns, so that not even a power failure leaves half of it. The other name cannot be
    guessed, and a link that has the file's name is replaced, not followed.

    Args:
        path: the file.
        contents: what it shall hold.
        within: a folder above it: no folder between the two may be a link. The file's own folder unless given.

    Raises:
        OSError: it cannot be written; it is then as it was.
    """
    part = f".{secrets.token_hex(8)}.part"
    try:
        with _opened(path.parent, within or path.parent) as folder:
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                with os.fdopen(os.open(part, flags, 0o666, dir_fd=folder), "wb") as file:
                    file.write(contents)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(part, path.name, src_dir_fd=folder, dst_dir_fd=folder)
                with suppress(OSError):  # some systems cannot put a folder's names on the disk
                    os.fsync(folder)
            finally:
                with suppress(OSError):
                    os.unlink(part, dir_fd=folder)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(
            f"{path} cannot be written ({reason}); it is as it was, so make room or choose another"
        ) from error


def second_name(path: Path, name: Path) -> None:
    """Gives a file a second name in its folder, so that its contents stay there when the first name is rewritten."""
    part = f".{secrets.token_hex(8)}.part"
    with suppress(OSError), _opened(path.parent, path.parent) as folder:  # no such file, or a disk without second names
        os.link(path.name, part, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        try:
            os.replace(part, name.name, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            with suppress(OSError):  # it stays where it is if both were names of one file already
                os.unlink(part, dir_fd=folder)


@contextmanager
def _opened(folder: Path, within: Path) -> Iterator[int]:
    """A descriptor of a folder, made if it is missing; from `within` down no link is followed."""
    within.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    descriptor = os.open(within, flags)
    try:
        for name in folder.relative_to(within).parts:
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=descriptor)
            inner = os.open(name, flags | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def open_regular(path: Path, follow: bool = False) -> BinaryIO:
    """A file opened for reading, if it is an ordinary one: a pipe or a device could keep the reader waiting for ever.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no ordinary file; a link is one only with `follow`.
    """
    _check_regular(path, os.stat(path, follow_symlinks=follow))
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    file = os.fdopen(os.open(path, flags), "rb")
    try:
        _check_regular(path, os.fstat(file.fileno()))  # another may have taken its place in between
    except ValueError:
        file.close()
        raise
    return file


def _check_regular(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path} must be an ordinary file, but is {kind_of(found)}; put the file itself there")


def kind_of(found: os.stat_result) -> str:
    """What a name in a folder stands for, in words."""
    return KINDS.get(stat.S_IFMT(found.st_mode), "a device")


def read_small(path: Path, limit: int = LIMIT) -> bytes:
    """The contents of a small file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is a link or no ordinary file, or holds more than `limit` bytes.
    """
    with open_regular(path) as file:
        contents = file.read(limit + 1)
    if len(contents) > limit:
        raise ValueError(f"{path} must hold at most {limit} bytes, but holds more; remove it, or put the old one back")
    return contents


def read_json(path: Path) -> Any:
    """What a small JSON file holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such file, is nested too deeply, or has a whole number of more than 18 digits.
    """
    try:
        return json.loads(read_small(path), parse_int=_whole)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} must be a JSON file, but cannot be read as one ({error}); remove it") from error


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > DIGITS:
        raise ValueError(f"a whole number has {len(digits)} digits, which no file of a run has")
    return int(digits)


def open_log(path: Path) -> TextIO | None:
    """A log file opened for adding to it; None if it is missing, not ours to write, or no file of this folder alone."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError:
        return None
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")
    os.close(descriptor)
    return None
