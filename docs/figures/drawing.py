"""What the figures of the option pages share: one size, one style, and few colours, so that the files stay small."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

from vaelab.figures.colours import PALETTE

DPI, COLOURS = 100, 64
STYLE = {
    "axes.prop_cycle": matplotlib.cycler(color=PALETTE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "legend.frameon": False,
}


def axes(columns: int = 1, titles: Sequence[str] = (), size: tuple[float, float] = (6.4, 2.8)) -> tuple[Figure, Any]:
    """A figure and its axes in one row: one Axes, or an array of them."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        made = figure.subplots(1, columns)
        for ax, title in zip(figure.axes, titles, strict=False):
            ax.set_title(title, fontsize=9)
    return figure, made


def png(figure: Figure) -> bytes:
    """The figure as a small PNG."""
    drawn, small = io.BytesIO(), io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(drawn, format="png", dpi=DPI)
    Image.open(drawn).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return small.getvalue()
