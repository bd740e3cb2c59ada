"""A run's folder: its lock, the checks before anything is written to it, and its JSON files."""

import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vaelab.files import kind_of
from vaelab.typed_command import typed_command
from vaelab.whole_files import write_whole

FILES = 100_000  # the most files and folders of one run
DEPTH = 50  # the most folders inside each other
NAME, PATH = 255, 4096  # the most bytes that Linux allows for a name and for a path
ROOM = 512  # bytes of a path that are kept free for the files of a run
_held: dict[Path, ExitStack] = {}


def check_unused(folder: Path) -> None:
    """Raises a ValueError if a folder holds a run, which a new one would overwrite, or is a file."""
    if folder.is_file():
        raise ValueError(f"hydra.run.dir must be a folder, but {folder} is a file; choose another hydra.run.dir")
    if (folder / "metrics.json").exists() or any(folder.glob("checkpoints/*.ckpt")):
        raise ValueError(
            f"{folder} already holds a run; {typed_command()} resume={folder} resumes it, and another hydra.run.dir "
            "starts a new one"
        )


def check_length(folder: Path, key: str) -> None:
    """Raises a ValueError if a folder's path is too long for a run's files, or names a variable."""
    for part in folder.parts:
        if (length := len(os.fsencode(part))) > NAME:
            raise ValueError(f"{key} must be made of names of at most {NAME} bytes, but one has {length}; shorten it")
    if (length := len(os.fsencode(folder))) > PATH - ROOM:
        raise ValueError(f"{key} must be a path of at most {PATH - ROOM} bytes, but has {length}; shorten it")
    check_variables(folder, key)


def check_variables(folder: Path, key: str) -> None:
    """Raises a ValueError if a folder's path names a variable: TensorBoard would fill it in, and write elsewhere.

    Names such as `$HOME` are refused even if they are not set, because training itself sets some variables.
    """
    if os.path.expandvars(str(folder)) != str(folder) or re.search(r"\$\{?[A-Z][A-Z_]", str(folder)):
        raise ValueError(f"{key} must be a path without variables such as $HOME, but is {folder}; rename the folder")


@contextmanager
def locked(folder: Path, key: str = "hydra.run.dir") -> Iterator[None]:
    """Locks a run's folder. No other process can train in it until the block or the process ends.

    A folder that this process has locked with `hold` stays locked.

    Args:
        folder: the run's folder, which is made if it does not exist.
        key: the key that chooses the folder, for the errors.

    Raises:
        ValueError: another process has locked the folder.
        OSError: the folder cannot be written to.
    """
    if folder in _held:
        yield
        return
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not is_own(folder / ".lock"):
            raise ValueError(f"{folder / '.lock'} must be a file of only this folder, but is not; remove it")
        lock.acquire()
    except Timeout as error:
        raise ValueError(f"{folder} is in use by another process; wait for it, or choose another {key}") from error
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{folder} cannot be written to ({reason}); choose another {key}") from error
    try:
        yield
    finally:
        lock.release()


def hold(folder: Path) -> None:
    """Locks a folder until the process ends.

    Raises:
        ValueError, OSError: as for `locked`.
    """
    lock = ExitStack()
    lock.enter_context(locked(folder))
    _held[folder] = lock


def is_own(path: Path) -> bool:
    """True if a path is free, or an ordinary file without a second name. Locking a file empties it."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return True
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def check_own(folder: Path) -> None:
    """Checks a folder that may come from anyone, before its run is resumed and writes to it.

    Raises:
        ValueError: the folder holds a link, a pipe, a device, a file with a second name outside, or too many files.
    """
    waiting, seen = [folder], 0
    names: dict[tuple[int, int], list[os.stat_result]] = {}
    while waiting:
        for entry in os.scandir(waiting.pop()):
            seen, found = seen + 1, entry.stat(follow_symlinks=False)
            if seen > FILES:
                raise ValueError(f"{folder} must hold at most {FILES} files, but holds more, so it is not resumed")
            if stat.S_ISDIR(found.st_mode):
                inner = Path(entry.path)
                if len(inner.parts) - len(folder.parts) > DEPTH:
                    raise ValueError(
                        f"{folder} must hold at most {DEPTH} folders inside each other, but holds more, so it is not "
                        "resumed"
                    )
                if inner.suffix in (".json", ".part"):
                    raise ValueError(f"{inner} must be a file, but is a folder; remove it")
                waiting.append(inner)
            elif not stat.S_ISREG(found.st_mode):
                raise ValueError(
                    f"{entry.path} must be an ordinary file or folder, but is {kind_of(found)}, so nothing is written "
                    "into the run's folder; remove it, or put a copy of its content there"
                )
            elif found.st_nlink > 1:
                names.setdefault((found.st_dev, found.st_ino), []).append(found)
                shared = entry.path
    # last.ckpt and previous.ckpt may be the same file, and both names are inside.
    if any(found.st_nlink > len(group) for group in names.values() for found in group):
        raise ValueError(
            f"{shared} or another file of the run has a second name outside {folder}, so writing would change that "
            "file too; copy the folder with cp -r, and resume the copy"
        )


def sweep_up(folder: Path) -> None:
    """Removes the unfinished files of a process that was killed while it wrote to a run's folder."""
    for part in folder.rglob(".*.part"):
        if not part.is_dir() or part.is_symlink():
            part.unlink(missing_ok=True)


def in_use(folder: Path) -> bool:
    """True if a process trains in a folder."""
    lock = FileLock(folder / ".lock", timeout=0)
    if not os.path.lexists(lock.lock_file) or not is_own(folder / ".lock"):
        return False
    try:
        lock.acquire()
    except (Timeout, OSError) as error:
        return isinstance(error, Timeout)
    lock.release()
    return False


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes a JSON file. If that fails, the old file is unchanged."""
    write_whole(path, (json.dumps(dict(values), indent=2) + "\n").encode())


def write_metrics(folder: Path, metrics: Mapping[str, float]) -> None:
    """Writes `metrics.json`: the name of each curve -> its final value, in nats per example.

    JSON has no NaN, so a number that is not finite becomes null. Only callbacks log such numbers.
    """
    numbers = {tag: value if math.isfinite(value) else None for tag, value in metrics.items()}
    write_json(folder / "metrics.json", numbers)
