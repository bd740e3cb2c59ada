"""Intervals of sweeps: against scipy and plain least squares, and how often they are right in simulated sweeps."""

import doctest
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from vaelab.figures import text_sizes
from vaelab.sweeps import statistics
from vaelab.sweeps.ranking import Configuration
from vaelab.sweeps.rows import Row
from vaelab.sweeps.statistics import (
    CLAIMS_IF_SPREADS_DIFFER,
    is_connected,
    mean_interval,
    rank,
    rank_table,
    studentised_range,
)

SWEEPS = 6_000  # simulated; the standard error of a share of 5 % is then 0.3 %
DOCS = Path(__file__).parents[2] / "docs" / "sweeps.md"
LUCK = {"seeds that do not matter": 0.0, "lucky seeds": 4.0}  # spread of a seed's effect on all configurations


def draw(*shape):
    return np.random.default_rng(shape).normal(size=shape)


def by_seed(values):
    return {str(seed): value for seed, value in enumerate(values) if not math.isnan(value)}


def least_squares(scores, paired):
    """Effects, and the Tukey–Kramer half-width of each pair, from a design matrix and its pseudo-inverse."""
    m, n = scores.shape
    row, column = np.nonzero(~np.isnan(scores))
    design = np.zeros((len(row), m + n))
    design[np.arange(len(row)), row] = 1
    if paired:
        design[np.arange(len(row)), m + column] = 1
    solution = np.linalg.pinv(design)
    fitted, own = solution @ scores[row, column], design @ solution
    df = len(row) - np.linalg.matrix_rank(design)
    spread = math.sqrt(np.sum((scores[row, column] - own @ scores[row, column]) ** 2) / df)
    covariance = (solution @ solution.T)[:m, :m]
    variance = covariance.diagonal()[:, None] + covariance.diagonal() - 2 * covariance
    return fitted[:m], stats.studentized_range.ppf(0.95, m, df) * spread * np.sqrt(np.maximum(variance, 0) / 2)


@pytest.mark.parametrize("n", [2, 3, 11])
def test_the_interval_of_a_mean_is_scipys(n):
    values = -90 + 3 * draw(n)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((values.mean(), expected.low, expected.high), rel=1e-9)


def test_a_single_value_has_no_interval():
    mean, low, high = mean_interval(np.array([-7.0]))
    assert mean == -7.0
    assert math.isnan(low)
    assert math.isnan(high)


@pytest.mark.parametrize("n", [2, 3, 9])
def test_two_configurations_on_the_same_seeds_are_a_paired_t_test(n):
    own, other = draw(2, n) + 5 * draw(1, n) - np.array([[9.0], [7.0]])
    expected = stats.ttest_rel(own, other).confidence_interval(0.95)
    ranking = rank([by_seed(own), by_seed(other)])
    assert ranking.paired
    assert ranking.effects == pytest.approx([own.mean(), other.mean()], rel=1e-12)
    lag = min(expected, (-expected[1], -expected[0]), key=sum)  # of the worse one
    worse = ranking.effects.argmin()
    assert [ends[worse] for ends in ranking.to_best] == pytest.approx([sum(lag) / 2, *lag], rel=1e-9)


def test_configurations_that_share_no_seeds_are_compared_as_scipy_does():
    groups = [2 * draw(size) + size for size in (3, 2, 5)]
    scores = [{f"{index}-{seed}": value for seed, value in enumerate(group)} for index, group in enumerate(groups)]
    ranking, expected = rank(scores), stats.tukey_hsd(*groups)
    assert not ranking.paired
    best = ranking.effects.argmax()
    ends = expected.confidence_interval(0.95)
    for index in {0, 1, 2} - {best}:
        assert ranking.to_best.low[index] == pytest.approx(ends.low[index, best], rel=1e-4)  # scipy's own accuracy
        assert ranking.to_best.high[index] == pytest.approx(ends.high[index, best], rel=1e-4)


