"""Handles TensorBoard's event files: measures them, cuts them back, and explains write errors."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILES = "events.out.tfevents.*"


@contextmanager
def explain_write_errors() -> Iterator[None]:
    """Turns an error of TensorBoard's writing thread into one sentence.

    Without it, the thread prints a traceback, and the next point of a curve raises the thread's error.

    Raises:
        OSError: an event file could not be written.
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


def event_file_sizes(folder: Path) -> dict[str, int]:
    """The bytes of each event file in a run's folder, by its path inside the folder."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob(FILES)}


def cut_event_files(folder: Path, sizes: dict[str, int]) -> None:
    """Cuts event files back to the sizes that a checkpoint recorded, and removes files that it did not record.

    The resumed run writes the later points again, so the curves hold each step once. The run must not be running.
    """
    for path in folder.rglob(FILES):
        if path.is_symlink() or not path.is_file():
            continue  # no run creates these
        if (size := sizes.get(str(path.relative_to(folder)))) is None:
            path.unlink()
        elif path.stat().st_size > size:
            os.truncate(path, size)
