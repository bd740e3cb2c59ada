"""Statistics over repeated seeds: an interval for each mean, and for each difference to the best configuration.

scipy is imported on first use, because that takes half a second.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

CONFIDENCE = 0.95
# The percentage of sweeps that show a difference although there is none, if one of 5 configurations spreads three times
# as much as the others over 3 seeds. With equal spreads it is 5 %. A test repeats the simulation.
CLAIMS_IF_SPREADS_DIFFER = 10
LARGEST_TABLE = 10**6  # configurations x seeds; the paired fit of a larger table would take minutes


class Interval(NamedTuple):
    """An estimate with the ends of its 95 % interval, which are NaN if there is none: floats, or arrays (...)."""

    centre: Any
    low: Any
    high: Any


class Ranking(NamedTuple):
    """Configurations compared by a least-squares fit.

    Attributes:
        effects: (..., m), each configuration's mean over all seeds; the plain mean if all have the same seeds.
        to_best: (..., m), how far each effect lies below the largest one, at most 0. The intervals of all m(m − 1)/2
            pairs hold together with 95 % confidence, so the same numbers may choose the best.
        paired: True if differences are taken seed by seed. Then the luck that all configurations share cancels out.
    """

    effects: Array
    to_best: Interval
    paired: bool


def mean_interval(values: Array) -> Interval:
    """Student's t interval of a mean, with n − 1 degrees of freedom.

    Args:
        values: (..., n), a number for each seed; a single number has no interval.

    >>> [round(float(number), 3) for number in mean_interval(np.array([1.0, 2.0, 4.0]))]
    [2.333, -1.461, 6.128]
    """
    from scipy.special import stdtrit

    n, mean = values.shape[-1], values.mean(-1)
    if n < 2:
        return Interval(mean, mean * np.nan, mean * np.nan)
    half = stdtrit(n - 1, (1 + CONFIDENCE) / 2) * values.std(-1, ddof=1) / np.sqrt(n)
    return Interval(mean, mean - half, mean + half)


def rank(scores: Sequence[Mapping[str, float]]) -> Ranking:
    """Compares configurations: seed by seed if they share enough seeds, or else only by their means.

    Args:
        scores: for each configuration, seed -> finite number, at least one.

    >>> ranking = rank([{"1": -3.0, "2": -3.5, "3": -3.2}, {"1": -2.0, "2": -2.6, "3": -2.1}])
    >>> [round(float(ends[0]), 3) for ends in ranking.to_best]
    [-1.0, -1.248, -0.752]
    """
    seeds = list(dict.fromkeys(seed for each in scores for seed in each))
    size, left = len(scores) * len(seeds), sum(map(len, scores)) - len(scores) - len(seeds) + 1
    if left > 0 and size <= LARGEST_TABLE:
        table = np.array([[each.get(seed, np.nan) for seed in seeds] for each in scores])
        if is_connected(~np.isnan(table)):
            return rank_table(table, paired=True)
    longest = max(map(len, scores))
    table = np.array([[*each.values(), *[np.nan] * (longest - len(each))] for each in scores])
    return rank_table(table, paired=False)


def rank_table(scores: Array, paired: bool) -> Ranking:
    """Differences to the best by Tukey's studentised range; Tukey–Kramer if configurations have different seeds.

    Least squares fits an effect for each configuration and, if paired, one for each seed. The residuals estimate the
    spread, which is assumed to be the same for all configurations. Sources: Tukey 1953; Kramer 1956,
    doi.org/10.2307/3001469, for unequal numbers; John & Williams 1995, Cyclic and Computer Generated Designs, ch. 1,
    for the fit of two factors.

    Args:
        scores: (..., m, n), m configurations by n seeds; NaN is a missing run, in the same places throughout.
        paired: True if column j is the same seed for all configurations, which must then be connected (`is_connected`).
    """
    m, n = scores.shape[-2:]
    ran = ~np.isnan(scores.reshape(-1, m, n)[0])  # (m, n)
    count, filled = ran.sum(1), np.where(ran, scores, 0.0)
    share = ran / count[:, None]  # (m, n): the share of each seed in a configuration's mean
    means = filled.sum(-1) / count  # (..., m)
    inverse = np.linalg.pinv(np.diag(ran.sum(0)) - ran.T @ share, hermitian=True) if paired else np.zeros((n, n))
    seeds = (filled.sum(-2) - means @ ran) @ inverse  # (..., n): the effect of each seed; they add up to 0
    effects = means - seeds @ share.T  # (..., m)
    residual = np.where(ran, scores - effects[..., None] - seeds[..., None, :], 0.0)
    df = int(ran.sum()) - m - (n - 1 if paired else 0)

    best = effects.argmax(-1)  # (...)
    apart = share - share[best][..., None, :]  # (..., m, n)
    variance = 1 / count + (1 / count)[best][..., None] + (apart @ inverse * apart).sum(-1)  # (..., m), in spread²
    lag = effects - effects.max(-1, keepdims=True)
    if m < 2 or df < 1:
        return Ranking(effects, Interval(lag, lag * np.nan, lag * np.nan), paired)
    spread = np.sqrt((residual**2).sum((-2, -1)) / df)[..., None]
    half = studentised_range(m, df) * spread * np.sqrt(variance / 2)
    return Ranking(effects, Interval(lag, lag - half, lag + half), paired)


def is_connected(ran: Array) -> bool:
    """True if chains of shared seeds link all configurations: ran (m, n), bool."""
    reached = ran[0]
    while True:
        further = ran[(ran & reached).any(1)].any(0)
        if (further == reached).all():
            return bool(reached.all())
        reached = further


@lru_cache
def studentised_range(m: int, df: int) -> float:
    """The 95 % point of the range of m means, over their standard error with df degrees of freedom."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(CONFIDENCE, m, df))
