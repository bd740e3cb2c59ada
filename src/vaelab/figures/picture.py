"""The base class of all pictures: arrays with names, and how to draw them."""

import io
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.figures.layout import grow_to_hold, thin_ticks
from vaelab.figures.text_sizes import LABEL, TICK, TITLE, installed_fonts, quiet_about_letters
from vaelab.whole_files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 140
STYLE: Any = {
    "font.size": LABEL,
    "axes.titlesize": TITLE,
    "axes.labelsize": LABEL,
    "figure.titlesize": TITLE,
    "xtick.labelsize": TICK,
    "ytick.labelsize": TICK,
    "legend.fontsize": TICK,
    "legend.title_fontsize": TICK,
    "legend.frameon": False,
    "axes.titley": 1.0,  # otherwise each title measures all labels around it, which takes a fifth of the time
    "axes.formatter.useoffset": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,  # a $ in the name of a column or a key does not start a formula
}


def import_matplotlib() -> Any:
    """Imports matplotlib without MPLBACKEND, because a notebook's backend may be missing here, and files need none."""
    if "matplotlib" in sys.modules:
        return sys.modules["matplotlib"]
    named = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib

        if named:
            with suppress(ValueError):  # there is no such backend
                matplotlib.rcParams["backend"] = named
    finally:
        if named:
            os.environ["MPLBACKEND"] = named
    return matplotlib


@contextmanager
def style() -> Iterator[None]:
    """The style of all pictures. Within it, the user's matplotlibrc and style sheets have no effect."""
    matplotlib = import_matplotlib()
    with matplotlib.rc_context(), quiet_about_letters():
        matplotlib.rcdefaults()  # keeps the backend
        matplotlib.rcParams.update(STYLE | {"font.family": installed_fonts()})
        yield


@dataclass(frozen=True, eq=False)
class Picture(ABC):
    """Arrays and names, ready to be drawn. A picture can be pickled, so another process can draw it."""

    @abstractmethod
    def _draw(self) -> "Figure": ...

    def draw(self) -> "Figure":
        """Draws the picture as a new matplotlib figure, without pyplot."""
        with style():
            figure = self._draw()
            thin_ticks(figure)
            grow_to_hold(figure)
            return figure

    def render(self, dpi: float = DPI, format: str = "png") -> bytes:
        """Draws the picture and returns the contents of an image file."""
        with style():
            from matplotlib.backends.backend_agg import FigureCanvasAgg

            figure, buffer = self.draw(), io.BytesIO()
            if format == "png":  # savefig would draw everything twice
                figure.set_dpi(dpi)
                FigureCanvasAgg(figure).print_png(buffer, pil_kwargs={"compress_level": 3})
            else:
                figure.savefig(buffer, format=format, dpi=dpi)
        return buffer.getvalue()

    def save(self, path: str | Path, dpi: float = DPI) -> None:
        """Writes a complete image file, or none if it fails. Its ending chooses the format (.png .pdf .svg)."""
        path = Path(path)
        write_whole(path, self.render(dpi, path.suffix.lstrip(".").lower() or "png"))

    def is_finite(self) -> bool:
        """True if all arrays hold only finite numbers. If a run has diverged, they don't."""
        arrays = (getattr(self, field.name) for field in fields(self))
        return all(np.isfinite(array).all() for array in arrays if isinstance(array, np.ndarray))
