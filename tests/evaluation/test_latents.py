import math

import pytest
import torch
from scipy import stats
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal, kl_divergence
from torch.testing import assert_close

from helpers.linear_gaussian import random_gaussian
from vaelab import VAE, Conditional
from vaelab.evaluation import aggregate_posterior_given
from vaelab.evaluation.latents import active_units, aggregate_posterior, kl_per_dimension
from vaelab.families import DiagonalGaussian, FullGaussian
from vaelab.networks import MLP
from vaelab.priors import ConditionalPrior, LearnedPrior, StandardNormal

B, P = 7, 3
N = 501


def gaussians(full, *leading, seed=0):
    return random_gaussian((*leading, P), full, torch.Generator().manual_seed(seed))


def normal(means, stds, dtype=torch.float64):
    means = torch.as_tensor(means).to(dtype)
    return Independent(Normal(means, torch.as_tensor(stds).to(dtype).expand_as(means)), 1)


def standard(p):
    return StandardNormal((p,)).double()()


# KL per dimension


def test_kl_per_dimension_is_the_closed_form():
    q = gaussians(False, B)
    variance = q.scale.square()
    expected = 0.5 * (q.mean.square() + variance - 1 - variance.log())
    assert_close(kl_per_dimension(q(), standard(P)), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "prior", [lambda: StandardNormal((P,)), lambda: LearnedPrior(DiagonalGaussian((P,)))], ids=["standard", "learned"]
)
def test_kl_per_dimension_of_diagonal_gaussians_adds_up_to_the_kl(prior):
    q, prior = gaussians(False, B), prior().double()
    for parameter in prior.parameters():
        parameter.data = torch.linspace(-1, 1.5, parameter.numel(), dtype=torch.float64)
    per_dimension = kl_per_dimension(q(), prior())
    assert per_dimension.shape == (B, P)
    assert_close(per_dimension.sum(-1), kl_divergence(q(), prior()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("full_q", [False, True])
def test_kl_per_dimension_of_full_gaussians_is_that_of_their_marginals(full_q):
    q, p = gaussians(full_q, B), gaussians(True, seed=1)
    found = kl_per_dimension(q(), p())
    for row in range(B):
        for j in range(P):
            one, other = q.covariance[row, j, j].item() ** 0.5, p.covariance[j, j].item() ** 0.5
            shift = q.mean[row, j].item() - p.mean[j].item()
            expected = math.log(other / one) + (one**2 + shift**2) / (2 * other**2) - 0.5
            assert found[row, j].item() == pytest.approx(expected, rel=1e-10)
    assert (found >= 0).all()


def test_kl_per_dimension_is_the_integral_over_a_marginal():
    family = FullGaussian((2,)).double()
    q, grid = family(torch.tensor([[0.3, -1, -0.5, 0.4, 0.9]], dtype=torch.float64)), torch.linspace(-12, 12, 4001)
    grid = grid.double()
    for j, kl in enumerate(kl_per_dimension(q, standard(2))[0]):
        marginal = stats.norm(q.mean[0, j].item(), q.covariance_matrix[0, j, j].item() ** 0.5)
        integrand = marginal.pdf(grid) * (marginal.logpdf(grid) - stats.norm.logpdf(grid))
        assert kl.item() == pytest.approx(torch.trapezoid(torch.as_tensor(integrand), grid).item(), abs=1e-8)


# Active units


def test_a_unit_is_active_where_its_mean_varies_with_the_data():
    # A variance is of the n examples, not n − 1: ±0.1 is at the threshold.
    column = torch.tensor([1.0, -1.0]).repeat(4)
    means = torch.stack([column * 0.09, column * 0.11, column * 5 + 1e3, column * 0 + 3], dim=-1)
    assert active_units(means).tolist() == [False, True, True, False]
    assert active_units(means, threshold=0.005).tolist() == [True, True, True, False]
    assert active_units(means[:2], threshold=0.011).tolist() == [False, True, True, False]
    assert active_units(means[:1]).tolist() == [False] * 4


def test_a_unit_is_active_on_the_scale_of_a_learned_prior():
    means = torch.randn(101, 3, dtype=torch.float64) * torch.tensor([0.05, 0.5, 5.0])
    assert active_units(means).tolist() == [False, True, True]
    for scale in (1e-3, 1e3):  # the same model with z measured in other units
        assert active_units(scale * means, prior_variance=torch.full((3,), scale**2)).tolist() == [False, True, True]
    assert active_units(means, prior_variance=torch.tensor([0.01, 100.0, 1.0])).tolist() == [True, False, True]


# The aggregate posterior

BOUNDS = ("mutual_information_low", "mutual_information_high", "aggregate_kl_low", "aggregate_kl_high")


def numbers(aggregate):
    return [getattr(aggregate, name).item() for name in BOUNDS]


def channel(n, p, noise, wide=1.0, gain=1.0):
    """q(z|x) = N(gain·x, noise²), x ~ N(0, I), so q(z) = N(0, gain² + noise²); -> q, prior, I(x; z), KL(q(z) ‖ p)."""
    q = normal(gain * torch.randn(n, p, dtype=torch.float64), noise)
    ratio = (gain**2 + noise**2) / wide**2
    truth = 0.5 * p * math.log(1 + gain**2 / noise**2), 0.5 * p * (ratio - 1 - math.log(ratio))
    return q, normal(torch.zeros(p), wide), *truth


def by_definition(log_q):
    """I_low and I_high of log q(z_i|x_j), (n, n)."""
    n, own = len(log_q), log_q.diagonal()
    others = log_q.masked_fill(torch.eye(n, dtype=torch.bool), -math.inf)
    low = own - log_q.logsumexp(1) + math.log(n)
    return low.mean(), (own - others.logsumexp(1) + math.log(n - 1)).mean()


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, N])
def test_latents_that_ignore_the_data_carry_no_information(full, n):
    """With q(z|x) = q(z) for all x both quantities are known without error: 0, and KL(q ‖ p)."""
    same, prior = gaussians(full), gaussians(full, seed=7)
    mean, factor = same.mean.expand(n, P), same.factor.expand(n, P, P)
    q = MultivariateNormal(mean, scale_tril=factor) if full else normal(mean, same.scale)
    aggregate = aggregate_posterior(q, prior())
    kl = kl_divergence(q, prior())[0].item()
    expected = [0, kl, 0, kl] if n == 1 else [0, 0, kl, kl]  # one example does not say that the others are like it
    assert numbers(aggregate) == pytest.approx(expected, abs=1e-9)
    errors = torch.stack(aggregate[1::2])
    assert errors.isnan().all() if n < 3 else (errors < 1e-9).all()


