"""Pictures of many runs: a score over a key that varies, and the rate–distortion plane."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.figures.picture import GREY, PALETTE, Picture, panels, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
MARKS = "osD^vP*X<>"
LINES = ("-", "--", ":", "-.")
LETTER = 0.075  # the width of a small letter in inches
SPREAD = 0.25  # how far several lines at one name spread to each side, if names are 1 apart
LABEL, TICK = 56, 28  # the most letters in a legend's entry and in a tick's name
NAMED = 24  # the most names beside runs in the rate–distortion plane
ENTRIES, TICKS = 30, 40  # the most legend entries and ticks, so that a picture can show thousands of configurations


@dataclass(frozen=True, eq=False)
class Line:
    """Runs of one configuration.

    Args:
        label: its name.
        x: (n,), the place of each run along the key that varies.
        y: (n,), its score, nats.
        rate, distortion: (n,), its KL and its −E log p(t|z), nats.
    """

    label: str
    x: Array
    y: Array
    rate: Array
    distortion: Array


@dataclass(frozen=True, eq=False)
class Panel:
    """Runs with scores that can be compared."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, eq=False)
class ScoreOver(Picture):
    """A score over a key that varies. Every run is a dot, and a line for each configuration joins the means over seeds.

    The band is the mean ± one standard error, which contains the mean over infinitely many seeds in 50, 58, 63 and 66 %
    of cases at 2, 3, 5 and 10 seeds. A 95 % interval of two seeds would be 13 times as wide, and hide everything else.

    Args:
        panels: a panel for each kind of number, because densities and probabilities must not share an axis.
        name: the name of the key that varies.
        score: the name of the score.
        legend: the keys in which the lines differ.
        ticks: the names of the places 0, 1, …, if the values of the key are not numbers.
    """

    panels: tuple[Panel, ...]
    name: str
    score: str
    legend: str = ""
    ticks: tuple[str, ...] = ()

    def _draw(self) -> "Figure":
        names = [shortened(name, TICK) for name in self.ticks]
        tilted = sum(map(len, names)) * LETTER > 4
        room = LETTER * max(map(len, names)) if tilted else 0.0
        figure, axes = _panels_with_legends(self.panels, entries=0, room=room)
        for axis, panel in zip(axes, self.panels, strict=True):
            shifts = np.linspace(-1, 1, len(panel.lines) + 2)[1:-1] * (SPREAD if self.ticks else 0.0)
            looks = zip(_styled(panel, self.panels), shifts, strict=True)
            repeated = [self._draw_line(axis, line, style, shift) for (line, style), shift in looks]
            if self.ticks:
                step = -(-len(names) // TICKS)
                axis.set_xticks(range(0, len(names), step), names[::step], rotation=90 if tilted else 0)
                axis.set_xlim(-0.5, len(names) - 0.5)
            else:
                _ticks_at(axis, np.unique(np.concatenate([line.x for line in panel.lines])))
            axis.set(xlabel=self.name, ylabel=f"{self.score}, nats per example")
            means = "mark and bar" if self.ticks else "line and band"
            subtitle = f"dots: runs; {means}: mean ± standard error over seeds" if any(repeated) else ""
            _finish(axis, panel, self.legend, room, subtitle)
        return figure

    def _draw_line(self, axis: Any, line: Line, style: dict[str, Any], shift: float) -> bool:
        """Draws runs and their means. Returns True if any place has several runs.

        Names have no order, so their means are not joined, and `shift` keeps several lines apart.
        """
        places, groups = _by_place(line, line.y)
        means, errors = map(np.array, zip(*map(_mean_and_error, groups), strict=True))
        if self.ticks:
            axis.errorbar(places + shift, means, errors if errors.any() else None, **style | {"ls": ""})
        else:
            if errors.any():
                axis.fill_between(places, means - errors, means + errors, color=style["color"], alpha=0.2, lw=0)
            axis.plot(places, means, **style)
        axis.plot(line.x + shift, line.y, ".", color=style["color"], ms=4, alpha=0.6)
        return max(map(len, groups)) > 1


@dataclass(frozen=True, eq=False)
class RateDistortion(Picture):
    """Every run in the rate–distortion plane (Alemi et al. 2018, fig. 1; arxiv.org/abs/1711.00464), nats.

    Along a dashed line, rate + distortion (the negative ELBO) is the same. Lower left is better.

    Args:
        panels: a panel for each kind of number.
        legend: the keys in which the marks differ.
        names: (place, name) of each value of the key that varies. Each name is written beside a run in the middle of
            its place, once for each line, or once for all lines if that would be too many names.
    """

    panels: tuple[Panel, ...]
    legend: str = ""
    names: tuple[tuple[float, str], ...] = ()

    def _draw(self) -> "Figure":
        figure, axes = _panels_with_legends(self.panels, entries=1)
        names = dict(self.names)
        for axis, panel in zip(axes, self.panels, strict=True):
            for line, style in _styled(panel, self.panels):
                axis.plot(line.rate, line.distortion, **style | {"ls": ""}, alpha=0.8)
            for place, rate, distortion in _in_the_middle(panel.lines):
                if place in names:
                    self._write(axis, names[place], rate, distortion)
            axis.margins(0.1)
            (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
            for total in np.linspace(left + low, right + high, 9)[1:-1]:
                axis.axline((left, total - left), slope=-1, color=GREY, lw=0.6, ls="--", zorder=0)
            axis.plot([], [], color=GREY, lw=0.6, ls="--", label="equal ELBO")
            axis.set(xlim=(left, right), ylim=(low, high), xlabel="rate: KL(q(z|x) ‖ p(z)), nats")
            axis.set(ylabel="distortion: −E log p(t|z), nats")
            _finish(axis, panel, self.legend)
        return figure

    @staticmethod
    def _write(axis: Any, name: str, rate: float, distortion: float) -> None:
        """Writes a name beside a run, on the side with more room."""
        left = rate > sum(axis.get_xlim()) / 2
        side = {"ha": "right" if left else "left", "xytext": (-4 if left else 4, 4), "textcoords": "offset points"}
        axis.annotate(shortened(name, TICK), (rate, distortion), fontsize=8, zorder=5, **side)


def _panels_with_legends(shown: tuple[Panel, ...], entries: int, room: float = 0.0) -> tuple["Figure", Any]:
    """Panels with room (in inches) for the names of ticks, and for the longest legend and some additional entries."""
    longest = entries + max(min(sum(bool(line.label) for line in panel.lines), ENTRIES + 1) for panel in shown)
    bottom = room + (0.95 + 0.2 * longest if longest else 0.6)
    figure, axes = panels(1, len(shown), 4.6, 3.2, left=0.9, bottom=bottom, top=0.75)
    return figure, axes[0]


def _styled(panel: Panel, shown: tuple[Panel, ...]) -> Iterator[tuple[Line, dict[str, Any]]]:
    """Each line with its look and legend entry. A label has the same colour, mark and dash in every panel."""
    places = {label: place for place, label in enumerate(dict.fromkeys(line.label for p in shown for line in p.lines))}
    more = len(panel.lines) - ENTRIES
    for number, line in enumerate(panel.lines):
        index = places[line.label]
        entry = shortened(line.label, LABEL) if number < ENTRIES else f"and {more} more" if number == ENTRIES else ""
        more_colours = index // len(PALETTE)  # a colour that is used again gets another mark and dash
        look = {"color": PALETTE[index % len(PALETTE)], "marker": MARKS[(index + more_colours) % len(MARKS)], "ms": 5}
        yield line, look | {"ls": LINES[more_colours % len(LINES)], "label": entry or "_nolegend_"}


def _in_the_middle(lines: Sequence[Line]) -> Iterator[tuple[float, float, float]]:
    """(place, rate, distortion) of a run in the middle of each place, for each line or for all lines together."""
    if sum(len(np.unique(line.x)) for line in lines) > NAMED:
        x, rate, distortion = np.concatenate([(line.x, line.rate, line.distortion) for line in lines], axis=1)
        lines = [Line("", x, x, rate, distortion)]
    for line in lines:
        for place in np.unique(line.x):
            here = np.flatnonzero((line.x == place) & np.isfinite(line.rate + line.distortion))
            if here.size:
                run = here[np.abs(line.rate[here] - line.rate[here].mean()).argmin()]
                yield place, line.rate[run], line.distortion[run]


def _by_place(line: Line, values: Array) -> tuple[Array, list[Array]]:
    places = np.unique(line.x)
    return places, [values[line.x == place] for place in places]


def _mean_and_error(values: Array) -> tuple[float, float]:
    """The mean and the standard error, which is 0 for a single value."""
    return values.mean(), values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0


def _ticks_at(axis: Any, places: Array) -> None:
    """Sets ticks at the runs. The axis is logarithmic if the largest place is at least 8 times the smallest."""
    if places.min() > 0 and places.max() / places.min() >= 8:
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter("")
    if len(places) <= 10:
        axis.set_xticks(places, [f"{place:g}" for place in places])
        axis.set_xticks([], minor=True)


def _finish(axis: Any, panel: Panel, legend: str, room: float = 0.0, subtitle: str = "") -> None:
    """Adds the title above a panel, and the legend below it."""
    lines = wrap(panel.title, 52)
    axis.set_title("\n".join([*lines[:2], *([subtitle] if subtitle else [])]), fontsize=9.5)
    height = axis.get_position().height * axis.figure.get_size_inches()[1]
    if any(axis.get_legend_handles_labels()[1]):
        title = shortened(legend, LABEL)
        axis.legend(title=title, loc="upper center", bbox_to_anchor=(0.5, -(0.55 + room) / height))
