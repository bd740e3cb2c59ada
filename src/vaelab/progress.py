"""Where a progress bar is drawn: on a terminal, and in a notebook."""

import io
import os
import sys
import warnings
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

    if is_notebook(sys.stdout):
        return tqdm(total=total, unit=" examples", leave=False, file=CellOutput(), ncols=NOTEBOOK_COLUMNS, delay=SOON)
    return tqdm(total=total, unit=" examples", leave=False, disable=not redraws(sys.stderr), delay=SOON)


class CellOutput(io.TextIOBase):
    """The output of a notebook's cell, in which a line that is overwritten leaves nothing behind.

    A program overwrites a line by a carriage return. A notebook that is saved by another program than Jupyter keeps all
    of them. So such a line is shown as an output of its own, which is replaced.
    """

    def __init__(self) -> None:
        self.line = ""  # the text since the last line break
        self.shown: Any = None  # the output that shows the overwritten line

    def write(self, text: str) -> int:
        """Prints whole lines, and shows the last state of a line that is overwritten."""
        given = self.line + text
        end = "\r" if given.endswith("\r") else ""  # what follows it decides if it belongs to a line break
        *lines, last = given.removesuffix(end).replace("\r\n", "\n").split("\n")
        for line in lines:
            if "\r" in line:
                self._show(line)
                self.shown = None
            else:
                print(line)
        if "\r" in last:
            self._show(last)
            last = last[last.rindex("\r") :]
        self.line = last + end
        return len(text)

    def close(self) -> None:
        """Prints the end of a text that has no line break at its end."""
        if self.line and "\r" not in self.line:
            print(self.line, end="", flush=True)
        self.line = ""

    def _show(self, line: str) -> None:
        from IPython.display import display

        state = {"text/plain": line.rpartition("\r")[2].rstrip()}
        if self.shown is not None:
            self.shown.update(state, raw=True)
        elif state["text/plain"]:
            self.shown = display(state, raw=True, display_id=True)


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return NOTEBOOK_COLUMNS


def import_bars_quietly() -> None:
    """Imports tqdm's bars before Lightning does, because in a notebook tqdm would warn that ipywidgets are missing.

    vaelab's own bar does not need them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tqdm.auto  # noqa: F401