def test_the_prior_itself_leaves_nothing():
    prior = gaussians(False)
    aggregate = aggregate_posterior(normal(prior.mean.expand(N, P), prior.scale), prior())
    assert numbers(aggregate) == pytest.approx([0] * 4, abs=1e-9)


@pytest.mark.parametrize("n", [2, 3, N])
@pytest.mark.parametrize("copies", [1, 3])
def test_latents_that_tell_all_examples_apart_have_the_low_bound_log_n(n, copies):
    q, prior = normal(torch.arange(n).unsqueeze(-1).expand(n, copies), 0.01), standard(copies)
    kl = kl_divergence(q, prior).mean().item()
    i_low, i_high, kl_low, kl_high = numbers(aggregate_posterior(q, prior))
    assert i_low == pytest.approx(math.log(n), abs=5e-6)
    assert kl_high == pytest.approx(kl - math.log(n), rel=1e-9)
    assert i_high == pytest.approx(kl - kl_low, rel=1e-9)
    assert i_high > 1000 if n > 3 else kl_low == 0  # 5,000 nats is the density at the next example, 100 sigma away


def test_two_examples_by_hand():
    q, prior = normal([[0.0], [1.0]], 1.0), normal([0.3], 1.5)
    torch.manual_seed(8)
    z = q.sample()
    torch.manual_seed(8)
    low, high = by_definition(q.log_prob(z.unsqueeze(1)))
    kl = kl_divergence(q, prior).mean()
    expected = [value.clamp(0, kl) for value in (low, high)]
    expected += [kl - expected[1], kl - expected[0]]
    assert numbers(aggregate_posterior(q, prior)) == pytest.approx([value.item() for value in expected], abs=1e-12)


@pytest.mark.parametrize("n", [2, 7, 50])
@pytest.mark.parametrize("p", [1, 3])
def test_the_bounds_hold_in_expectation(p, n):
    torch.manual_seed(2)
    found, repeats = [], 150
    for _ in range(repeats):
        q, prior, information, kl = channel(
            n, p, noise=0.5, wide=0.1
        )  # the KL is so large that nothing is cut off at it
        found.append(numbers(aggregate_posterior(q, prior)))
    found = torch.tensor(found, dtype=torch.float64)
    i_low, i_high, kl_low, kl_high = found.mean(0)
    margin = 3 * (found.std(0) / repeats**0.5).max()
    assert i_low < information < i_high + margin
    assert kl_low - margin < kl < kl_high + margin
    assert i_high > information + 0.1 if n < 50 else i_high - i_low < 1.5 * p


