"""Files that are whole or as they were."""

import os
from pathlib import Path


def write_whole(path: Path, contents: bytes) -> None:
    """Writes a file by way of another name: who looks finds the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(contents)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
