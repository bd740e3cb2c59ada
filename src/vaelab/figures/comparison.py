"""Runs to compare in a picture: their numbers, names, colours and marks."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.escapes import for_terminal
from vaelab.figures.colours import BLUE, PALETTE
from vaelab.figures.text_sizes import TICK, shortened, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray[Any, Any]
MARKS = "osD^vP*X<>"
MEAN_AND_ERROR = "dots: runs; mark and bar: mean ± standard error over seeds"
LEAST = 0.1  # nats, the least length of an axis
SMALLEST_SHARE = 0.25  # the scores take at least this share of their axis; landmarks that need more lie outside


@dataclass(frozen=True, eq=False)
class Compared:
    """A configuration, and the numbers of its runs, one for each seed.

    Args:
        values: the values of the keys that vary.
        score: (n,), nats.
        rate, distortion: (n,), its KL and its −E log p(t|z), nats.
        place: the value of the key that is the x axis; NaN if there is none.
    """

    values: tuple[str, ...]
    score: Array
    rate: Array
    distortion: Array
    place: float = nan


@dataclass(frozen=True, eq=False)
class Panel:
    """Configurations whose scores can be compared, the best first.

    Args:
        title: the kind of their scores.
        configurations: the configurations.
        baseline: the best score without a latent, nats; NaN if it is unknown.
        ceiling: the score that no model surpasses, nats; NaN if it is unknown.
    """

    title: str
    configurations: tuple[Compared, ...]
    baseline: float = nan
    ceiling: float = nan

    @property
    def repeats(self) -> bool:
        """True if a configuration has several runs."""
        return any(len(each.score) > 1 for each in self.configurations)

    @property
    def landmarks(self) -> dict[str, float]:
        """The landmarks that are known."""
        found = {"baseline": self.baseline, "ceiling": self.ceiling}
        return {name: value for name, value in found.items() if isfinite(value)}


def names_of_configurations(keys: Sequence[str], each: Sequence[Sequence[str]], inches: float) -> list[str]:
    """The values of each configuration as a name that is at most `inches` wide, if the values can be made so short.

    A value that is not a word also gets the last part of its key: `gaussian, lr 0.001`.
    """
    written = [[_written(key, value) for key, value in zip(keys, values, strict=True)] for values in each]
    shortest, longest = 4, max((len(text) for texts in written for text in texts), default=4)

    def names(letters: int) -> list[str]:
        return [", ".join(shortened(text, letters) for text in texts) or "the only configuration" for texts in written]

    while shortest < longest:  # find the most letters with which all names fit
        letters = (shortest + longest + 1) // 2
        fit = max(width_of(name, TICK) for name in names(letters)) <= inches
        shortest, longest = (letters, longest) if fit else (shortest, letters - 1)
    return names(shortest)


def _written(key: str, value: str) -> str:
    value = for_terminal(value)
    return value if value[:1].isalpha() and value not in ("true", "false", "null") else f"{_last(key)} {value or '-'}"


def _last(key: str) -> str:
    return for_terminal(key).rsplit(".", 1)[-1].lstrip("+~")


class Looks:
    """The colour and the mark of each configuration, by the two keys that explain most of the differences in score.

    Attributes:
        entries: for each of these keys its name, and (value, look) of its values.
    """

    def __init__(self, keys: Sequence[str], configurations: Sequence[Compared]) -> None:
        few = [index for index in range(len(keys)) if 1 < len({each.values[index] for each in configurations}) <= 10]
        chosen = sorted(few, key=lambda index: -_explained(configurations, index))[:2]
        self.by: list[tuple[int, dict[str, dict[str, str]]]] = []
        self.entries: list[tuple[str, list[tuple[str, dict[str, str]]]]] = []
        for index, (look, kinds) in zip(chosen, (("color", PALETTE), ("marker", MARKS)), strict=False):
            values = list(dict.fromkeys(each.values[index] for each in configurations))
            looks = {value: {look: kind} for value, kind in zip(values, kinds, strict=False)}
            self.by.append((index, looks))
            self.entries.append((for_terminal(keys[index]), [(for_terminal(v), style) for v, style in looks.items()]))

    def of(self, configuration: Compared) -> dict[str, Any]:
        """The keyword arguments of `Axes.plot` for a configuration."""
        look: dict[str, Any] = {"color": BLUE, "marker": "o", "ls": ""}
        for index, looks in self.by:
            look |= looks[configuration.values[index]]
        return look


def _explained(configurations: Sequence[Compared], index: int) -> float:
    """The share of the variance of the ranks of the scores that lies between the values of one key."""
    order = np.argsort([mean_and_error(each.score)[0] for each in configurations], kind="stable")
    ranks = np.empty(len(order))
    ranks[order] = np.arange(len(order))
    groups: dict[str, list[float]] = {}
    for rank, each in zip(ranks, configurations, strict=True):
        groups.setdefault(each.values[index], []).append(float(rank))
    between = sum(len(group) * (np.mean(group) - ranks.mean()) ** 2 for group in groups.values())
    return float(between) / max(float(((ranks - ranks.mean()) ** 2).sum()), 1e-9)


def mean_and_error(values: Array) -> tuple[float, float]:
    """The mean of the finite values and its standard error, which is 0 for a single value."""
    values = values[np.isfinite(values)]
    if not len(values):
        return nan, 0.0
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def score_limits(values: Array, landmarks: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis of scores.

    It leaves out a few scores that are so bad that they would press the others together, and landmarks that are so far
    away that the scores would take less than a quarter of the axis.
    """
    values = np.sort(values[np.isfinite(values)])
    if not len(values):
        values = np.zeros(1)
    low, high, middle = float(values[0]), float(values[-1]), float(np.median(values))
    if middle - low > 4 * (high - middle) > 0:
        cut = middle - 3 * (high - middle)
        if (values < cut).mean() <= 0.25:
            low = float(values[values >= cut][0])
    least = max(high - low, LEAST)
    for landmark in sorted(landmarks, key=lambda value: max(low - value, value - high)):
        wider = max(high, landmark) - min(low, landmark)
        if least >= SMALLEST_SHARE * wider:
            low, high = min(low, landmark), max(high, landmark)
    middle, half = (low + high) / 2, 0.56 * max(high - low, LEAST)
    return middle - half, middle + half


def mark_outside(panel: "Axes", y: float, text: str) -> None:
    """Writes at the left edge of the axis what lies left of it, with an arrow."""
    panel.annotate(f"◀ {text}", (0.0, y), xycoords=panel.get_yaxis_transform(), fontsize=TICK, va="center")