def test_a_bound_that_is_cut_off_is_past_the_truth_by_less_than_its_standard_error():
    """The smaller of two estimates is a little too small on average."""
    torch.manual_seed(2)
    found = []
    for _ in range(150):
        q, prior, information, kl = channel(50, 1, noise=0.5, gain=0.75**0.5)  # q(z) is the prior: KL is I(x; z)
        found.append(torch.stack(aggregate_posterior(q, prior)))
    i_low, _, i_high, error, kl_low, _, kl_high, _ = torch.stack(found).mean(0)
    assert i_low < information < i_high + error
    assert kl_low - error < kl < kl_high


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_many_examples_close_the_bracket_of_a_gaussian_channel(noise):
    torch.manual_seed(3)
    q, prior, information, kl = channel(2003, 1, noise, wide=2.0)
    aggregate = aggregate_posterior(q, prior)
    error = 3 * max(value.item() for value in aggregate[1::2])
    i_low, i_high, kl_low, kl_high = numbers(aggregate)
    assert i_low - error < information < i_high + error
    assert kl_low - error < kl < kl_high + error
    assert i_high - i_low < 0.02
    assert error < 0.15


def test_many_latents_leave_a_wide_bracket_around_the_truth():
    """An aggregate posterior that is the prior exactly: the one-sided estimate said 14.92 ± 0.04 nats from it."""
    torch.manual_seed(0)
    noise = 0.3
    q, prior, information, kl = channel(2003, 21, noise, gain=(1 - noise**2) ** 0.5)
    aggregate = aggregate_posterior(q, prior)
    i_low, i_high, kl_low, kl_high = numbers(aggregate)
    assert (i_low, kl_low) == (pytest.approx(math.log(2003), abs=1e-3), 0)
    assert aggregate.aggregate_kl_low_stderr == 0
    assert i_low < information < i_high + 3 * aggregate.mutual_information_high_stderr
    assert kl_low <= kl + 1e-12 < kl_high


def test_an_upper_bound_that_is_cut_off_at_0_keeps_its_error():
    """Hardly any information, and a prior that is q(z): by chance the draws say that less than nothing is left."""
    torch.manual_seed(4)
    found = []
    for _ in range(100):
        q, prior, *_ = channel(20, 3, noise=1.0, gain=0.3, wide=1.09**0.5)
        found.append(aggregate_posterior(q, prior))
    cut = [aggregate for aggregate in found if aggregate.aggregate_kl_high == 0]
    assert 5 < len(cut) < 95
    assert min(aggregate.aggregate_kl_high_stderr.item() for aggregate in cut) > 0.01
    assert all(aggregate.aggregate_kl_low_stderr == 0 for aggregate in found if aggregate.aggregate_kl_low == 0)


@pytest.mark.parametrize("full", [False, True])
def test_the_standard_errors_are_those_of_leaving_each_example_out(full):
    q, prior, n = gaussians(full, 13)(), gaussians(True, seed=3)(), 13
    torch.manual_seed(3)
    z = q.sample().detach()
    torch.manual_seed(3)
    aggregate = aggregate_posterior(q, prior)
    with torch.no_grad():
        log_q, kl = q.log_prob(z.unsqueeze(1)), kl_divergence(q, prior)
    low, high = by_definition(log_q)
    assert 0 < low < high < kl.mean()  # nothing is cut off
    expected = [low, high, kl.mean() - high, kl.mean() - low]
    assert numbers(aggregate) == pytest.approx([value.item() for value in expected], abs=1e-10)
    without = []
    for k in range(n):
        rest = torch.tensor([i for i in range(n) if i != k])
        low, high = by_definition(log_q[rest][:, rest])
        without.append(torch.stack([low, high, kl[rest].mean() - high, kl[rest].mean() - low]))
    without = torch.stack(without)
    errors = ((n - 1) / n * (without - without.mean(0)).square().sum(0)).sqrt()
    assert_close(torch.stack(aggregate[1::2]), errors, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("p", "noise"), [(1, 0.3), (3, 0.3), (5, 0.5)])
def test_two_standard_errors_cover_what_other_examples_would_say(p, noise):
    """They cover the expectation of a bound at this n, in about 95 % of the data sets; s/√n covers it in fewer."""
    torch.manual_seed(5)
    found, plain = [], []
    for _ in range(250):
        q, prior, *_ = channel(50, p, noise, wide=0.1)  # nothing is cut off at the KL
        aggregate = aggregate_posterior(q, prior)
        found.append(torch.stack(aggregate))
        log_q = q.log_prob(q.sample().unsqueeze(1))
        plain.append((log_q.diagonal() - log_q.logsumexp(1)).std() / 50**0.5)
    found = torch.stack(found)  # (repeats, bounds and errors)
    off = (found[:, ::2] - found[:, ::2].mean(0)).abs()
    covered = (off < 1.96 * found[:, 1::2]).double().mean(0)
    assert ((covered > 0.91) & (covered < 0.99)).all(), covered
    if p == 3:
        assert (off[:, 0] < 1.96 * torch.stack(plain)).double().mean() < 0.91


