"""TensorBoard's event files: how long they are, and how they are cut back to what a checkpoint knew of."""

import os
from pathlib import Path

from lightning.pytorch import Trainer

from vaelab.training.tensorboard import writers

FILES = "events.out.tfevents.*"


def flush(trainer: Trainer) -> None:
    """Puts every point so far into its file."""
    if trainer.is_global_zero:
        for writer in writers(trainer):
            writer.flush()


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of each event file in a run's folder, by its path there."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob(FILES)}


def rewind(folder: Path, known: dict[str, int]) -> None:
    """Cuts the event files of a run that is not running back to what was known of them.

    What came after will come again: each step is in the curves once.
    """
    for path in folder.rglob(FILES):
        if path.is_symlink() or not path.is_file():
            continue  # no run makes such a one
        if (size := known.get(str(path.relative_to(folder)))) is None:
            path.unlink()
        elif path.stat().st_size > size:
            os.truncate(path, size)
