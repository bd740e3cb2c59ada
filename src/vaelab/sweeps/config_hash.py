"""Hashes the settings that affect results, and the content of the data. Runs with the same hash are the same."""

import glob
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from vaelab.outputs import is_output

WITHOUT_EFFECT = ("threads", "trainer.enable_progress_bar")  # settings that do not affect results
START = "init_from"
PRUNING = "callbacks.prune"  # it may end a run early, but changes none of its numbers
LARGEST = 2**31  # the most bytes of data to read; larger data are compared by names, sizes and dates
BLOCK = 2**20
READ = re.compile(r"(path|root|file|folder|dir)s?$")  # endings of keys that name data


def config_hash(config: Mapping[str, Any], here: str | Path = ".") -> str:
    """Hashes the settings of a config and the content of its data.

    Every path below `data` stands for the content of its file or folder, and `init_from` for the run's checkpoint. The
    same data under another path therefore give the same hash, and other data under the same path give another hash. A
    word such as `drop` also counts as itself, because a file or folder may have that name by chance.

    Args:
        config: plain containers with every value filled in.
        here: the folder in which relative paths start.
    """
    settings = {
        key: _of_data(key, value, Path(here)) if key.startswith("data.") and not key.endswith("_target_") else value
        for key, value in flat(config)
        if key not in WITHOUT_EFFECT and not key.startswith(PRUNING)
    }
    if (start := settings.pop(START, None)) is not None:  # without it, the hash is that of older versions
        settings[START] = _of_run(str(start), Path(here))
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]


def flat(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """{"a": {"b": [1, 2]}} -> ("a.b.0", 1), ("a.b.1", 2)."""
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(node, Mapping):
        items = node.items()
    elif isinstance(node, list | tuple):
        items = enumerate(node)
    if not items or not node:
        yield key, node
        return
    for name, value in items:
        yield from flat(value, f"{key}.{name}" if key else str(name))


def _of_data(key: str, value: Any, here: Path) -> Any:
    content = content_of(value, here)
    name = re.sub(r"(\.\d+)+$", "", key)  # data.files.0 is one of data.files
    return content if content == value or may_be_path(name, value) else [value, content]


def _of_run(named: str, here: Path) -> Any:
    """The content of the checkpoint that `init_from` names."""
    path = Path(os.path.join(here, os.path.expanduser(named)))
    checkpoints = (path / "checkpoints" / name for name in ("best.ckpt", "last.ckpt"))
    return next((content_of(str(each), here) for each in (path, *checkpoints) if each.is_file()), str(path))


def may_be_path(key: str, value: str) -> bool:
    """True if a value looks like a path. A word such as `drop` does not, even if a folder has that name."""
    return bool(READ.search(key)) or "/" in value or "." in value


def content_of(value: Any, here: Path) -> Any:
    """The content of the files or the folder that a value names, or else the value itself."""
    if not isinstance(value, str):
        return value
    if (path := existing(value.removeprefix("file://"), here)) is None:
        return _of_list(value, here) or _of_pattern(value, here) or value
    try:
        if path.is_dir() and (files := _of_folder(path)):
            return ["folder", files]
        if path.is_file():  # its suffix decides how to read it
            return ["file", path.suffix.lower(), _of_file(path, *_size_and_date(path))]
    except OSError:  # it cannot be read, and the data module will say why
        pass
    return ["path", str(path)]


def _of_list(text: str, here: Path) -> list[Any]:
    """The contents of the files in a list such as `a.csv,b.csv`; empty unless each part names a file or a folder."""
    parts = [part.strip() for part in text.split(",")]
    return [content_of(part, here) for part in parts] if all(existing(part, here) for part in parts) else []


def _of_pattern(text: str, here: Path) -> list[Any]:
    """The names and contents of the files that a pattern such as `parts/*.npy` matches."""
    if not glob.has_magic(text) or "\0" in text:
        return []
    found = glob.glob(os.path.join(glob.escape(str(here)), os.path.expanduser(text)))
    return [[os.path.basename(path), content_of(path, here)] for path in sorted(found)]


def existing(text: str, here: Path) -> Path | None:
    """The absolute path of a file or folder that a text names; None if there is none."""
    path = os.path.join(here, os.path.expanduser(text))
    return Path(os.path.abspath(path)) if text and os.path.exists(path) else None


def _of_folder(folder: Path) -> list[tuple[str, Any]]:
    files = [(path, os.path.relpath(path, folder)) for path in _files(folder)]
    small = sum(path.stat().st_size for path, _ in files) <= LARGEST
    return [(name, _of_file(path, *_size_and_date(path)) if small else _size_and_date(path)) for path, name in files]


def _files(folder: Path) -> Iterator[Path]:
    """The regular files in a folder, linked ones included, each folder once. Runs and sweeps below it are skipped."""
    visited: set[str] = set()
    for at, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(at)
        if real in visited or (at != str(folder) and is_output(Path(at))):
            folders.clear()
            continue
        visited.add(real)
        folders.sort()
        paths = (Path(at, name) for name in sorted(names))
        yield from (path for path in paths if path.is_file() and not _is_lock(path))


def _is_lock(path: Path) -> bool:
    """True if a file is a lock. It is empty, and appears when a run or a download begins."""
    return path.name == ".lock" and path.stat().st_size == 0


def _size_and_date(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@lru_cache(maxsize=100_000)
def _of_file(path: Path, size: int, changed: int) -> str:
    """SHA-256 of a file's bytes. They are read again only if its size or date has changed."""
    found = hashlib.sha256()
    if size > LARGEST:
        return f"{size} bytes of {changed}"
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            found.update(block)
    return found.hexdigest()
