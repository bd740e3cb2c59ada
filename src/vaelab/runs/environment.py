"""What a run was made with."""

import json
import platform
import shlex
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import version
from pathlib import Path

from vaelab.files import read_json, write_whole


def write_environment(folder: Path, command: Sequence[str], threads: int) -> None:
    """Adds to `environment.json` what started or went on with a run: versions, command, git revision, machine."""
    import torch

    path = folder / "environment.json"
    try:
        before = read_json(path)
    except (OSError, ValueError):  # there is none yet, or someone has edited it
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
    write_whole(path, (json.dumps([*(before if isinstance(before, list) else []), entry], indent=2) + "\n").encode())


@cache
def git_revision() -> str | None:
    """Of the source, with `+` where it has been changed; None outside a git checkout."""

    def git(*command: str) -> str:
        return subprocess.run(
            ["git", *command], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=5, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # not the repository of whoever installed vaelab in it
        return git("describe", "--always", "--abbrev=40", "--dirty=+")
    except (OSError, subprocess.SubprocessError):
        return None
