"""Where a progress bar is drawn: on a terminal, and in a notebook."""

import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

DRAWN = "VAELAB_DRAW_PROGRESS"  # in the environment of a run whose output is shown as it comes
NOTEBOOK_COLUMNS = 100  # the width of a bar in a notebook, which has no fixed width
SOON = 1.0  # seconds until the bar of an evaluation appears


def redraws(stream: TextIO) -> bool:
    """True if a carriage return on a stream goes back to the start of the line, so a bar updates in place."""
    return os.environ.get(DRAWN) == "1" or is_notebook(stream) or bool(getattr(stream, "isatty", bool)())


def is_notebook(stream: TextIO) -> bool:
    """True if a stream is the output of a cell in a notebook."""
    return type(stream).__module__.startswith("ipykernel.")


def environment_of_a_run(stream: TextIO) -> dict[str, str]:
    """The variables that make a run draw its bar, if its output is shown on this stream; empty if it must not."""
    if not redraws(stream):
        return {}
    columns = NOTEBOOK_COLUMNS if is_notebook(stream) else _columns(stream)
    return {DRAWN: "1", "COLUMNS": str(columns)}


def examples_bar(total: int) -> "tqdm[Any]":
    """A bar that counts examples. It appears only if the work takes longer than a second."""
    from tqdm import tqdm

    stream = sys.stdout if is_notebook(sys.stdout) else sys.stderr
    columns = NOTEBOOK_COLUMNS if is_notebook(stream) else None
    hidden = not redraws(stream)
    return tqdm(total=total, unit=" examples", leave=False, disable=hidden, file=stream, ncols=columns, delay=SOON)


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return NOTEBOOK_COLUMNS
