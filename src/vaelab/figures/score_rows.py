"""The score of each configuration in a row of its own, and the scores for each value of a key."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.escapes import for_terminal
from vaelab.figures.colours import BLUE, GREY
from vaelab.figures.comparison import (
    MEAN_AND_ERROR,
    Compared,
    Looks,
    Panel,
    mark_outside,
    mean_and_error,
    names_of_configurations,
    score_limits,
)
from vaelab.figures.landmarks import draw_landmark_lines, draw_landmarks, number
from vaelab.figures.picture import Picture
from vaelab.figures.text_sizes import TICK, fitting, widest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
ROW = 0.2  # inches
NAMES, PLOT, WIDTH = 3.3, 1.5, 4.6  # the most inches of names, and the least of an axis and of a picture
MOST = 120  # the most rows of a panel
LEFT = "◀ 2 of 8: of 8 runs, 2 lie left of the axis"
KEYS, VALUES = 6, 20  # the most keys, and values of each, in `ScoreByKey`


@dataclass(frozen=True, eq=False)
class ScoreRows(Picture):
    """The score of each configuration, the best on top: a dot for each run, the mean and its standard error.

    The bar contains the mean over infinitely many seeds in 50, 58, 63 and 66 % of cases at 2, 3, 5 and 10 seeds. A 95 %
    interval of two seeds would be 13 times as wide, and hide everything else.

    Args:
        panels: a panel for each kind of score, because densities and probabilities must not share an axis.
        keys: the keys that vary.
        score: the name of the score.
    """

    panels: tuple[Panel, ...]
    keys: tuple[str, ...]
    score: str

    def _draw(self) -> "Figure":
        names = [
            [f"{place}  {name}" for place, name in enumerate(texts, start=1)]
            for texts in (
                names_of_configurations(self.keys, [each.values for each in panel.configurations[:MOST]], NAMES)
                for panel in self.panels
            )
        ]
        left = 0.15 + max(widest(texts, TICK) for texts in names)
        figure, axes = _rows([len(texts) for texts in names], left, top=0.75, down=1.9)
        looks = Looks(self.keys, [each for panel in self.panels for each in panel.configurations])
        for axis, panel, texts in zip(axes, self.panels, names, strict=True):
            shown = panel.configurations[:MOST]
            _draw_rows(axis, texts, panel, [looks.of(each) for each in shown])
            axis.set_xlabel(f"{self.score}, nats per example")
            more = len(panel.configurations) - len(shown)
            notes = [
                f"names: {', '.join(map(for_terminal, self.keys))}" if self.keys else "",
                "; ".join(f"{kind}: {key}" for kind, (key, _) in zip(("colour", "mark"), looks.entries, strict=False)),
                MEAN_AND_ERROR if panel.repeats else "",
                f"the {more} configurations with lower scores are left out" if more else "",
            ]
            _write_below(axis, notes)
            _title_above(axis, panel)
        return figure


@dataclass(frozen=True, eq=False)
class ScoreByKey(Picture):
    """The scores of all runs for each value of a key, with a panel for each key: which keys matter?

    Args:
        panel: runs whose scores can be compared.
        keys: the keys that vary.
        score: the name of the score.
    """

    panel: Panel
    keys: tuple[str, ...]
    score: str

    def _draw(self) -> "Figure":
        shown = [(index, _by_value(self.panel.configurations, index)) for index in range(len(self.keys))][:KEYS]
        names = [[fitting(for_terminal(value or "-"), NAMES, TICK) for value in groups] for _, groups in shown]
        left = 0.15 + max(widest(texts, TICK) for texts in names)
        above = 0.85 + 0.18 * len(self.panel.landmarks)
        figure, axes = _rows([len(texts) for texts in names], left, top=above, down=0.7)
        every = np.concatenate([each.score for each in self.panel.configurations])
        limits = score_limits(every, list(self.panel.landmarks.values()))
        for place, (axis, texts, (index, groups)) in enumerate(zip(axes, names, shown, strict=True)):
            _set_rows(axis, texts, limits)
            for row, values in enumerate(groups.values()):
                axis.plot(values, np.full(len(values), row), ".", color=BLUE, ms=5, alpha=0.5)
                median = float(np.nanmedian(values))
                axis.plot([median], [row], "|", color="black", ms=11, mew=2)
                if outside := int((values < limits[0]).sum()):
                    beside = axis.get_yaxis_transform()
                    axis.text(1.02, row, f"◀ {outside} of {len(values)}", transform=beside, va="center", fontsize=TICK)
            title = fitting(for_terminal(self.keys[index]), WIDTH - left, TICK)
            axis.set_title(
                title, fontsize=TICK, fontweight="bold", pad=4 if place else 5 + 13 * len(self.panel.landmarks)
            )
            (draw_landmark_lines if place else draw_landmarks)(axis, self.panel.landmarks, across=False)
        axes[-1].set_xlabel(f"{self.score}, nats per example")
        left_out = LEFT if (every < limits[0]).any() else ""
        _write_below(axes[-1], ["dots: runs; bar: median of all runs with a value", left_out])
        _, height = figure.get_size_inches()
        figure.suptitle("\n".join(wrap(self.panel.title, 52)[:2]), y=1 - 0.06 / height, va="top", fontsize=TICK)
        return figure


def _by_value(configurations: Sequence[Compared], index: int) -> dict[str, Array]:
    """The scores of all runs with each value of a key, the best first."""
    groups: dict[str, list[Array]] = {}
    for each in configurations:
        groups.setdefault(each.values[index], []).append(each.score)
    scores = {value: np.concatenate(parts) for value, parts in groups.items()}
    best = sorted(scores, key=lambda value: -float(np.nanmedian(scores[value])))
    return {value: scores[value] for value in best[:VALUES]}


def _rows(counts: Sequence[int], left: float, top: float, down: float) -> tuple["Figure", list["Axes"]]:
    """Panels below each other, with so many rows each. `top` and `down` are the inches above and between them."""
    from matplotlib.figure import Figure

    heights = [ROW * (count + 0.4) for count in counts]
    h = top + sum(heights) + down * (len(counts) - 1) + 0.6
    across = max(WIDTH - left - 0.3, PLOT)
    w = left + across + 0.3
    figure, axes, y = Figure(figsize=(w, h)), [], h - top
    for height in heights:
        axes.append(figure.add_axes((left / w, (y - height) / h, across / w, height / h)))
        axes[-1].locator_params(axis="x", nbins=4)
        y -= height + down
    return figure, axes


def _set_rows(axis: "Axes", names: Sequence[str], limits: tuple[float, float]) -> None:
    """Prepares an axis with named rows, the first on top."""
    axis.set(xlim=limits, ylim=(len(names) - 0.3, -0.7))
    axis.set_yticks(range(len(names)), names)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", color=GREY, alpha=0.25, lw=0.6)


def _draw_rows(axis: "Axes", names: Sequence[str], panel: Panel, looks: Sequence[dict[str, Any]]) -> None:
    """Draws the scores of configurations in rows, and the landmarks."""
    shown = panel.configurations[: len(names)]
    means = np.array([mean_and_error(each.score)[0] for each in shown])
    low, high = score_limits(means, list(panel.landmarks.values()))
    _set_rows(axis, names, (low, high))
    for row, (each, look) in enumerate(zip(shown, looks, strict=True)):
        mean, error = mean_and_error(each.score)
        axis.plot(each.score, np.full(len(each.score), row), ".", color=look["color"], ms=5, alpha=0.5, lw=0)
        axis.errorbar([mean], [row], xerr=[error] if error else None, **look | {"ms": 6, "capsize": 2})
        if mean < low:
            mark_outside(axis, row, number(mean))
    draw_landmarks(axis, panel.landmarks, across=False)


def _title_above(axis: "Axes", panel: Panel) -> None:
    """The title of a panel, in the middle of the picture, above the names of the landmarks."""
    box = axis.get_position()
    axis.set_title(
        "\n".join(wrap(panel.title, 54)[:2]),
        fontsize=TICK,
        x=(0.5 - box.x0) / box.width,
        pad=5 + 13 * len(panel.landmarks),
    )


def _write_below(axis: "Axes", notes: Sequence[str]) -> None:
    """Writes notes below a panel, from the left edge of the picture on."""
    figure: Any = axis.figure
    box, (w, h) = axis.get_position(), figure.get_size_inches()
    lines = [line for note in filter(None, notes) for line in wrap(note, int(w * 11))]
    figure.text(0.08 / w, box.y0 - 0.55 / h, "\n".join(lines), va="top", fontsize=TICK)
