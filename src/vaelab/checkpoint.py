"""Checkpoints on disk: written whole, read as data, and known when they are broken."""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from vaelab.files import write_whole


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Writes a checkpoint that is either whole or as it was.

    Raises:
        OSError: it cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(path, buffer.getbuffer())


def read_checkpoint(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """A checkpoint's content: tensors and plain containers, nothing that runs (`weights_only=True`).

    Where its run's folder has been moved, the paths inside it are those of now.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a checksum in it does not fit, or it is no checkpoint.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load looks at no checksum
            if any(record.file_size > record.compress_size for record in archive.infolist()):
                raise ValueError("it holds more than its size, and no checkpoint is compressed")
            if broken := archive.testzip():
                raise ValueError(f"the checksum of {broken} does not fit")
        content = torch.load(path, map_location=map_location, weights_only=True)
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}")
    except FileNotFoundError:
        raise
    except Exception as error:  # zipfile and torch raise what the broken part of the file leads to
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "it ends early"
        raise ValueError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}: {reason}); use another of the run's "
            "checkpoints, or train it again"
        ) from error
    config = content.get("hyper_parameters")
    before = config.get("folder") if isinstance(config, dict) else None
    if isinstance(before, str) and path.parent.name == "checkpoints":
        for key in {"hyper_parameters", "callbacks"} & content.keys():
            content[key] = _moved(content[key], {before, os.path.realpath(before)}, str(path.resolve().parent.parent))
    return content


def _moved(value: Any, before: set[str], now: str) -> Any:
    """Plain containers with one folder's path in place of another's, in keys too."""
    if isinstance(value, dict):
        return {_moved(key, before, now): _moved(inner, before, now) for key, inner in value.items()}
    if isinstance(value, list):
        return [_moved(inner, before, now) for inner in value]
    for folder in before:
        if isinstance(value, str) and (value == folder or value.startswith(folder + os.sep)):
            return now + value[len(folder) :]
    return value
