"""The base class of all pictures: arrays with names, and how to draw them."""

import io
import os
import sys
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.escapes import for_terminal, short
from vaelab.whole_files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

DPI = 100
LONGEST_NAME = 30  # the most letters in a name
TICKS = 5  # the most spaces between ticks, because drawing ticks takes longer than everything else
BAR = 0.95  # inches beside a panel for its colour bar, with numbers and a name
STYLE: Any = {
    "font.size": 10.5,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10.5,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.titley": 1.0,  # otherwise each title measures all labels around it, which takes a fifth of the time
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,  # a $ in the name of a column or a key does not start a formula
    "text.usetex": False,  # even if the user's matplotlibrc sets it: LaTeX would take seconds for each picture
}
# Petroff's ten colours (arxiv.org/abs/2107.02270), which people with colour-vision deficiencies can tell apart.
PALETTE = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
BLUE, ORANGE, GREY = PALETTE[0], PALETTE[6], PALETTE[8]
SEQUENTIAL = "viridis"
DIVERGING = "PuOr_r"


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


@dataclass(frozen=True, eq=False)
class Picture(ABC):
    """Arrays and names, ready to be drawn. A picture can be pickled, so another process can draw it."""

    @abstractmethod
    def _draw(self) -> "Figure": ...

    def draw(self) -> "Figure":
        """Draws the picture as a new matplotlib figure, without pyplot."""
        matplotlib = import_matplotlib()
        with matplotlib.rc_context(STYLE):
            return self._draw()

    def render(self, dpi: float = DPI, format: str = "png") -> bytes:
        """Draws the picture and returns the contents of an image file."""
        matplotlib = import_matplotlib()
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        figure, buffer = self.draw(), io.BytesIO()
        with matplotlib.rc_context(STYLE):
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


def panels(
    rows: int,
    columns: int,
    width: float,
    height: float,
    *,
    left: float = 0.8,
    right: float = 0.15,
    top: float = 0.4,
    bottom: float = 0.6,
    across: float = 0.85,
    down: float = 0.7,
    **options: Any,
) -> tuple["Figure", "np.ndarray[Any, Any]"]:
    """A figure and its axes (rows, columns), each `width` × `height` inches.

    The other lengths are the inches around and between the axes. Matplotlib's own layouts measure every label. That
    takes as long as drawing itself, which is too long at the end of a run.
    """
    from matplotlib.figure import Figure

    w = left + columns * width + (columns - 1) * across + right
    h = top + rows * height + (rows - 1) * down + bottom
    places = {"left": left / w, "right": 1 - right / w, "top": 1 - top / h, "bottom": bottom / h}
    places |= {"wspace": across / width, "hspace": down / height}
    figure = Figure(figsize=(w, h))
    axes = figure.subplots(rows, columns, squeeze=False, gridspec_kw=places, **options)
    for panel in axes.flat:
        panel.locator_params(nbins=TICKS)
    return figure, axes


def add_bar(figure: "Figure", panel: "Axes", colours: "ScalarMappable", label: str) -> None:
    """Adds a colour bar to the right of a panel, within `BAR` inches."""
    box, (w, _) = panel.get_position(), figure.get_size_inches()
    place = (box.x1 + 0.08 / w, box.y0, 0.11 / w, box.height)
    figure.colorbar(colours, cax=figure.add_axes(place), label=label).ax.locator_params(axis="y", nbins=TICKS)


def grid_of(count: int, across: int = 2) -> tuple[int, int]:
    """(rows, columns) for `count` panels, with at most `across` in a row."""
    columns = min(count, across)
    return -(-count // columns), columns


def hide_rest(axes: "np.ndarray[Any, Any]", count: int) -> None:
    """Hides the panels after the first `count`."""
    for axis in axes.flat[count:]:
        axis.set_axis_off()


def subscript(letter: str, index: int) -> str:
    """("z", 0) -> z₁."""
    return letter + str(index + 1).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def names_of(names: tuple[str, ...] | None, count: int, letter: str = "t") -> tuple[str, ...]:
    """The names of `count` target dimensions as text for a picture: those given, or t₁, t₂, …"""
    if not names or len(names) != count:
        return tuple(subscript(letter, index) for index in range(count))
    return tuple(short(for_terminal(name), LONGEST_NAME) for name in names)


def shortened(text: str, longest: int) -> str:
    """Removes the middle of a text that is too long, because names mostly differ at their ends.

    >>> shortened("a_long_name_of_a_model_7", 12)
    'a_long…del_7'
    """
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[half - longest + 1 :]}"


def first_of(shown: int, count: int) -> str:
    """A remark for a title that not all dimensions are shown; empty if all are."""
    return f" (first {shown} of {count} dimensions)" if shown < count else ""