MISSING = [[(0, 1), (3, 0), (3, 2), (2, 3)], [(0, 0)], [(0, 0), (1, 1), (2, 2), (4, 3)], []]


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("missing", MISSING)
def test_the_fit_is_least_squares_whatever_is_missing(missing, paired):
    scores = draw(5, 4) + np.arange(5)[:, None] + 3 * draw(1, 4)
    for place in missing:
        scores[place] = np.nan
    effects, halves = least_squares(scores, paired)
    ranking = rank_table(scores, paired)
    best = effects.argmax()
    assert ranking.effects - ranking.effects[best] == pytest.approx(effects - effects[best], abs=1e-12)
    others = np.arange(5) != best
    half = ranking.to_best.high - ranking.to_best.centre
    assert half[others] == pytest.approx(halves[best][others], rel=1e-9)
    if not missing:
        assert ranking.effects == pytest.approx(scores.mean(1), rel=1e-12)


@pytest.mark.parametrize("place", range(40))
def test_no_rival_stands_above_the_best(place):
    chance = np.random.default_rng(place)
    scores = chance.normal(size=(7, 5)) + 10 * chance.normal(size=(1, 5))
    scores[chance.random((7, 5)) < chance.uniform(0, 0.7)] = np.nan
    scores[np.isnan(scores).all(1), 0] = 0.0  # each ran at least once
    ranking = rank([by_seed(each) for each in scores])
    assert ranking.to_best.centre.max() == 0
    assert (ranking.to_best.centre == ranking.effects - ranking.effects.max()).all()


def test_lucky_seeds_do_not_make_a_configuration_the_best():
    """Seed 3 gives all configurations 100 nats more, and only the worse one has it."""
    seeds = {"1": 0.0, "2": 1.0, "4": -1.0, "3": 100.0}
    better = {seed: luck + 1.01 + 0.01 * place for place, (seed, luck) in enumerate(seeds.items()) if seed != "3"}
    ranking = rank([better, seeds, {seed: luck - 5 for seed, luck in seeds.items()}])
    assert ranking.effects.argmax() == 0
    assert np.mean(list(better.values())) < np.mean(list(seeds.values()))
    assert ranking.to_best.high[1] < 0


def test_what_is_linked_by_shared_seeds_is_connected():
    chain = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=bool)
    assert is_connected(chain)
    assert is_connected(chain[::-1])
    assert not is_connected(chain[[0, 0, 2]][:, [0, 1, 3]])
    assert not is_connected(np.eye(3, dtype=bool))


@pytest.mark.parametrize(
    ("scores", "paired"),
    [
        ([{"1": 0.0}, {"1": 1.0}, {"1": 4.0}], False),  # seeds are not repeated
        ([{"1": 0.0}, {"2": 1.0}], False),
        ([{"1": 0.0, "2": 1.0}], False),  # nothing to compare with
    ],
)
def test_without_repeated_seeds_there_is_an_order_and_no_interval(scores, paired):
    ranking = rank(scores)
    assert ranking.to_best.centre == pytest.approx(ranking.effects - ranking.effects.max())
    assert np.isnan(ranking.to_best.low).all()
    assert np.isnan(ranking.to_best.high).all()
    assert ranking.paired == paired


def test_configurations_are_not_paired_if_the_fit_leaves_no_residual():
    """Two configurations that share one of three seeds: the paired fit goes through every point."""
    scores = [{"1": 0.0, "2": 1.0}, {"2": 3.0, "3": 5.0}]
    ranking = rank(scores)
    assert not ranking.paired
    expected = stats.ttest_ind([0.0, 1.0], [3.0, 5.0]).confidence_interval(0.95)
    assert [ends[0] for ends in ranking.to_best] == pytest.approx([-3.5, expected.low, expected.high], rel=1e-9)


def test_the_studentised_range_is_that_of_the_tables():
    assert studentised_range(3, 10) == pytest.approx(3.877, abs=5e-4)  # as printed in every table since 1952
    assert studentised_range(2, 7) == pytest.approx(math.sqrt(2) * stats.t.ppf(0.975, 7), rel=1e-9)


def sweeps(m, n, luck=0.0):
    """Scores (SWEEPS, m, n) of identical configurations, with an effect of each seed on all of them."""
    chance = np.random.default_rng([m, n, int(luck)])
    return chance.normal(size=(SWEEPS, m, n)) + luck * chance.normal(size=(SWEEPS, 1, n))


def claims(scores, paired=True):
    """True if a configuration is shown to be worse than the best: (sweeps, m), bool."""
    return rank_table(scores, paired).to_best.high < 0


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_the_interval_of_a_mean_covers_it(n):
    _, low, high = mean_interval(sweeps(1, n)[:, 0])
    assert np.mean((low <= 0) & (high >= 0)) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("luck", LUCK.values(), ids=LUCK)
