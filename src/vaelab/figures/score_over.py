"""The score over a key with numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.escapes import for_terminal
from vaelab.figures.colours import LINES, PALETTE
from vaelab.figures.comparison import MARKS, Compared, Panel, mean_and_error, names_of_configurations, score_limits
from vaelab.figures.landmarks import draw_landmarks
from vaelab.figures.layout import panels
from vaelab.figures.picture import Picture
from vaelab.figures.text_sizes import TICK, fitting, width_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
ENTRIES = 30  # the most entries of a legend
WIDTH = 3.1  # inches of a panel
NAMES = 3.6  # the most inches of a name in it


@dataclass(frozen=True, eq=False)
class ScoreOver(Picture):
    """A score over a key with numbers. Runs are dots, and a line for each configuration joins the means over seeds.

    The band is the mean ± one standard error, as in `ScoreRows`.

    Args:
        panels: a panel for each kind of score, because densities and probabilities must not share an axis.
        name: the name of the key that is the x axis.
        score: the name of the score.
        keys: the keys that vary.
    """

    panels: tuple[Panel, ...]
    name: str
    score: str
    keys: tuple[str, ...]

    def _draw(self) -> "Figure":
        others = [key for key in self.keys if key != self.name]
        longest = min(max(len(set(self._lines_of(panel))) for panel in self.panels), ENTRIES + 1) if others else 0
        below = 0.75 + (0.35 + 0.19 * longest if longest else 0)
        figure, axes = panels(
            len(self.panels), 1, WIDTH, 2.5, left=0.85, right=0.95, top=0.8, bottom=below, down=below + 0.8
        )
        for (axis,), panel in zip(axes, self.panels, strict=True):
            every = np.concatenate([each.score for each in panel.configurations])
            axis.set_ylim(*score_limits(every, list(panel.landmarks.values())))
            banded = False
            for name, line, look in self._styled(panel):
                banded |= _draw_line(axis, line, look, name)
            _ticks_at(axis, np.unique([each.place for each in panel.configurations]))
            axis.set_xlabel(fitting(for_terminal(self.name), WIDTH, TICK))
            axis.set_ylabel(f"{self.score}, nats per example")
            draw_landmarks(axis, panel.landmarks)
            notes = ["dots: runs; line and band: mean ±", "standard error over seeds"] if banded else []
            axis.set_title("\n".join([*wrap(panel.title, 50)[:2], *notes]), fontsize=TICK, pad=6)
            if others:
                inches = axis.get_position().height * figure.get_size_inches()[1]
                place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.5 / inches)}
                axis.legend(title=fitting(", ".join(map(for_terminal, others)), NAMES, TICK), **place)
        return figure

    def _lines_of(self, panel: Panel) -> dict[tuple[str, ...], list[Compared]]:
        """The configurations that differ only in the key of the x axis, in the order of their values."""
        lines: dict[tuple[str, ...], list[Compared]] = {}
        for each in panel.configurations:
            others = tuple(value for key, value in zip(self.keys, each.values, strict=True) if key != self.name)
            lines.setdefault(others, []).append(each)
        return {others: sorted(line, key=lambda each: each.place) for others, line in sorted(lines.items())}

    def _styled(self, panel: Panel) -> Iterator[tuple[str, list[Compared], dict[str, Any]]]:
        """Each line with its name and look. A line has the same colour, mark and dash in every panel."""
        every = list(dict.fromkeys(others for each in self.panels for others in self._lines_of(each)))
        mine = self._lines_of(panel)
        keys = [key for key in self.keys if key != self.name]
        names = names_of_configurations(keys, list(mine), NAMES)
        for number, (name, (others, line)) in enumerate(zip(names, mine.items(), strict=True)):
            index = every.index(others)
            again = index // len(PALETTE)  # a colour that is used again gets another mark and dash
            look: dict[str, Any] = {
                "color": PALETTE[index % len(PALETTE)],
                "marker": MARKS[(index + again) % len(MARKS)],
                "ms": 5,
            }
            more = f"and {len(mine) - ENTRIES} more"
            entry = name if number < ENTRIES else more if number == ENTRIES else "_nolegend_"
            yield entry, line, look | {"ls": LINES[again % len(LINES)]}


def _draw_line(axis: Any, line: list[Compared], look: dict[str, Any], name: str) -> bool:
    """Draws runs and their means. Returns True if any place has several runs."""
    places = np.array([each.place for each in line])
    means, errors = map(np.array, zip(*(mean_and_error(each.score) for each in line), strict=True))
    if errors.any():
        axis.fill_between(places, means - errors, means + errors, color=look["color"], alpha=0.2, lw=0)
    axis.plot(places, means, **look, label=name)
    for each in line:
        axis.plot(np.full(len(each.score), each.place), each.score, ".", color=look["color"], ms=4, alpha=0.6)
    return bool(errors.any())


def _ticks_at(axis: Any, places: Array) -> None:
    """Sets ticks at the runs. The axis is logarithmic if the largest place is at least 8 times the smallest."""
    if places.min() > 0 and places.max() / places.min() >= 8:
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter("")
    names = [f"{place:g}" for place in places]
    if sum(width_of(name, TICK) + 0.1 for name in names) <= WIDTH:
        axis.set_xticks(places, names)
        axis.set_xticks([], minor=True)