def test_a_pair_without_a_closed_form_takes_the_kl_from_the_draws():
    q = gaussians(False, 101)()
    prior = MixtureSameFamily(Categorical(torch.ones(1).double()), normal(torch.zeros(1, P), 3.0))  # one Gaussian
    torch.manual_seed(6)
    aggregate = aggregate_posterior(q, prior)
    torch.manual_seed(6)
    z = q.sample()
    kl = (q.log_prob(z) - prior.log_prob(z)).mean().item()
    assert aggregate.mutual_information_low + aggregate.aggregate_kl_high == pytest.approx(kl, abs=1e-10)
    assert aggregate.mutual_information_high + aggregate.aggregate_kl_low == pytest.approx(kl, abs=1e-10)


@pytest.mark.parametrize("memory", [1, 64 * N * 2, 64 * N * P * 17, 2**30])
@pytest.mark.parametrize("full", [False, True])
def test_chunks_change_no_number(full, memory):
    q, prior = gaussians(full, N)(), gaussians(False, seed=4)()
    torch.manual_seed(4)
    expected = aggregate_posterior(q, prior)
    torch.manual_seed(4)
    for one, other in zip(aggregate_posterior(q, prior, memory), expected, strict=True):
        assert not one.requires_grad
        assert_close(one, other, rtol=0, atol=1e-10)


def test_single_precision_gives_the_same_information():
    q = gaussians(False, N)()
    torch.manual_seed(5)
    double = aggregate_posterior(q, standard(P))
    torch.manual_seed(5)
    found = aggregate_posterior(normal(q.mean, q.stddev, torch.float32), StandardNormal((P,))())
    assert {value.dtype for value in found} == {torch.float64}
    for one, other, error in zip(found[::2], double[::2], double[1::2], strict=True):
        assert abs(one - other) < 5 * error + 1e-6


# Under a prior for each condition


@torch.no_grad()
def test_bounds_given_the_condition_are_the_averages_over_its_values():
    n, size = (40, 25), 2
    torch.manual_seed(1)
    c = torch.eye(size).repeat_interleave(torch.tensor(n), 0)[torch.randperm(sum(n))]
    x = torch.randn(sum(n), 5)
    prior = ConditionalPrior(DiagonalGaussian((P,), init_std=1.0), hidden=[], condition_size=size)
    parts = (5,), DiagonalGaussian((P,), init_std=0.3), DiagonalGaussian((5,)), prior, MLP
    vae = VAE.build(*parts, condition_size=size)
    torch.nn.init.normal_(prior.network.layers[0].weight)
    torch.manual_seed(2)
    found = aggregate_posterior_given(vae, x, c)
    torch.manual_seed(2)
    each = []
    for one in c.unique(dim=0):
        rows = (c == one).all(-1)
        each.append(aggregate_posterior(vae.encode(x[rows], c[rows]), vae.prior_given(one)))
    share = torch.tensor([(c == one).all(-1).double().mean() for one in c.unique(dim=0)])
    for name in ("mutual_information_low", "mutual_information_high", "aggregate_kl_low", "aggregate_kl_high"):
        assert_close(getattr(found, name), sum(w * getattr(part, name) for w, part in zip(share, each, strict=True)))
    kl = kl_divergence(vae.encode(x, c), vae.prior_given(c)).double().mean()
    assert_close(found.mutual_information_low + found.aggregate_kl_high, kl)
    assert aggregate_posterior_given(vae, x, torch.randn(sum(n), size)) is None  # every example has its own


@pytest.mark.drill
@torch.no_grad()
def test_the_errors_given_the_condition_cover_the_spread_over_other_examples():
    """A Gaussian channel whose noise depends on the class, so that the classes differ in what z says about x."""
    values, errors = [], []
    network = MLP((1,), 2, hidden=[], condition_size=2)
    with torch.no_grad():
        network.layers[0].weight.copy_(torch.tensor([[0.8, 0.0, 0.0], [0.0, -2.0, 0.0]]))
        network.layers[0].bias.zero_()
    prior = ConditionalPrior(DiagonalGaussian((1,), init_std=1.0), hidden=[], condition_size=2)
    family = DiagonalGaussian((1,), init_std=0.6)
    vae = VAE(Conditional(network, family), Conditional(MLP((1,), 2), DiagonalGaussian((1,))), prior)
    for _ in range(200):
        x, c = torch.randn(120, 1), torch.eye(2)[torch.randint(2, (120,))]
        found = aggregate_posterior_given(vae, x, c)
        values.append(found.mutual_information_low)
        errors.append(found.mutual_information_low_stderr)
    spread, error = torch.stack(values).std(), torch.stack(errors).mean()
    assert 0.65 * error < spread < 1.1 * error  # a jackknife tends to say too much
