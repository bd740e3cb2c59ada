import itertools
import math
import threading
from functools import partial

import arviz
import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal
from torch.testing import assert_close

from helpers.linear_gaussian import K, P, linear_vae, log_marginal, posterior, with_encoder
from vaelab import VAE
from vaelab.evaluation import importance
from vaelab.evaluation.importance import log_marginal_likelihood, log_weights
from vaelab.evaluation.memory_needed import decode_bytes, encode_bytes
from vaelab.evaluation.weight_statistics import effective_sample_size, iw_bound, log_mean, pareto_k
from vaelab.families import Bernoulli, DiagonalGaussian, FullGaussian, IdentityGaussian
from vaelab.networks import MLP
from vaelab.priors import StandardNormal

B, L = 7, 23
MODELS = list(itertools.product([False, True], repeat=2))  # full_noise, full_prior


class Lookup(nn.Module):
    """x (B, 1), the numbers of examples -> the q's of these examples."""

    def __init__(self, q):
        super().__init__()
        self.q = q

    def forward(self, x):
        rows = x[:, 0].long()
        mean, factor = self.q.mean[rows], self.q.factor.expand(len(self.q.mean), P, P)[rows]
        if self.q.full:
            return MultivariateNormal(mean, scale_tril=factor)
        return Independent(Normal(mean, factor.diagonal(dim1=-2, dim2=-1)), 1)


class Posterior(nn.Module):
    """x, the target itself -> p(z|t)."""

    def __init__(self, vae):
        super().__init__()
        self.model = [vae]  # no submodule of its own

    def forward(self, x):
        return MultivariateNormal(*posterior(self.model[0], x))


class Spy(nn.Module):
    """Calls a module and records the call."""

    def __init__(self, module, note):
        super().__init__()
        self.module = module
        self.note = note

    def forward(self, value):
        self.note(value)
        return self.module(value)


