"""Places panels in a figure, and keeps every text inside it."""

from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.figures.text_sizes import width_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

TICKS = 5  # the most spaces between ticks, because drawing ticks takes longer than everything else
BAR = 0.95  # inches beside a panel for its colour bar, with numbers and a name
DISTANCE = "distance from the prior's mean\n(its standard deviations)"  # the axis of a latent that moves
EDGE = 0.06  # inches between the outermost text and the edge of a picture


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
    ticks: int = TICKS,
    **options: Any,
) -> tuple["Figure", "np.ndarray[Any, Any]"]:
    """A figure and its axes (rows, columns), each `width` × `height` inches.

    The other lengths are the inches around and between the axes, and `ticks` is the most spaces between ticks.
    """
    from matplotlib.figure import Figure

    w = left + columns * width + (columns - 1) * across + right
    h = top + rows * height + (rows - 1) * down + bottom
    places = {"left": left / w, "right": 1 - right / w, "top": 1 - top / h, "bottom": bottom / h}
    places |= {"wspace": across / width, "hspace": down / height}
    figure = Figure(figsize=(w, h))
    axes = figure.subplots(rows, columns, squeeze=False, gridspec_kw=places, **options)
    for panel in axes.flat:
        panel.locator_params(nbins=ticks)
    return figure, axes


def grow_to_hold(figure: "Figure") -> None:
    """Makes a figure larger if a text does not fit into it. Axes keep their size in inches, and their distances."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    box = figure.get_tightbbox(FigureCanvasAgg(figure).get_renderer())
    width, height = figure.get_size_inches()
    left, bottom = max(EDGE - box.x0, 0.0), max(EDGE - box.y0, 0.0)
    w = left + max(width, box.x1 + EDGE)
    h = bottom + max(height, box.y1 + EDGE)
    if (w, h) == (width, height):
        return
    places = [(axes, axes.get_position()) for axes in figure.axes]
    texts = [(text, text.get_position()) for text in figure.texts]
    figure.set_size_inches(w, h)
    for axes, place in places:
        corner = (place.x0 * width + left) / w, (place.y0 * height + bottom) / h
        axes.set_position((*corner, place.width * width / w, place.height * height / h))
    for text, (x, y) in texts:
        text.set_position(((x * width + left) / w, (y * height + bottom) / h))


def thin_ticks(figure: "Figure") -> None:
    """Keeps every n-th tick of each axis, so that no two of its numbers or names touch."""
    width, height = figure.get_size_inches()
    for axes in figure.axes:
        box = axes.get_position()
        for axis, inches, along in ((axes.xaxis, box.width * width, True), (axes.yaxis, box.height * height, False)):
            if not axes.axison or not axis.get_visible() or not axis.get_tick_params().get("label1On", True):
                continue
            ends = sorted(axis.get_view_interval())
            places = np.asarray(axis.get_majorticklocs(), float)
            places = places[(places >= ends[0] - 1e-9) & (places <= ends[1] + 1e-9)]
            texts = axis.get_major_formatter().format_ticks(places.tolist())
            if len(places) > 1 and (step := _step(axis, places, texts, inches, along)) > 1:
                axis.set_ticks(places[::step], labels=texts[::step])


def _step(axis: Any, places: Any, texts: "Sequence[str]", inches: float, along: bool) -> int:
    """The least n for which every n-th tick has room for its text."""
    low, high = axis.get_transform().transform(axis.get_view_interval())
    at = inches * (axis.get_transform().transform(places) - low) / (high - low)
    order = np.argsort(at)
    label = axis.get_major_ticks(1)[0].label1
    upright, points = along and not label.get_rotation(), label.get_fontsize()
    for step in range(1, len(places)):
        middles = at[order][::step]
        lines = [texts[index].split("\n") for index in order[::step]]
        sizes = [max(width_of(line, points) for line in each) + 0.06 if upright else points / 72 for each in lines]
        if all(gap >= (a + b) / 2 for gap, a, b in zip(np.diff(middles), sizes, sizes[1:], strict=False)):
            return step
    return len(places)


def plain_numbers(axis: Any) -> None:
    """Writes numbers from 10,000 on as 10k, and others with four digits, so that they fit beside each other."""
    from matplotlib.ticker import EngFormatter, FuncFormatter

    large = EngFormatter(sep="")

    def written(value: float, place: int | None) -> str:
        return (large(value) if abs(value) >= 10_000 else f"{value:.4g}").replace("-", "−")

    axis.set_major_formatter(FuncFormatter(written))


def add_bar(figure: "Figure", panel: "Axes", colours: "ScalarMappable", label: str) -> Any:
    """Adds a colour bar to the right of a panel, within `BAR` inches, and returns it."""
    box, (w, _) = panel.get_position(), figure.get_size_inches()
    place = (box.x1 + 0.08 / w, box.y0, 0.11 / w, box.height)
    bar = figure.colorbar(colours, cax=figure.add_axes(place), label=label)
    bar.ax.locator_params(axis="y", nbins=TICKS)
    plain_numbers(bar.ax.yaxis)
    return bar


def grid_of(count: int, across: int = 2) -> tuple[int, int]:
    """(rows, columns) for `count` panels, with at most `across` in a row."""
    columns = min(count, across)
    return -(-count // columns), columns


def hide_rest(axes: "np.ndarray[Any, Any]", count: int) -> None:
    """Hides the panels after the first `count`."""
    for axis in axes.flat[count:]:
        axis.set_axis_off()


def spaced(places: "Sequence[float]", least: float) -> list[float]:
    """Moves numbers apart until neighbours differ by at least `least`. Their order and the mean of each group stay.

    >>> spaced([0.0, 0.0, 3.0], 1.0)
    [-0.5, 0.5, 3.0]
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    groups: list[tuple[float, int]] = []  # (middle, how many)
    for index in order:
        middle, count = float(places[index]), 1
        while groups and middle - groups[-1][0] < least * (count + groups[-1][1]) / 2:
            before, many = groups.pop()
            middle, count = (before * many + middle * count) / (many + count), many + count
        groups.append((middle, count))
    moved = [middle + least * (place - (count - 1) / 2) for middle, count in groups for place in range(count)]
    return [moved[order.index(index)] for index in range(len(places))]
