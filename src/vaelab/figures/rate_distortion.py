"""Runs in the rate–distortion plane."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.figures.colours import GREY
from vaelab.figures.comparison import Looks, Panel, mean_and_error, names_of_configurations, score_limits
from vaelab.figures.equal_elbo import draw_equal_elbo
from vaelab.figures.free_places import MARK, SIDE, Box, box_of, inches_of, is_free, places_around
from vaelab.figures.layout import panels
from vaelab.figures.picture import Picture
from vaelab.figures.text_sizes import TICK, fitting, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
LISTED = 40  # the most configurations that are listed below the plane; more are listed in the picture of rows
NAMES = 3.9  # the most inches of a name in the list
LINE = 0.19  # inches between the lines of the list
NEAR = 0.16  # inches; a line joins a point to a number that is farther away


@dataclass(frozen=True, eq=False)
class RateDistortion(Picture):
    """Every run in the rate–distortion plane (Alemi et al. 2018, fig. 1; arxiv.org/abs/1711.00464), nats.

    Along a dashed line, rate + distortion (the negative ELBO) is the same. Lower left is better. The number beside a
    mark is the place of its configuration in the table.

    Args:
        panels: a panel for each kind of score.
        keys: the keys that vary.
        listed_in: the picture that has the names, if there are too many for this one.
    """

    panels: tuple[Panel, ...]
    keys: tuple[str, ...]
    listed_in: str = "the table"

    def _draw(self) -> "Figure":
        looks = Looks(self.keys, [each for panel in self.panels for each in panel.configurations])
        counts = [len(panel.configurations) for panel in self.panels]
        notes = 2 if len(counts) > 1 else 0  # a single panel grows downwards
        lines = notes + max(count if count <= LISTED else 1 for count in counts)
        entries = sum(1 + len(values) for _, values in looks.entries)
        below = 0.6 + LINE * (lines + entries)
        space: dict[str, Any] = {"left": 0.8, "right": 0.75, "top": 0.8, "bottom": below, "down": below + 0.95}
        figure, axes = panels(len(self.panels), 1, SIDE, SIDE, **space)
        for (axis,), panel in zip(axes, self.panels, strict=True):
            points = _points(panel)
            _set_limits(axis, panel, points)
            for each, point in zip(panel.configurations, points, strict=True):
                if np.isfinite(point).all():
                    look = looks.of(each)
                    axis.plot(each.rate, each.distortion, ".", color=look["color"], ms=3, alpha=0.5)
                    axis.plot(*point[:, None], **look | {"ms": 6}, alpha=0.9)
            repeats = "; dots: runs; marks: means over seeds" if panel.repeats else ""
            missing = _write_numbers(axis, points, draw_equal_elbo(axis, panel, points))
            axis.set(xlabel="rate: KL(q(z|x) ‖ p(z)), nats", ylabel="distortion: −E log p(t|z), nats")
            title = "\n".join([*wrap(panel.title, 50)[:2], "dashed: equal ELBO" + repeats])
            axis.set_title(title, fontsize=TICK, pad=6)
            self._list(axis, panel, looks, missing)
        return figure

    def _list(self, axis: "Axes", panel: Panel, looks: Looks, notes: Sequence[str]) -> None:
        """Lists below a panel what colours, marks and numbers mean."""
        figure: Any = axis.figure
        inches = axis.get_position().height * figure.get_size_inches()[1]
        lines: list[tuple[str, dict[str, Any]]] = []
        for title, values in looks.entries:
            lines.append((title, {}))
            lines += [(value, {"color": GREY, "marker": "o", "ls": ""} | style) for value, style in values]
        shown = panel.configurations if len(panel.configurations) <= LISTED else ()
        names = names_of_configurations(self.keys, [each.values for each in shown], NAMES) if shown else []
        lines += [(f"{place}  {name}", {}) for place, name in enumerate(names, start=1)]
        lines += [] if shown else [(f"numbers: the rows of {self.listed_in}", {})]
        lines += [(note, {}) for note in notes]
        titles = {title for title, _ in looks.entries}
        for row, (text, look) in enumerate(lines):
            y = -(0.6 + LINE * row) / inches
            if look:
                axis.plot([0.0], [y], **look, transform=axis.transAxes, clip_on=False)
            bold: dict[str, Any] = {"weight": "bold"} if text in titles and not look else {}
            x = 0.05 if look else -0.15
            text = fitting(text, NAMES + 0.4, TICK)
            axis.text(x, y, text, transform=axis.transAxes, va="center", fontsize=TICK, **bold)


def _points(panel: Panel) -> Array:
    """The mean rate and distortion of each configuration, (m, 2)."""
    each = [(mean_and_error(one.rate)[0], mean_and_error(one.distortion)[0]) for one in panel.configurations]
    return np.array(each).reshape(-1, 2)


def _set_limits(axis: "Axes", panel: Panel, points: Array) -> None:
    """Limits that hold nearly all runs, and the ceiling if it is near."""
    finite = points[np.isfinite(points).all(1)]
    finite = finite if len(finite) else np.zeros((1, 2))
    for column in (1, 0):  # a run that lies outside along one axis does not count for the other
        low, high = (-end for end in score_limits(-finite[:, column], [])[::-1])
        finite = finite[(finite[:, column] >= low) & (finite[:, column] <= high)]
    (low_x, high_x), (low_y, high_y) = ((-high, -low) for low, high in (score_limits(-each, []) for each in finite.T))
    if np.isfinite(panel.ceiling):
        wanted = -panel.ceiling - low_x - 0.1 * (high_x - low_x)
        if wanted < low_y and high_y - wanted < 3 * (high_y - low_y):
            low_y = wanted
    axis.set(xlim=(low_x, high_x), ylim=(low_y, high_y))


def _write_numbers(axis: "Axes", points: Array, boxes: Sequence[Box]) -> list[str]:
    """Writes 1, 2, … beside points, outside of these boxes, and returns notes about those that are missing."""
    at = inches_of(axis, points)
    inside = np.isfinite(at).all(1) & (at >= 0).all(1) & (at <= SIDE).all(1)
    taken = [*(box_of(point, MARK, MARK) for point in at[inside]), *boxes]
    missing = 0
    for index in np.flatnonzero(inside):
        text = str(index + 1)
        width, height = width_of(text, TICK) + 0.02, TICK / 72 * 1.2
        for distance, box in places_around(at[index], width, height):
            if is_free(box, taken):
                taken.append(box)
                middle = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]) / SIDE
                look: dict[str, Any] = {"ha": "center", "va": "center_baseline", "fontsize": TICK}
                axis.text(middle[0], middle[1], text, transform=axis.transAxes, **look)
                if distance > NEAR:
                    point = at[index] / SIDE
                    end = middle + (point - middle) * MARK / distance
                    axis.plot(*np.stack([point, end]).T, color=GREY, lw=0.5, transform=axis.transAxes, zorder=1)
                break
        else:
            missing += 1
    outside = [str(index + 1) for index in np.flatnonzero(~inside)]
    some = ", ".join(outside[:6]) + (f" and {len(outside) - 6} more" if len(outside) > 6 else "")
    notes = [f"outside: {some}"] if outside else []
    return [*notes, f"no room for {missing} more numbers"] if missing else notes
