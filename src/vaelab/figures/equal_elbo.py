"""Lines of equal ELBO in the rate–distortion plane, with their values."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.figures.colours import GREY
from vaelab.figures.comparison import Panel
from vaelab.figures.free_places import MARK, SIDE, Box, box_of, inches_of, is_free
from vaelab.figures.landmarks import STYLES, number
from vaelab.figures.text_sizes import TICK, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray[Any, Any]
CEILING: Any = STYLES["ceiling"] | {"lw": 1.3}
OTHERS: Any = {"color": GREY, "ls": "--", "lw": 0.7}


def draw_equal_elbo(axis: "Axes", panel: Panel, points: Array) -> list[Box]:
    """Draws lines of equal ELBO and the ceiling, with their values beside the panel, or on the line.

    A line without room for its value is left out, unless it is the ceiling.

    Args:
        axis: a square panel whose limits are final.
        panel: the runs.
        points: (m, 2), the marks that no value may cover.

    Returns:
        The boxes of the values inside the panel, in inches.
    """
    marks = [box_of(point, MARK, MARK) for point in inches_of(axis, points[np.isfinite(points).all(1)])]
    left = axis.get_xlim()[0]
    taken: list[Box] = []
    for total, text, is_ceiling in _totals(axis, panel):
        beside = _height_of_right_end(axis, total)
        words: dict[str, Any] = {"color": "black" if is_ceiling else GREY, "fontsize": TICK, "va": "center"}
        box = None
        if 0.02 <= beside <= 0.98:
            axis.text(1.02, beside, text, transform=axis.transAxes, **words)
        elif (box := _place_on_line(axis, total, text, [*taken, *marks])) is not None:
            x, y = (box[0] + box[2]) / 2 / SIDE, (box[1] + box[3]) / 2 / SIDE
            cover = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
            axis.text(x, y, text, transform=axis.transAxes, ha="center", bbox=cover, zorder=1, **words)
            taken.append(box)
        elif not is_ceiling:
            continue
        axis.axline((left, total - left), slope=-1, zorder=0.5, **(CEILING if is_ceiling else OTHERS))
    return taken


def _totals(axis: "Axes", panel: Panel) -> list[tuple[float, str, bool]]:
    """(rate + distortion, its text, True for the ceiling) of each line that crosses the panel, the ceiling first."""
    from matplotlib.ticker import MaxNLocator

    first, last = (x + y for x, y in zip(axis.get_xlim(), axis.get_ylim(), strict=True))
    lines = [(float(total), f"{-total:g}", False) for total in MaxNLocator(6).tick_values(first, last)]
    if np.isfinite(panel.ceiling):
        near = 0.09 * (last - first)
        lines = [line for line in lines if line[0] + panel.ceiling > near]  # no run surpasses the ceiling
        lines.insert(0, (-panel.ceiling, f"ceiling {number(panel.ceiling)}", True))
    return [(total, text.replace("-", "−"), best) for total, text, best in lines if first < total < last]


def _height_of_right_end(axis: "Axes", total: float) -> float:
    """Where a line leaves the panel through its right side, as a share of its height; not in 0..1 if it does not."""
    low, high = axis.get_ylim()
    return (total - axis.get_xlim()[1] - low) / (high - low)


def _place_on_line(axis: "Axes", total: float, text: str, taken: Sequence[Box]) -> Box | None:
    """A free box on a line, or just above it; None if there is none."""
    (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
    x = np.linspace(max(left, total - high), min(right, total - low), 21)[::-1]
    middles = inches_of(axis, np.stack([x, total - x], axis=1))
    width, height = width_of(text, TICK) + 0.04, TICK / 72 * 1.2
    for shift in (0.0, 0.5, 1.0):
        for middle in middles:
            box = box_of(middle + shift * np.array([width, height]), width, height)
            if is_free(box, taken):
                return box
    return None
