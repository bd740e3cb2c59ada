import itertools
import math
import sys
from functools import partial

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence
from torch.testing import assert_close

from vaelab import VAE
from vaelab.evaluation import effective_sample_size, exact_log_marginal, log_marginal_likelihood, log_weights, pareto_k
from vaelab.evaluation.score import score
from vaelab.families import Bernoulli, DiagonalGaussian, IsotropicGaussian
from vaelab.networks import MLP
from vaelab.priors import StandardNormal

N, K = 13, 6
SIZES = [5, 5, 3]  # examples per batch


class Mixture(nn.Module):
    """() -> ⅓ N(−1, 0.25 I) + ⅔ N(1, I): a prior without a closed-form KL."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self):
        means = torch.tensor([-1.0, 1.0], dtype=torch.float64).unsqueeze(-1).expand(2, self.p)
        stds = torch.tensor([0.5, 1.0], dtype=torch.float64).unsqueeze(-1).expand(2, self.p)
        weights = Categorical(torch.tensor([1 / 3, 2 / 3], dtype=torch.float64))
        return MixtureSameFamily(weights, Independent(Normal(means, stds), 1))


class TrueNetwork(nn.Module):
    """x -> the numbers of the diagonal Gaussian of the true posterior's moments, by quadrature: a good proposal."""

    def __init__(self, vae, points, weights):
        super().__init__()
        self.parts = [vae, points, weights]

    def forward(self, x):
        vae, z, weights = self.parts
        joint = vae.decode(z).log_prob(x.unsqueeze(1)) + vae.prior().log_prob(z) + weights.log()  # (B, points)
        posterior = joint.softmax(-1)
        mean = posterior @ z
        variance = 1.5 * (posterior @ z.square() - mean.square())
        return torch.cat([mean, variance.log()], dim=-1).detach()


def grid(p, steps=161):
    """Points of a latent space (m, p), and the volume that each stands for (m,)."""
    axis = torch.linspace(-10, 10, steps, dtype=torch.float64)
    points = torch.cartesian_prod(*[axis] * p).view(-1, p)
    return points, torch.full((len(points),), (20 / (steps - 1)) ** p, dtype=torch.float64)


def bernoulli_vae(p, prior=None):
    """A VAE with a posterior near the true one, and log p(t) of targets by quadrature."""
    torch.manual_seed(1)
    prior = StandardNormal((p,)) if prior is None else prior
    network = partial(MLP, hidden=[7])
    vae = VAE.build((K,), DiagonalGaussian((p,), min_std=0, init_std=1.0), Bernoulli((K,)), prior, network).double()
    for parameter in vae.decoder.parameters():
        parameter.data += 0.5 * torch.randn_like(parameter)
    z, volume = grid(p)
    vae.encoder.network = TrueNetwork(vae, z, volume)
    log_measure = vae.prior().log_prob(z) + volume.log()
    return vae, lambda t: (vae.decode(z).log_prob(t.unsqueeze(1)) + log_measure).logsumexp(-1)


def binary(n=N):
    return (torch.rand(n, K, generator=torch.Generator().manual_seed(2), dtype=torch.float64) < 0.4).double()


def batches(x, target=None):
    target = x if target is None else target
    return list(zip(x.split(SIZES), target.split(SIZES), strict=True))


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("prior", [None, Mixture])
def test_the_terms_are_those_of_quadrature(p, prior):
    vae, log_p = bernoulli_vae(p, prior and prior(p))
    t, samples = binary(), 5003
    torch.manual_seed(3)
    terms = score(vae, batches(t), samples)
    z, volume = grid(p)
    q = vae.encode(t)
    log_qz = q.log_prob(z.unsqueeze(1))  # (points, n)
    weight = log_qz.exp() * volume.unsqueeze(-1)
    assert_close(weight.sum(0), torch.ones(N, dtype=torch.float64), rtol=0, atol=1e-6)
    log_likelihood = (weight * vae.decode(z).log_prob(t.unsqueeze(1)).T).sum(0)
    kl = (weight * (log_qz - vae.prior().log_prob(z).unsqueeze(-1))).sum(0)
    assert_close(terms["kl"], kl, rtol=0, atol=1e-6 if prior is None else 0.1)
    assert_close(terms["log_likelihood"], log_likelihood, rtol=0, atol=0.1)
    error = (1 / terms["ess"] - 1 / samples).clamp(min=0).sqrt() + 1e-6  # of log p̂, by the delta method
    assert ((terms["nll"] + log_p(t)).abs() < 4.5 * error).all()
    assert error.max() < 0.1
    assert (terms["nll"] + log_p(t)).mean().abs() < 4 * error.square().sum().sqrt() / N
    assert terms["elbo"].mean() < terms["iw_10"].mean() < -terms["nll"].mean()


