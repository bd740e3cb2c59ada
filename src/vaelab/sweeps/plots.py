"""Plots of runs that share a table: the ELBO over a key that varies, and the rate–distortion plane.

The ELBO means the same under every objective, so the plots can show runs whose scores cannot be ranked.
"""

import math
import re
from collections.abc import Callable, Sequence

import numpy as np

from vaelab.escapes import for_terminal
from vaelab.figures.comparison import LABEL, Line, Panel, RateDistortion, ScoreOver
from vaelab.figures.picture import Picture, shortened
from vaelab.sweeps.ranking import LARGEST, Configuration, Group, groups_of
from vaelab.sweeps.rows import Row, by_number, finite
from vaelab.sweeps.scores import ELBO

PANELS = 6  # the most panels, because a sweep over data.seed has a table for each of its values


def pictures(rows: Sequence[Row]) -> dict[str, Picture]:
    """Maps names of files, without endings, to plots with a panel for each of the largest tables."""
    groups = sorted(groups_of(rows), key=lambda group: -sum(len(each.runs) for each in group.configurations))[:PANELS]
    if not groups:
        return {}
    keys = list(dict.fromkeys(key for group in groups for each in group.configurations for key in each.values))
    across = next((key for key in ("latent_dim", *keys) if key in keys and _numeric(groups, key)), (*keys, "run")[0])
    values = list(dict.fromkeys(_value(each, across) for group in groups for each in group.configurations))
    numeric = _numeric(groups, across)
    names = () if numeric else tuple(for_terminal(value) for value in values)

    def place(value: str) -> float:
        return float(value) if numeric else values.index(value)

    shown = tuple(_panel(group, across, place) for group in groups)
    legend = _label([key for key in keys if key != across])
    named = f"beside a run: {for_terminal(across)}" if across in keys else ""
    beside = tuple((place(value), for_terminal(value)) for value in sorted(values))
    name = re.sub(r"[^\w-]", "_", across)[:60]  # a key may come from a file, and must not name another folder
    return {
        "rate_distortion": RateDistortion(shown, "; ".join(filter(None, (legend, named))), beside),
        f"elbo_over_{name}": ScoreOver(shown, for_terminal(across), ELBO, legend, names),
    }


def _panel(group: Group, across: str, place: Callable[[str], float]) -> Panel:
    lines: dict[tuple[str, ...], list[tuple[float, Row]]] = {}
    for each in group.configurations:
        others = tuple(value for key, value in each.values.items() if key != across)
        points = lines.setdefault(others, [])
        points += [(place(_value(each, across)), row) for row in each.runs.values()]
    ordered = sorted(lines.items(), key=lambda item: list(map(by_number, item[0])))
    return Panel(for_terminal(group.title), tuple(_line(_label(given), points) for given, points in ordered))


def _label(texts: Sequence[str]) -> str:
    """Joins keys or values, and gives each its share of the room."""
    return for_terminal(", ".join(shortened(text, max(LABEL // len(texts) - 2, 3)) for text in texts))


def _line(label: str, points: Sequence[tuple[float, Row]]) -> Line:
    score, rate, likelihood = (
        np.array([row.metrics.get(tag, math.nan) for _, row in points])
        for tag in (ELBO, "val/kl", "val/log_likelihood")
    )
    rate, likelihood = (np.where(np.abs(each) < LARGEST, each, math.nan) for each in (rate, likelihood))
    return Line(label, np.array([x for x, _ in points]), score, rate, -likelihood)


def _value(configuration: Configuration, key: str) -> str:
    return configuration.values.get(key, "")


def _numeric(groups: Sequence[Group], key: str) -> bool:
    return all(finite(_value(each, key)) is not None for group in groups for each in group.configurations)
