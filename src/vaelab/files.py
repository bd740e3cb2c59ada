"""Opens and reads files in a folder from someone you don't trust: it follows no links, and waits for no pipes."""

import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from vaelab import platforms

KINDS = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
LIMIT = 1 << 22  # the most bytes in a small file: 4 MiB
DIGITS = 18  # the most digits of a whole number in a JSON file, which fit into 64 bits


def open_regular(path: Path, follow: bool = False) -> BinaryIO:
    """Opens an ordinary file for reading. Reading from a pipe or a device might never end.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not an ordinary file. With `follow`, a link to one is accepted.
    """
    _check_regular(path, os.stat(path, follow_symlinks=follow))
    flags = os.O_RDONLY | platforms.NO_WAIT | platforms.BINARY | (0 if follow else platforms.NO_FOLLOW)
    file = os.fdopen(os.open(path, flags), "rb")
    try:
        _check_regular(path, os.fstat(file.fileno()))  # another file may have replaced it in between
    except ValueError:
        file.close()
        raise
    return file


def _check_regular(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path} must be an ordinary file, but is {kind_of(found)}; put the file itself there")


def kind_of(found: os.stat_result) -> str:
    """The kind of an entry in a folder, in words."""
    return KINDS.get(stat.S_IFMT(found.st_mode), "a device")


def read_small(path: Path, limit: int = LIMIT) -> bytes:
    """Reads a small file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not an ordinary file, or holds more than `limit` bytes.
    """
    with open_regular(path) as file:
        contents = file.read(limit + 1)
    if len(contents) > limit:
        raise ValueError(f"{path} must hold at most {limit} bytes, but holds more; remove it, or put the old one back")
    return contents


def read_json(path: Path) -> Any:
    """Reads a small JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not small or not JSON, is nested too deeply, or has a whole number of more than 18 digits.
    """
    try:
        return json.loads(read_small(path), parse_int=_whole)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} must be a JSON file, but cannot be read as one ({error}); remove it") from error


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > DIGITS:
        raise ValueError(f"a whole number must have at most {DIGITS} digits, but has {len(digits)}; remove the file")
    return int(digits)


def open_log(path: Path) -> TextIO | None:
    """Opens a log file to append to it; None if it is missing, cannot be written, or also has a name elsewhere."""
    if path.is_symlink():
        return None
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | platforms.NO_FOLLOW | platforms.NO_WAIT)
    except OSError:
        return None
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")
    os.close(descriptor)
    return None