def test_every_term_is_that_of_its_example_alone():
    vae, _ = bernoulli_vae(2)
    t, samples = binary(), 107
    drawn = []
    hook = vae.decoder.register_forward_pre_hook(lambda _, inputs: drawn.append(inputs[0].clone()))
    terms = score(vae, batches(t), samples)
    hook.remove()
    z = torch.cat([part for part in drawn if len(part) == samples], dim=1)  # the others were to measure the memory
    assert z.shape == (samples, N, 2)
    for row in range(N):
        q = vae.encode(t[row : row + 1])
        log_pt_z = torch.stack([vae.decode(z_l).log_prob(t[row]) for z_l in z[:, row]])
        log_w = log_pt_z - torch.stack([(q.log_prob(z_l) - vae.prior().log_prob(z_l))[0] for z_l in z[:, row]])
        kl = kl_divergence(q, vae.prior())[0]
        expected = {
            "nll": -log_w.exp().mean().log(),
            "elbo": log_pt_z.mean() - kl,
            "log_likelihood": log_pt_z.mean(),
            "kl": kl,
            "iw_1": log_w.mean(),
            "iw_50": (log_w[:50].exp().mean().log() + log_w[50:100].exp().mean().log()) / 2,
            "iw_107": log_w.exp().mean().log(),
            "ess": effective_sample_size(log_w.unsqueeze(-1))[0],
            "pareto_k": pareto_k(log_w.unsqueeze(-1))[0],
        }
        halves = (log_w[:53].exp().mean().log() + log_w[53:106].exp().mean().log()) / 2
        expected["nll_change"] = expected["iw_107"] - halves
        for name, value in expected.items():
            assert terms[name][row].item() == pytest.approx(value.item(), rel=1e-9, abs=1e-9), name
    assert set(terms) == {*expected, "iw_5", "iw_10", "iw_100"}


@pytest.mark.parametrize("samples", [1, 2, 4, 5, 12])
def test_bounds_are_there_up_to_the_samples(samples):
    vae, _ = bernoulli_vae(1)
    terms = score(vae, batches(binary()), samples)
    counts = sorted(int(name[3:]) for name in terms if name.startswith("iw_"))
    assert counts == sorted({1, samples} | {count for count in (5, 10) if count <= samples})
    assert {values.shape for values in terms.values()} == {(N,)}
    assert {values.dtype for values in terms.values()} == {torch.float64}
    assert not any(values.isnan().any() for values in terms.values())
    assert_close(terms[f"iw_{samples}"], -terms["nll"], rtol=1e-12, atol=1e-12)
    if samples == 1:
        assert not terms["nll_change"].any()
        assert_close(terms["ess"], torch.ones(N, dtype=torch.float64))


def test_a_prior_without_a_closed_form_takes_its_kl_from_the_draws():
    vae, _ = bernoulli_vae(1, Mixture(1))
    with pytest.raises(NotImplementedError):
        kl_divergence(vae.encode(binary()), vae.prior())
    terms = score(vae, batches(binary()), 11)
    assert_close(terms["elbo"], terms["iw_1"], rtol=1e-12, atol=1e-12)  # the same draws in every term


@pytest.mark.parametrize("memory", [1, 30_000, 2**25])
@pytest.mark.parametrize("split", [[13], [5, 5, 3], [1] * 13, [12, 1]])
def test_every_example_counts_once_in_order_whatever_the_batches_and_the_memory(split, memory):
    vae, _ = bernoulli_vae(1)
    t, done = binary(), []
    q, prior = vae.encode(t), vae.prior()
    terms = score(vae, zip(t.split(split), t.split(split), strict=True), 7, memory, done.append)
    assert sum(done) == N
    assert all(rows > 0 for rows in done)
    assert_close(terms["kl"], kl_divergence(q, prior), rtol=1e-10, atol=1e-10)


def test_the_target_is_what_is_scored_and_x_what_is_encoded():
    vae, log_p = bernoulli_vae(1)
    x, target = binary(), binary().flip(0)
    terms = score(vae, batches(x, target), 5003)
    assert_close(terms["kl"], kl_divergence(vae.encode(x), vae.prior()), rtol=1e-10, atol=1e-10)
    assert (terms["nll"] + log_p(target)).median().abs() < 0.05
    assert (log_p(x) - log_p(target)).abs().max() > 0.5