@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_a_difference_named_beforehand_is_covered(n, luck):
    scores, truth = sweeps(2, n, luck), np.array([0.0, 0.7])
    ranking = rank_table(scores + truth[:, None], paired=True)
    worse, best = ranking.effects.argmin(-1), ranking.effects.argmax(-1)
    low, high = (np.take_along_axis(ends, worse[:, None], -1)[:, 0] for ends in ranking.to_best[1:])
    lag = truth[worse] - truth[best]
    assert np.mean((low <= lag) & (high >= lag)) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("luck", LUCK.values(), ids=LUCK)
@pytest.mark.parametrize("n", [2, 3, 5, 10])
@pytest.mark.parametrize("m", [2, 5, 12])
def test_identical_configurations_seldom_seem_to_differ(m, n, luck):
    assert claims(sweeps(m, n, luck)).any(-1).mean() == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("paired", [True, False])
def test_identical_configurations_with_different_seeds_seldom_seem_to_differ(paired):
    scores = sweeps(5, 4, LUCK["lucky seeds"] if paired else 0.0)
    for row, column in MISSING[0]:
        scores[:, row, column] = np.nan
    assert claims(scores, paired).any(-1).mean() == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("luck", LUCK.values(), ids=LUCK)
def test_a_difference_of_three_spreads_is_found_at_five_seeds(luck):
    """One of 12 configurations is better by three spreads: each of the others is shown to be worse in most sweeps."""
    scores = sweeps(12, 5, luck)
    scores[:, 0] += 3
    found = claims(scores)
    assert found[:, 1:].mean() == pytest.approx(0.89, abs=0.01)
    assert found[:, 0].mean() < 0.001
    worse = sweeps(12, 5, luck)
    worse[:, 0] -= 3
    assert claims(worse)[:, 0].mean() > 0.98


def test_spreads_that_differ_cost_what_the_caption_says():
    scores = np.random.default_rng(7).normal(size=(60_000, 5, 3))
    scores[:, 0] *= 3
    measured = 100 * claims(scores).any(-1).mean()
    assert measured == pytest.approx(CLAIMS_IF_SPREADS_DIFFER, abs=0.5)
    assert f"| {CLAIMS_IF_SPREADS_DIFFER} % |" in DOCS.read_text()


@pytest.mark.parametrize(("m", "n", "covered"), [(2, 3, 95), (5, 3, 91), (12, 3, 86), (12, 10, 77)])
def test_the_best_is_partly_lucky(m, n, covered):
    """Its interval is one of a mean that was not chosen: it covers less, as the page says."""
    scores = sweeps(m, n)
    best = scores[np.arange(SWEEPS), scores.mean(-1).argmax(-1)]
    _, low, high = mean_interval(best)
    measured = 100 * np.mean((low <= 0) & (high >= 0))
    assert measured == pytest.approx(covered, abs=1)
    assert f"{covered} %" in DOCS.read_text()


def test_the_band_of_a_plot_covers_what_the_page_says():
    """A mean ± one standard error, by Student's distribution."""
    covered = [round(100 * (1 - 2 * stats.t.sf(1, n - 1))) for n in (2, 3, 5, 10)]
    assert covered == [50, 58, 63, 66]
    assert "50 / 58 / 63 / 66 %" in DOCS.read_text()


def test_scores_that_are_not_finite_are_ignored():
    rows = {
        seed: Row(Path(seed), {}, metrics={"val/elbo": value})
        for seed, value in {"1": -1.0, "2": math.nan, "3": math.inf, "4": -math.inf, "5": 1e300, "6": -2.0}.items()
    }
    assert Configuration({}, rows).scores("val/elbo") == {"1": -1.0, "6": -2.0}


def test_a_sweep_starts_without_what_only_its_summary_needs():
    code = "import sys, vaelab.sweeps.summary; print({'scipy', 'torch', 'matplotlib', 'optuna'} & set(sys.modules))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout == "set()\n"


@pytest.mark.parametrize("module", [statistics, text_sizes])
def test_the_examples_in_docstrings_run(module):
    found = doctest.testmod(module)
    assert (found.failed, found.attempted > 0) == (0, True)
