"""A matplotlib figure that a notebook shows without pyplot."""

import io

from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """A figure that shows itself as the last value of a notebook's cell, whatever MPLBACKEND is.

    Jupyter shows a plain `Figure` only if pyplot has been imported. This one gives Jupyter a PNG.
    """

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=self.dpi)
        return buffer.getvalue()


def for_notebook(figure: Figure) -> NotebookFigure:
    """The same figure, as a `NotebookFigure`."""
    figure.__class__ = NotebookFigure
    assert isinstance(figure, NotebookFigure)
    return figure
