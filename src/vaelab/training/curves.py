"""TensorBoard's event files: how long they are, how they are cut back, and what happens if the disk is full."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch import Trainer

from vaelab.training.tensorboard import writers

FILES = "events.out.tfevents.*"


@contextmanager
def written_or_said() -> Iterator[None]:
    """Ends in one sentence if an event file cannot be written.

    TensorBoard writes in a thread. If that fails, the thread would print a traceback, which is left out here, and
    the next point raises the thread's error.

    Raises:
        OSError: inside, an event file could not be written.
    """
    failed: list[BaseException | None] = []
    print_traceback = threading.excepthook

    def keep(arguments: threading.ExceptHookArgs) -> None:
        if type(arguments.thread).__module__.startswith("tensorboard."):
            failed.append(arguments.exc_value)
        else:
            print_traceback(arguments)

    threading.excepthook = keep
    try:
        yield
    except OSError as error:
        if error not in failed:
            raise
        raise OSError(
            f"the curves cannot be written ({error.strerror or error}); make room, then resume the run"
        ) from error
    finally:
        threading.excepthook = print_traceback


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
