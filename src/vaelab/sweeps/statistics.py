"""What several seeds say: mean, standard error, and differences between configurations."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000


class Mean(NamedTuple):
    """Of n numbers: their mean, and its standard error (NaN of a single one)."""

    n: int
    mean: float
    stderr: float


class Difference(NamedTuple):
    """Between two configurations on the same seeds: its mean, and the ends of its 95 % interval (NaN of one seed)."""

    seeds: int
    mean: float
    low: float
    high: float


def mean_of(values: Sequence[float]) -> Mean:
    """Mean and standard error s/√n, with s² the unbiased variance; NaN where a value is missing."""
    n = len(values)
    stderr = float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return Mean(n, float(np.mean(values)) if n else math.nan, stderr)


def paired_bootstrap(own: Mapping[str, float], other: Mapping[str, float], seed: int = 0) -> Difference:
    """How much larger one configuration's numbers are, on the seeds that both have.

    Seeds are drawn with replacement, and the mean difference of each draw is taken: the 2.5th to the 97.5th percentile
    of those is the interval (Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 13). With few seeds it is
    too short: of three, every ninth draw is of one seed alone.

    Args:
        own: seed -> number.
        other: seed -> number.
        seed: of the draws.
    """
    shared = sorted(own.keys() & other.keys())
    differences = np.array([own[key] - other[key] for key in shared])
    if len(differences) < 2:
        return Difference(len(differences), float(differences.mean()) if shared else math.nan, math.nan, math.nan)
    draws = np.random.default_rng(seed).integers(len(differences), size=(RESAMPLES, len(differences)))
    low, high = np.percentile(differences[draws].mean(1), [2.5, 97.5])
    return Difference(len(differences), float(differences.mean()), float(low), float(high))
