"""Records the environment of a run: versions, command, machine."""

import json
import platform
import shlex
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vaelab.files import read_json
from vaelab.whole_files import write_whole

MOST = 100  # the most entries in the file
KEYS = 50  # the most keys of one entry


def write_environment(folder: Path, command: Sequence[str], threads: int) -> None:
    """Adds an entry to `environment.json` when a run starts or resumes: versions, command, git revision, machine."""
    import torch

    path = folder / "environment.json"
    try:
        before = read_json(path)
    except (OSError, ValueError):  # there is none yet, or it was edited by hand
        before = []
    packages = ("vaelab", "torch", "lightning", "hydra-core", "tensorboard", "numpy")
    entry = {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(command),
        "git": git_revision(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "machine": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "threads": threads,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
    kept = [each for each in before if _is_entry(each)][1 - MOST :] if isinstance(before, list) else []
    write_whole(path, (json.dumps([*kept, entry], indent=2) + "\n").encode())


def _is_entry(value: Any) -> bool:
    """True if a value looks like an entry: a small table of plain values and of tables of plain values."""
    return _is_table(value) and all(
        _is_plain(inner) or (_is_table(inner) and all(map(_is_plain, inner.values()))) for inner in value.values()
    )


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and len(value) <= KEYS


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


@cache
def git_revision() -> str | None:
    """Git's revision of the source, with `+` if the source has been changed; None outside a git checkout."""

    def git(*command: str) -> str:
        return subprocess.run(
            ["git", *command], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=5, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # vaelab may be installed inside another repository
        return git("describe", "--always", "--abbrev=40", "--dirty=+")
    except (OSError, subprocess.SubprocessError):
        return None
