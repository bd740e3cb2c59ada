"""What several seeds say, against scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from vaelab.sweeps.statistics import mean_of, paired_bootstrap

RANDOM = np.random.default_rng(3)


@pytest.mark.parametrize("n", [2, 3, 11])
def test_mean_and_standard_error_are_scipys(n):
    values = RANDOM.normal(-90, 3, size=n)
    found = mean_of(values.tolist())
    assert found.n == n
    assert found.mean == pytest.approx(values.mean(), rel=1e-12)
    assert found.stderr == pytest.approx(stats.sem(values), rel=1e-12)


def test_one_value_has_no_standard_error_and_none_no_mean():
    assert mean_of([-7.0])[:2] == (1, -7.0)
    assert math.isnan(mean_of([-7.0]).stderr)
    assert math.isnan(mean_of([]).mean)


@pytest.mark.parametrize("n", [3, 9])
def test_the_paired_interval_is_scipys(n):
    own, other = RANDOM.normal(-100, 5, size=(2, n))
    found = paired_bootstrap(dict(enumerate(own)), dict(enumerate(other)))
    expected = stats.bootstrap(
        (own, other),
        lambda one, two, axis: (one - two).mean(axis),
        paired=True,
        method="percentile",
        n_resamples=40_000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert found.mean == pytest.approx((own - other).mean(), rel=1e-12)
    spread = (own - other).std()
    assert found.low == pytest.approx(expected.low, abs=0.05 * spread)
    assert found.high == pytest.approx(expected.high, abs=0.05 * spread)


def test_only_seeds_that_both_have_are_paired():
    """What all seeds share cancels: a pair of seeds that differ by 100 each way says nothing about the difference."""
    own, other = {"1": -100.0, "2": 0.0, "7": 900.0}, {"1": -101.0, "2": -1.0, "5": -900.0}
    found = paired_bootstrap(own, other)
    assert found == (2, 1.0, 1.0, 1.0)
    assert paired_bootstrap(own, {"1": -101.0})[:2] == (1, 1.0)
    assert paired_bootstrap(own, {"9": 0.0}).seeds == 0
