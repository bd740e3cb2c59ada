"""Writes, reads and removes checkpoint files for Lightning."""

import os
from pathlib import Path
from typing import Any

from lightning.pytorch.plugins.io import TorchCheckpointIO

from vaelab.checkpoint import read_checkpoint, write_checkpoint


class CheckpointIO(TorchCheckpointIO):
    """Writes each file whole or not at all, checks checksums, and reads files as data: nothing in them runs.

    Args:
        folder: the run's folder. No link inside it is followed.
        start: the checkpoint that the run resumes from.
        content: the content of `start`. It has been checked, so Lightning gets it and does not read the file again. A
            resumed run may come from anyone, so it writes and removes checkpoints only in its own folder. A new run is
            the user's own, and its checkpoints may be elsewhere.
    """

    def __init__(
        self, folder: Path | None = None, start: Path | None = None, content: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.folder = folder
        self.start, self.content = start, content
        self.is_resumed = content is not None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Writes a checkpoint.

        Raises:
            ValueError: the path lies outside the folder of a resumed run.
        """
        path = self._checked(path)
        self.start = self.content = None  # from now on, the files are newer
        write_checkpoint(path, checkpoint, self.folder if self._is_inside(path) else None)

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        """Reads a checkpoint as data, for any `weights_only`. It does not read `start` again."""
        if self.content is not None and Path(path) == self.start:
            return self.content
        return read_checkpoint(Path(path), map_location)

    def remove_checkpoint(self, path: Any) -> None:
        """Removes one checkpoint file. It never removes a folder, even if a checkpoint's state names one.

        Raises:
            ValueError: the path lies outside the folder of a resumed run.
        """
        path = self._checked(path)
        if path.suffix == ".ckpt" and path.is_file():
            path.unlink()

    def _checked(self, path: Any) -> Path:
        path = Path(os.path.normpath(path))
        if self.is_resumed and not self._is_inside(path):
            raise ValueError(
                f"a resumed run must keep its checkpoints in its own folder, but {path} is outside {self.folder}; "
                "train a new run"
            )
        return path

    def _is_inside(self, path: Path) -> bool:
        return self.folder is not None and path.is_relative_to(self.folder)