def targets(n=B):
    return 2 * torch.randn(n, K, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def numbers(n=B, repeats=1):
    return torch.arange(n, dtype=torch.float64).repeat(repeats).unsqueeze(-1)


def looked_up(vae, mean, covariance, full=True):
    vae = with_encoder(vae, mean, covariance, full)
    return VAE(Lookup(vae.encoder), vae.decoder, vae.prior)


def wide_proposal(full_noise=True, full_prior=True, widening=1.5, shift=0.5):
    """The model with q wider than the posterior and beside it, its targets, and χ²(p(z|t) ‖ q), the same for all."""
    vae, t = linear_vae(True, full_noise, full_prior), targets()
    m, s = posterior(vae, t)
    off = shift * torch.linspace(-1, 1, P, dtype=torch.float64) @ torch.linalg.cholesky(s).T
    v = widening * s
    inside = (2 * s.inverse() - v.inverse()).det()
    square = off @ (2 * v - s).inverse() @ off
    chi_squared = (v.det().sqrt() / s.det() / inside.sqrt() * square.exp() - 1).item()
    return looked_up(vae, m + off, v), t, chi_squared


def standard_errors_off(values, truth):
    """The largest distance between the mean over the first dimension and the truth."""
    return ((values.mean(0) - truth).abs() / (values.std(0) / len(values) ** 0.5)).max().item()


def network_vae(prior, hidden=50, k=300):
    torch.manual_seed(0)
    return VAE.build((1,), DiagonalGaussian((P,)), Bernoulli((k,)), prior, partial(MLP, hidden=[hidden]))


class Mixture(nn.Module):
    """() -> a mixture of many Gaussians."""

    def __init__(self, components):
        super().__init__()
        self.means = nn.Parameter(torch.randn(components, P))

    def forward(self):
        components = Independent(Normal(self.means, torch.ones_like(self.means)), 1)
        return MixtureSameFamily(Categorical(logits=self.means[:, 0]), components, validate_args=False)


# log p(t)


@pytest.mark.parametrize(
    ("samples", "memory"), [(1, 1), (2, 1), (7, 1), (7, 9_000), (1000, 300_003), (1000, 10**7), (1000, 2**25)]
)
@pytest.mark.parametrize(("full_noise", "full_prior"), MODELS)
def test_every_estimate_is_exact_at_the_posterior(full_noise, full_prior, samples, memory):
    vae, t = linear_vae(True, full_noise, full_prior), targets()
    expected = log_marginal(vae, t)
    reconstructing = VAE(Posterior(vae), vae.decoder, vae.prior)
    estimate = log_marginal_likelihood(reconstructing, t, samples=samples, memory=memory)
    assert_close(estimate, expected, rtol=0, atol=1e-10)
    predicting = looked_up(vae, *posterior(vae, t))
    assert_close(log_marginal_likelihood(predicting, numbers(), t, samples, memory), expected, rtol=0, atol=1e-10)
    assert not estimate.requires_grad


@pytest.mark.parametrize(
    ("samples", "memory", "repeats"), [(1, 2**25, 2001), (7, 2**25, 2001), (7, 8_000, 30), (400, 2**22, 101)]
)
def test_the_mean_of_the_estimates_of_p_is_p(samples, memory, repeats):
    vae, t, _ = wide_proposal()
    torch.manual_seed(2)
    estimates = log_marginal_likelihood(vae, numbers(B, repeats), t.repeat(repeats, 1), samples, memory)
    ratio = (estimates.view(repeats, B) - log_marginal(vae, t)).exp()
    assert standard_errors_off(ratio.flatten().unsqueeze(-1), 1) < 3
    assert standard_errors_off(ratio, 1) < 4


@pytest.mark.parametrize("full_posterior", [False, True])
@pytest.mark.parametrize(("full_noise", "full_prior"), MODELS)
def test_the_estimates_come_to_log_p_with_another_q(full_noise, full_prior, full_posterior):
    vae, t = linear_vae(True, full_noise, full_prior), targets()
    m, s = posterior(vae, t)
    vae = looked_up(vae, m + 0.1, 1.5 * s.diagonal().diag() if not full_posterior else 1.3 * s, full_posterior)
    repeats = 11
    torch.manual_seed(3)
    estimates = log_marginal_likelihood(vae, numbers(B, repeats), t.repeat(repeats, 1), 2003).view(repeats, B)
    assert_close(estimates, log_marginal(vae, t).expand(repeats, B), rtol=0, atol=0.15)
    assert estimates.std(0).min() > 1e-3  # it is an estimate, no closed form
    # The bias, χ²/(2L), is far below the standard error here.
    assert standard_errors_off((estimates - log_marginal(vae, t)).flatten().unsqueeze(-1), 0) < 3


def test_the_bounds_rise_towards_log_p_with_the_samples():
    vae, t, _ = wide_proposal(shift=1.0)
    repeats = 101
    torch.manual_seed(4)
    log_w = log_weights(vae, numbers(B, repeats), t.repeat(repeats, 1), 200).log_w
    log_p = log_marginal(vae, t).repeat(repeats)
    bounds = [iw_bound(log_w, count) for count in (1, 5, 50)]
    for lower, higher in itertools.pairwise([*bounds, log_p]):
        rise = higher - lower
        assert rise.mean() > 3 * rise.std() / len(rise) ** 0.5


@pytest.mark.parametrize(("widening", "shift"), [(1.5, 0.0), (1.2, 0.5), (0.8, 0.3)])
def test_the_gap_of_the_bound_is_half_chi_squared_over_the_samples(widening, shift):
    vae, t, chi_squared = wide_proposal(widening=widening, shift=shift)
    samples, repeats = 300, 501
    torch.manual_seed(5)
    estimates = log_marginal_likelihood(vae, numbers(B, repeats), t.repeat(repeats, 1), samples, 2**25)
    log_r = estimates - log_marginal(vae, t).repeat(repeats)
    gap = log_r.exp() - 1 - log_r  # E[p̂] = p, so that the mean is that of log p − log p̂, with far less noise
    expected = chi_squared / (2 * samples)
    assert (gap.mean().item() - expected) / expected == pytest.approx(0, abs=0.1)


# Draws and memory


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("decodes", [1, 2, 5, L - 1, L, L + 1, 3 * L + 2, 5 * L, 10**6])
def test_every_example_gets_exactly_its_draws_within_the_memory(monkeypatch, threads, decodes):
    threads(1)  # so that all is done in order
    monkeypatch.setattr(importance, "decode_bytes", lambda *_: 10)
    vae, t, _ = wide_proposal()
    encoded, decoded = [], []
    vae.encoder = Spy(vae.encoder, lambda x: (encoded.append(x[:, 0].tolist()), decoded.append([])))
    vae.decoder.register_forward_pre_hook(lambda _, inputs: decoded[-1].append(tuple(inputs[0].shape)))
    log_marginal_likelihood(vae, numbers(), t, samples=L, memory=10 * decodes + 9)
    assert list(itertools.chain(*encoded)) == list(range(B))  # each example once, in order
    for rows, shapes in zip(encoded, decoded, strict=True):
        assert sum(draws for draws, *_ in shapes) == L
        assert {shape[1:] for shape in shapes} == {(len(rows), P)}
        assert max(draws * size for draws, size, _ in shapes) <= decodes
    if decodes >= B * L:
        assert decoded == [[(L, B, P)]]  # and no more chunks than needed


@pytest.mark.parametrize("memory", [1, 700, 9_000, 2**25])
def test_any_number_of_threads_gives_the_same_estimates(threads, memory):
    vae, t, _ = wide_proposal()
    vae.eval()
    working, estimates = set(), []
    vae.decoder.register_forward_pre_hook(lambda *_: working.add(threading.get_ident()))
    for count in (1, 2, 5):
        threads(count)
        torch.manual_seed(6)
        working.clear()
        estimates.append(log_marginal_likelihood(vae, numbers(), t, 13, memory))
        assert torch.get_num_threads() == count
        assert (working - {threading.get_ident()} != set()) == (count > 1)
    assert torch.equal(estimates[0], estimates[1])
    assert torch.equal(estimates[0], estimates[2])


def test_a_decoder_that_draws_is_left_to_one_thread(threads):
    threads(2)
    torch.manual_seed(6)
    vae = network_vae(StandardNormal((P,)))
    vae.decoder.network.layers.append(nn.Dropout(0.5))
    estimates = []
    for _ in range(3):
        torch.manual_seed(6)
        estimates.append(log_marginal_likelihood(vae, torch.ones(7, 1), torch.ones(7, 300), 501, 2**16))
    assert torch.equal(estimates[0], estimates[1])
    assert torch.equal(estimates[0], estimates[2])


def test_autocast_holds_in_every_thread(threads):
    threads(2)
    vae = network_vae(StandardNormal((P,))).eval()
    with torch.autocast("cpu", torch.bfloat16):
        estimate = log_marginal_likelihood(vae, torch.ones(7, 1), torch.ones(7, 300), 501, 2**16)
    assert_close(estimate, log_marginal_likelihood(vae, torch.ones(7, 1), torch.ones(7, 300), 501), rtol=0.01, atol=0)


def test_an_error_in_a_thread_is_raised_and_leaves_torch_its_threads(threads):
    threads(3)
    vae, t, _ = wide_proposal()
    vae.eval()
    calls = itertools.count()
    vae.decoder.register_forward_pre_hook(lambda *_: 1 / (next(calls) < 9) and None)
    with pytest.raises(ZeroDivisionError):
        log_marginal_likelihood(vae, numbers(), t, 13, 700)
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("chunk", [None, 1, 2, 5, L, L + 7])
def test_log_weights_are_those_of_their_draws_in_chunks_of_any_size(chunk):
    vae, t, _ = wide_proposal()
    drawn = []
    hook = vae.decoder.register_forward_pre_hook(lambda _, inputs: drawn.append(inputs[0]))
    log_likelihood, log_ratio = weights = log_weights(vae, numbers(), t, L, chunk)
    hook.remove()
    z = torch.cat(drawn)
    assert z.shape == (L, B, P)
    q, prior = vae.encode(numbers()), vae.prior()
    assert_close(log_likelihood, vae.decode(z).log_prob(t), rtol=1e-12, atol=1e-12)
    assert_close(log_ratio, q.log_prob(z) - prior.log_prob(z), rtol=1e-12, atol=1e-12)
    assert torch.equal(weights.log_w, log_likelihood - log_ratio)
    assert {len(part) for part in drawn[:-1]} <= {chunk}
    assert len(drawn[-1]) <= (chunk or L)
    assert not weights.log_w.requires_grad


@pytest.mark.parametrize("prior", [lambda: StandardNormal((P,)), lambda: Mixture(300)])
@pytest.mark.parametrize("samples", [41, 2003])
def test_no_more_memory_is_taken_than_given(threads, prior, samples):
    threads(1)
    vae, memory = network_vae(prior()), 3 * 2**20
    x = torch.randn(11, 1)
    target = torch.zeros(11, 300)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        log_marginal_likelihood(vae, x, target, samples, memory)
    events = profile.profiler.kineto_results.events()
    changes = [event.nbytes() for event in events if event.name() == "[memory]"]
    peak = max(itertools.accumulate(changes))
    assert memory / 20 < peak < memory  # used, and not exceeded


def test_one_draw_costs_every_tensor_made_from_it():
    vae = network_vae(StandardNormal((P,)))
    cost = decode_bytes(vae, torch.zeros(1, 1), torch.zeros(1, 300))
    made = 4 * (2 * 50 + 300)  # W z + b, its tanh, and the logits
    assert made < cost < 30 * made


@pytest.mark.parametrize("samples", [0, -1, 2.0, True, None])
def test_samples_must_be_a_positive_whole_number(samples):
    vae, t, _ = wide_proposal()
    with pytest.raises(ValueError, match="samples must be"):
        log_marginal_likelihood(vae, numbers(), t, samples)
    with pytest.raises(ValueError, match="samples must be"):
        log_weights(vae, numbers(), t, samples)


@pytest.mark.parametrize("memory", [0, -1, 2.5, "1G"])
def test_memory_must_be_a_positive_whole_number(memory):
    vae, t, _ = wide_proposal()
    with pytest.raises(ValueError, match="memory must be"):
        log_marginal_likelihood(vae, numbers(), t, 2, memory)


@pytest.mark.parametrize("shape", [(B, K + 1), (B, 1), (B, 2, K), (B - 1, K), (1, K), (K,)])
def test_a_target_that_does_not_fit_is_refused(shape):
    vae, _, _ = wide_proposal()
    with pytest.raises(ValueError, match=r"must have a batch dimension|the same number of examples"):
        log_marginal_likelihood(vae, numbers(), torch.zeros(shape, dtype=torch.float64), 2)


def test_a_model_in_single_precision_is_estimated_in_single_precision_sums():
    vae, t, _ = wide_proposal()
    torch.manual_seed(6)
    double = log_marginal_likelihood(vae, numbers(), t, 1000)
    torch.manual_seed(6)
    single = log_marginal_likelihood(vae.float(), numbers().float(), t.float(), 1000)
    assert single.dtype == torch.float64  # the sum over the draws
    assert_close(single, double, rtol=0, atol=0.2)  # other draws


# Averages of weights


def test_the_importance_weighted_bound_is_the_mean_over_separate_groups():
    log_w = torch.randn(17, 3, 2, dtype=torch.float64)
    groups = [log_w[start : start + 5].exp().mean(0).log() for start in (0, 5, 10)]
    assert_close(iw_bound(log_w, 5), sum(groups) / 3, rtol=1e-12, atol=1e-12)
    log_w[15:] = math.nan  # what is left over takes no part
    assert iw_bound(log_w, 5).isfinite().all()
    assert iw_bound(log_w, 5).shape == (3, 2)


def test_the_importance_weighted_bound_of_one_draw_is_the_elbo_and_of_all_draws_log_p():
    log_w = torch.randn(17, 3, dtype=torch.float64)
    assert_close(iw_bound(log_w, 1), log_w.mean(0), rtol=1e-12, atol=1e-12)
    assert_close(iw_bound(log_w, 17), log_mean(log_w), rtol=1e-12, atol=1e-12)


def test_the_importance_weighted_bound_is_unbiased():
    torch.manual_seed(7)
    log_w = 1.5 * torch.randn(17, 40_001, dtype=torch.float64)
    direct = 1.5 * torch.randn(5, 160_001, dtype=torch.float64)
    few, many = log_mean(direct), iw_bound(log_w, 5)
    error = (few.var() / len(few) + many.var() / len(many)).sqrt()
    assert (few.mean() - many.mean()).abs() < 3 * error
    assert many.var() < 0.4 * few.var()  # a third: three groups, not one


@pytest.mark.parametrize("samples", [0, 18, 2.0])
def test_a_bound_of_more_draws_than_there_are_is_an_error(samples):
    with pytest.raises(ValueError, match="samples"):
        iw_bound(torch.zeros(17, 3), samples)


@pytest.mark.parametrize("offset", [-1e4, 0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_log_of_a_mean_is_stable(dtype, offset):
    log_w = torch.tensor([[0.0, 3.0], [1.0, -2000.0], [2.0, -math.inf]], dtype=dtype) + offset
    expected = torch.tensor([math.log((1 + math.e + math.exp(2)) / 3), 3 - math.log(3)], dtype=torch.float64)
    assert_close(log_mean(log_w), expected + offset, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("offset", [-1e4, 0, 1e4])
def test_the_effective_sample_size_is_that_of_the_weights(offset):
    log_w = torch.randn(L, B, dtype=torch.float64)
    w = log_w.exp().numpy()
    expected = torch.from_numpy(w.sum(0) ** 2 / (w**2).sum(0))
    assert_close(effective_sample_size(log_w + offset), expected, rtol=1e-9, atol=0)


def test_the_effective_sample_size_lies_between_one_draw_and_all():
    log_w = torch.zeros(L, 3)
    log_w[4, 1] = 800
    log_w[:, 2] = -math.inf
    log_w[3:8, 2] = -77
    assert_close(effective_sample_size(log_w), torch.tensor([L, 1, 5], dtype=torch.float64), rtol=1e-12, atol=0)


# Pareto k


def arviz_k(log_w):
    """k̂ by another library: (L, B) -> (B,)."""
    with np.errstate(all="ignore"):
        shapes = [arviz.psislw(np.array(column, dtype=float))[1] for column in log_w.double().numpy().T]
    return torch.tensor(np.array(shapes), dtype=torch.float64)


SHAPES = {
    "narrow": lambda u: 0.1 * Normal(0.0, 1.0).icdf(u),
    "log-normal": lambda u: Normal(0.0, 1.0).icdf(u),
    "wide": lambda u: 7 * Normal(0.0, 1.0).icdf(u),
    "dominated": lambda u: 300 * Normal(0.0, 1.0).icdf(u),
    "bounded": lambda u: u.log(),
    "exponential": lambda u: (-u.log()).log(),
    "pareto": lambda u: -0.8 * u.log(),
    "infinite mean": lambda u: -1.7 * u.log(),
    "chi-squared": lambda u: -(Normal(0.0, 1.0).icdf(u) ** 2),
    "ties": lambda u: (8 * u).round(),
}


@pytest.mark.parametrize("samples", [21, 30, 57, 200, 1000, 5000])
@pytest.mark.parametrize("shape", SHAPES)
def test_pareto_k_is_that_of_arviz(shape, samples):
    torch.manual_seed(8)
    log_w = SHAPES[shape](torch.rand(samples, 11, dtype=torch.float64))
    tail = log_w.topk(math.ceil(min(0.2 * samples, 3 * math.sqrt(samples))) + 1, dim=0).values
    expected = torch.where(tail[0] == tail[-1], 0, arviz_k(log_w))  # arviz: inf where nothing exceeds the threshold
    assert_close(pareto_k(log_w), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("zeros", [100, 850, 960, 990, 994])
def test_pareto_k_where_some_weights_are_zero_is_that_of_arviz(zeros):
    log_w = torch.randn(1000, 5, dtype=torch.float64)
    log_w[:zeros, 1:] = -math.inf
    assert_close(pareto_k(log_w), arviz_k(log_w), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("k", [0.0, 0.3, 0.5, 0.7, 1.0, 1.5])
def test_pareto_k_recovers_the_shape_of_pareto_weights(k):
    torch.manual_seed(9)
    u = torch.rand(40_001, 41, dtype=torch.float64)
    log_w = (torch.expm1(-k * u.log()) / k if k else -u.log()).log()
    found = pareto_k(log_w)
    tail = 3 * math.sqrt(40_001)
    assert found.mean().item() == pytest.approx((tail * k + 5) / (tail + 10), abs=0.03)  # the prior: 10 weights at 0.5
    assert found.std().item() == pytest.approx((1 + k) / math.sqrt(tail), rel=0.5)


@pytest.mark.parametrize("offset", [-1e6, 1e6])
def test_pareto_k_does_not_depend_on_a_common_factor(offset):
    log_w = torch.randn(1000, B, dtype=torch.float64)
    assert_close(pareto_k(log_w + offset), pareto_k(log_w), rtol=0, atol=1e-6)


def test_pareto_k_of_single_precision_is_that_of_its_numbers():
    log_w = 3 * torch.randn(1000, B) - 1500
    assert pareto_k(log_w).dtype == torch.float64
    assert_close(pareto_k(log_w), pareto_k(log_w.double()), rtol=0, atol=0)
    assert_close(pareto_k(log_w), arviz_k(log_w), rtol=1e-8, atol=1e-8)


def test_pareto_k_of_an_example_does_not_depend_on_the_others():
    log_w = torch.randn(500, 4, dtype=torch.float64) * torch.tensor([0.0, 1, 3, 900])
    for column in range(4):
        assert torch.equal(pareto_k(log_w)[column : column + 1], pareto_k(log_w[:, column : column + 1]))


@pytest.mark.parametrize("samples", [1, 2, 5, 20])
def test_pareto_k_of_too_few_draws_is_infinite(samples):
    assert torch.equal(pareto_k(torch.randn(samples, 3)), torch.full((3,), math.inf, dtype=torch.float64))


def test_pareto_k_where_no_weight_stands_out_or_there_is_none():
    log_w = torch.full((1000, 3), -12.0)
    log_w[:, 1] = -math.inf
    log_w[:997, 2] = -math.inf
    assert pareto_k(log_w).tolist() == [0, math.inf, math.inf]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pareto_k_of_an_exact_posterior_is_zero_and_not_that_of_its_rounding(dtype):
    vae, t = linear_vae(True, True, True), targets()
    vae = looked_up(vae, *posterior(vae, t)).to(dtype)
    log_w = log_weights(vae, numbers().to(dtype), t.to(dtype), 1000).log_w
    assert (log_w.std(0) > 0).any()
    assert torch.equal(pareto_k(log_w), torch.zeros(B, dtype=torch.float64))


def test_pareto_k_of_a_proposal_too_narrow_says_so():
    wide, t, _ = wide_proposal(widening=1.5, shift=0.0)
    narrow, _, _ = wide_proposal(widening=0.3, shift=0.0)  # k = 1 − 0.3: E[w²] is infinite
    torch.manual_seed(10)
    k_wide, k_narrow = (pareto_k(log_weights(vae, numbers(), t, 5000).log_w) for vae in (wide, narrow))
    assert k_wide.max() < 0.3
    assert k_narrow.min() > 0.5


def test_identity_noise_at_large_scale_stays_finite():
    vae = VAE.build((K,), DiagonalGaussian((P,)), IdentityGaussian((K,), std=0.01), StandardNormal((P,)), MLP)
    x = 100 * torch.randn(B, K)
    log_w = log_weights(vae, x, x, 200).log_w  # about −10⁸ each
    for values in (log_mean(log_w), iw_bound(log_w, 9), effective_sample_size(log_w)):
        assert values.isfinite().all()
    assert not pareto_k(log_w).isnan().any()


def test_a_full_covariance_of_z_counts_as_memory_of_the_encoder():
    few, many = (
        encode_bytes(
            VAE.build(
                (3,),
                FullGaussian((p,)),
                IdentityGaussian((3,)),
                StandardNormal((p,)),
                lambda shape, size: MLP(shape, size, [5]),
            ),
            torch.zeros(1, 3),
        )
        for p in (10, 100)
    )
    assert many > 4 * 100**2 > few
