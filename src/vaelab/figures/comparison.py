"""Pictures of many runs: a score over what varies, and the rate–distortion plane."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.figures.picture import GREY, PALETTE, Picture, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
MARKS = "osD^vP*X<>"
LINES = ("-", "--", ":", "-.")


@dataclass(frozen=True, eq=False)
class Line:
    """Runs of one configuration.

    Args:
        label: its name.
        x: (n,): where each run lies along what varies.
        y: (n,): its score, nats.
        rate, distortion: (n,): its KL and its −E log p(t|z), nats.
    """

    label: str
    x: Array
    y: Array
    rate: Array
    distortion: Array


@dataclass(frozen=True, eq=False)
class Panel:
    """Runs whose scores compare."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, eq=False)
class ScoreOver(Picture):
    """A score over what varies, a line per configuration: mean and standard error over seeds, every run as a dot.

    Args:
        panels: a panel for each kind of number; densities and probabilities share no axis.
        name: of what varies.
        score: the name of the score.
        ticks: names of the places 0, 1, … along what varies, where it is no number.
    """

    panels: tuple[Panel, ...]
    name: str
    score: str
    ticks: tuple[str, ...] = ()

    def _draw(self) -> "Figure":
        longest = max(len(panel.lines) for panel in self.panels)
        figure, axes = panels(1, len(self.panels), 4.6, 3.2, bottom=0.75 + 0.2 * longest, top=0.55)
        for axis, panel in zip(axes[0], self.panels, strict=True):
            for index, line in enumerate(panel.lines):
                style: Any = {"color": PALETTE[index % len(PALETTE)], "marker": MARKS[index % len(MARKS)]}
                places = np.unique(line.x)
                groups = [line.y[line.x == place] for place in places]
                means = np.array([group.mean() for group in groups])
                errors = np.array(
                    [group.std(ddof=1) / np.sqrt(len(group)) if len(group) > 1 else 0.0 for group in groups]
                )
                axis.fill_between(places, means - errors, means + errors, color=style["color"], alpha=0.2, lw=0)
                axis.plot(places, means, LINES[index // len(PALETTE) % len(LINES)], **style, ms=5, label=line.label)
                axis.plot(line.x, line.y, ".", color=style["color"], ms=4, alpha=0.6)
            if self.ticks:
                axis.set_xticks(range(len(self.ticks)), self.ticks, rotation=20 if len(self.ticks) > 3 else 0)
            else:
                _ticks_at(axis, np.unique(np.concatenate([line.x for line in panel.lines])))
            axis.set(xlabel=self.name, ylabel=f"{self.score}, nats per example", title=panel.title)
            _legend_below(axis, panel)
        return figure


@dataclass(frozen=True, eq=False)
class RateDistortion(Picture):
    """Every run in the rate–distortion plane (Alemi et al. 2018, fig. 1; arxiv.org/abs/1711.00464), nats.

    On a dashed line rate + distortion, which is −ELBO, is the same; lower left is better.
    """

    panels: tuple[Panel, ...]

    def _draw(self) -> "Figure":
        longest = max(len(panel.lines) for panel in self.panels)
        figure, axes = panels(1, len(self.panels), 4.6, 3.4, bottom=0.75 + 0.2 * longest, top=0.55)
        for axis, panel in zip(axes[0], self.panels, strict=True):
            for index, line in enumerate(panel.lines):
                style: Any = {"color": PALETTE[index % len(PALETTE)], "marker": MARKS[index % len(MARKS)]}
                axis.plot(line.rate, line.distortion, ls="", ms=5, alpha=0.8, label=line.label, **style)
            axis.margins(0.08)
            (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
            for total in np.linspace(left + low, right + high, 9)[1:-1]:
                axis.axline((left, total - left), slope=-1, color=GREY, lw=0.6, ls="--", zorder=0)
            axis.set(xlim=(left, right), ylim=(low, high), xlabel="rate: KL(q(z|x) ‖ p(z)), nats")
            axis.set(ylabel="distortion: −E log p(t|z), nats", title=panel.title)
            _legend_below(axis, panel)
        return figure


def _ticks_at(axis: Any, places: Array) -> None:
    """Ticks where the runs are; a logarithmic axis where they spread over more than a factor of 8."""
    if places.min() > 0 and places.max() / places.min() >= 8:
        axis.set_xscale("log")
    if len(places) <= 10:
        axis.set_xticks(places, [f"{place:g}" for place in places])
        axis.set_xticks([], minor=True)


def _legend_below(axis: Any, panel: Panel) -> None:
    height = axis.get_position().height * axis.figure.get_size_inches()[1]
    if len(panel.lines) > 1:
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.55 / height), ncols=1)
