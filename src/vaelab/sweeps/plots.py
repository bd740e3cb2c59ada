"""Plots of runs that share a table: the ELBO of each, the ELBO over a key that varies, and the rate–distortion plane.

The ELBO means the same under every objective, so the plots can show runs whose scores cannot be ranked.
"""

import math
import re
from collections.abc import Sequence

import numpy as np

from vaelab.escapes import for_terminal
from vaelab.figures.comparison import Compared, Panel
from vaelab.figures.picture import Picture
from vaelab.figures.rate_distortion import RateDistortion
from vaelab.figures.score_over import ScoreOver
from vaelab.figures.score_rows import ScoreByKey, ScoreRows
from vaelab.sweeps.ranking import LARGEST, Configuration, Group, groups_of
from vaelab.sweeps.rows import Row, finite
from vaelab.sweeps.scores import ELBO

PANELS = 6  # the most panels, because a sweep over data.seed has a table for each of its values
ROWS, BY_KEY = "elbo_by_configuration", "elbo_by_key"
CEILING, BASELINE = "val/ceiling", "val/baseline"


def pictures(rows: Sequence[Row]) -> dict[str, Picture]:
    """Maps names of files, without endings, to plots with a panel for each of the largest tables."""
    groups = sorted(groups_of(rows), key=lambda group: -sum(len(each.runs) for each in group.configurations))[:PANELS]
    if not groups:
        return {}
    keys = tuple(dict.fromkeys(key for group in groups for each in group.configurations for key in each.values))
    across = next((key for key in ("latent_dim", *keys) if key in keys and _numeric(groups, key)), None)
    shown = tuple(_panel(group, keys, across) for group in groups)
    drawn: dict[str, Picture] = {ROWS: ScoreRows(shown, keys, ELBO)}
    if across:
        name = re.sub(r"[^\w-]", "_", across)[:60]  # a key may come from a file, and must not name another folder
        drawn[f"elbo_over_{name}"] = ScoreOver(shown, across, ELBO, keys)
    if len(keys) > 1 and len(shown[0].configurations) > 3:
        drawn[BY_KEY] = ScoreByKey(shown[0], keys, ELBO)
    drawn["rate_distortion"] = RateDistortion(shown, keys, f"{ROWS}.png")
    return drawn


def _panel(group: Group, keys: Sequence[str], across: str | None) -> Panel:
    """The configurations of a table, the best ELBO first."""
    each = [_compared(configuration, keys, across) for configuration in group.configurations]
    each.sort(key=lambda one: -np.nan_to_num(one.score, nan=-math.inf).mean())
    runs = [row for configuration in group.configurations for row in configuration.runs.values()]
    landmarks = ([row.metrics.get(tag, math.nan) for row in runs] for tag in (BASELINE, CEILING))
    baseline, ceiling = (max(filter(math.isfinite, values), default=math.nan) for values in landmarks)
    return Panel(for_terminal(group.title), tuple(each), baseline, ceiling)


def _compared(configuration: Configuration, keys: Sequence[str], across: str | None) -> Compared:
    score, rate, likelihood = (
        np.array([_number(row, tag) for row in configuration.runs.values()])
        for tag in (ELBO, "val/kl", "val/log_likelihood")
    )
    place = float(configuration.values[across]) if across else math.nan
    values = tuple(configuration.values.get(key, "") for key in keys)
    return Compared(values, score, rate, -likelihood, place)


def _number(row: Row, tag: str) -> float:
    """A final number; NaN if there is none, or if it comes from an overflow."""
    number = row.metrics.get(tag, math.nan)
    return number if abs(number) < LARGEST else math.nan


def _numeric(groups: Sequence[Group], key: str) -> bool:
    """True if every configuration has a number for a key, and these are not all the same."""
    numbers = {finite(each.values.get(key, "")) for group in groups for each in group.configurations}
    return None not in numbers and len(numbers) > 1