def linear(dtype=torch.float64, k=5):
    """A linear-Gaussian VAE; its q has the mean of the posterior, and no less variance in any direction."""
    torch.manual_seed(4)
    network = partial(MLP, hidden=[])
    likelihood = IsotropicGaussian((k,), init_std=0.8)
    vae = VAE.build((k,), DiagonalGaussian((2,), init_std=1.0), likelihood, StandardNormal((2,)), network).double()
    (w, b), variance = vae.decoder.network.parameters(), likelihood(torch.zeros(k)).variance[0].item()
    s = (torch.eye(2, dtype=torch.float64) + w.T @ w / variance).inverse()
    to_mean = s @ w.T / variance
    layer = vae.encoder.network.layers[0]
    layer.weight.data = torch.cat([to_mean, torch.zeros_like(to_mean)]).detach()
    layer.bias.data = torch.cat([-to_mean @ b, (2 * s.diagonal()).log()]).detach()
    return vae.to(dtype)


@pytest.mark.parametrize("memory", [3_000, 2**25])
def test_the_exact_nll_is_there_for_a_linear_gaussian_model_and_near_the_estimate(memory):
    vae, x = linear(), torch.randn(N, 5, dtype=torch.float64)
    terms = score(vae, batches(x), 107, memory)
    assert_close(terms["exact_nll"], -exact_log_marginal(vae, x), rtol=1e-12, atol=1e-12)
    assert (score(vae, batches(x), 5003)["nll"] - terms["exact_nll"]).abs().max() < 0.3
    assert "exact_nll" not in score(bernoulli_vae(1)[0], batches(binary()), 3)


def test_the_exact_nll_is_computed_once_per_batch(monkeypatch):
    calls = []
    module = sys.modules[score.__module__]
    monkeypatch.setattr(module, "exact_log_marginal", lambda vae, target, condition: calls.append(len(target)))
    score(linear(), batches(torch.randn(N, 5, dtype=torch.float64)), 3, memory=1)
    assert calls == SIZES


@pytest.mark.parametrize("default", [torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_model_of_either_precision_is_scored_under_either_default(dtype, default):
    vae, x = linear(dtype), torch.randn(N, 5).to(dtype)
    torch.set_default_dtype(default)
    try:
        terms = score(vae, batches(x), 1003)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {values.dtype for values in terms.values()} == {torch.float64}
    assert not any(values.requires_grad for values in terms.values())
    assert (terms["nll"] - terms["exact_nll"]).abs().mean() < 0.3


def test_scores_leave_the_model_as_it_was():
    vae, x = linear(), torch.randn(N, 5, dtype=torch.float64)
    before = [parameter.clone() for parameter in vae.parameters()]
    score(vae, batches(x), 3)
    assert all(torch.equal(one, other) for one, other in zip(before, vae.parameters(), strict=True))
    assert all(parameter.grad is None and parameter.requires_grad for parameter in vae.parameters())


def test_scores_follow_the_global_seed():
    vae, x = linear(), torch.randn(N, 5, dtype=torch.float64)
    runs = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        runs.append(score(vae, batches(x), 9)["nll"])
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_the_score_agrees_with_the_estimate_of_log_p():
    vae, log_p = bernoulli_vae(2)
    t = binary()
    torch.manual_seed(7)
    both = [score(vae, batches(t), 5003)["nll"], -log_marginal_likelihood(vae, t, samples=5003), -log_p(t)]
    for one, other in itertools.combinations(both, 2):
        assert_close(one, other, rtol=0, atol=0.15)
    assert log_weights(vae, t, t, 3).log_w.std() > 0.01


@pytest.mark.parametrize("samples", [0, -5, 2.5, True, None])
def test_samples_must_be_a_positive_whole_number(samples):
    with pytest.raises(ValueError, match="samples must be"):
        score(bernoulli_vae(1)[0], batches(binary()), samples)


def test_nothing_to_score_is_an_error():
    with pytest.raises(ValueError, match="must hold at least one example to score"):
        score(bernoulli_vae(1)[0], [], 3)


def test_the_moments_of_a_good_proposal_make_good_weights():
    vae, _ = bernoulli_vae(2)
    terms = score(vae, batches(binary()), 1003)
    assert (terms["ess"] > 0.1 * 1003).all()
    assert terms["nll_change"].mean().abs() < 0.05
    assert math.isfinite(terms["pareto_k"].max().item())
