"""The gradient estimators of the bounds that take many draws."""

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Independent, MixtureSameFamily, Normal
from torch.testing import assert_close

from helpers.choices import build, diagonal, full, learned_diagonal, log_mean_w
from helpers.integrals import Integrals, model_and_example
from helpers.linear_gaussian import (
    Gaussian,
    LinearDecoder,
    linear_vae,
    log_marginal,
    posterior,
    replicate,
    with_encoder,
)
from helpers.linear_gaussian import K as T
from vaelab import VAE
from vaelab.objectives import CIWAE, ELBO, IWAE, MIWAE, PIWAE, Draws, ELBOMonteCarlo, ManySampleBound, Renyi

BOUNDS = {
    "iwae": (IWAE, {"samples": 4}),
    "miwae": (MIWAE, {"samples": 3, "groups": 2}),
    "ciwae": (CIWAE, {"samples": 4, "beta": 0.3}),
    "piwae": (PIWAE, {"samples": 3, "groups": 2}),
    "renyi": (Renyi, {"samples": 4, "alpha": 0.6}),
    "renyi_beyond_1": (Renyi, {"samples": 3, "alpha": 1.7}),
}
NO_DRAWS = Draws(torch.zeros(6, 1, 1), None)
SCORES = ["score_function", "score_function_baseline", "vimco"]


def made(name, gradient):
    objective, settings = BOUNDS[name]
    return objective(**settings, gradient=gradient)


def targets(n):
    return 2 * torch.randn(n, T, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def near_posterior(shift=0.3):
    """A model whose q is the posterior of one example, shifted and widened."""
    vae, t = linear_vae(True, True, True), targets(1)[0]
    mean, covariance = posterior(vae, t)
    return with_encoder(vae, mean + shift, 1.2 * covariance, full=True), t


def gradients(objective, vae, t, n, seed=2):
    """n independent estimates of the gradient of the bound: one (n, …) for each parameter of the model."""
    many = replicate(vae, n)
    names, parameters = zip(*many.named_parameters(), strict=True)
    torch.manual_seed(seed)
    bound = -objective(many, t, t.expand(n, T)).loss.sum()
    return dict(zip(names, torch.autograd.grad(bound, parameters), strict=True))


def of_encoder(found):
    return torch.cat([found[f"encoder.{name}"].flatten(1) for name in ("mean", "scale")], 1)


def signal_to_noise(found):
    """|mean| / standard deviation of each number that is not exactly 0, on average."""
    used = found[:, found.abs().sum(0) > 0]
    return (used.mean(0).abs() / used.std(0)).mean().item()


@pytest.mark.parametrize("gradient", ["dreg", *SCORES])
@pytest.mark.parametrize("name", BOUNDS)
def test_every_estimator_has_the_mean_of_the_pathwise_gradient(name, gradient):
    vae, t = near_posterior()
    truth = gradients(made(name, "pathwise"), vae, t, 12_001)
    found = gradients(made(name, gradient), vae, t, 12_001, seed=3)
    for parameter in truth:
        one, other = truth[parameter], found[parameter]
        error = ((one.var(0) + other.var(0)) / 12_001).sqrt()
        assert ((one.mean(0) - other.mean(0)).abs() < 4.5 * error + 1e-9).all(), parameter


@pytest.mark.parametrize("gradient", ["stl", "dreg"])
@pytest.mark.parametrize("name", [*BOUNDS, "elbo"])
def test_without_the_score_every_estimate_for_the_encoder_is_zero_at_the_posterior(name, gradient):
    if name == "elbo" and gradient == "dreg":
        with pytest.raises(ValueError, match=r"objective\.gradient must be one of pathwise, stl, .*, but is dreg"):
            ELBOMonteCarlo(gradient="dreg")
        return
    vae, t = near_posterior()
    mean, covariance = posterior(vae, t)
    vae = with_encoder(vae, mean, covariance, full=True)
    objective = ELBOMonteCarlo(samples=3, gradient=gradient) if name == "elbo" else made(name, gradient)
    plain = ELBOMonteCarlo(samples=3) if name == "elbo" else made(name, "pathwise")
    assert of_encoder(gradients(objective, vae, t, 7)).abs().max() < 1e-10
    assert of_encoder(gradients(plain, vae, t, 7)).abs().max() > 0.1
    assert_close(objective(replicate(vae, 7), t, t.expand(7, T)).bound, log_marginal(vae, t).expand(7))


@pytest.mark.parametrize("gradient", ["stl", "dreg"])
def test_the_bias_of_sticking_the_landing_is_the_score_that_it_drops(gradient):
    """E[Σ_k w̃_k ∂ log q(z_k)] is 0 for one draw, but not for two; DReG has no bias."""
    vae, x, target = model_and_example(diagonal, diagonal, learned_diagonal)
    parameters = list(vae.encoder.parameters())
    integrals = Integrals(vae, x, target)
    log_pt_z, log_ratio, mass = integrals.over_q(401)
    log_w = torch.stack(torch.meshgrid(*[(log_pt_z - log_ratio).detach()] * 2, indexing="ij"))
    weight = (log_w.softmax(0)[0] * mass.detach()).sum(1)  # E[w̃_1 | z_1]
    score = 2 * (weight * mass).sum()  # its gradient is E[Σ_k w̃_k ∂ log q(z_k)], because ∂q = q ∂ log q
    bias = torch.autograd.grad(score, parameters, retain_graph=True)
    exact = torch.autograd.grad(integrals.expectation(log_mean_w, 2), parameters)
    n, groups = 16_384, 64
    torch.manual_seed(4)
    bound = -IWAE(samples=2, gradient=gradient)(vae, x.expand(n, -1), target.expand(n, -1)).loss
    many = bound.view(groups, -1).mean(-1)
    found = torch.autograd.grad(many, parameters, torch.eye(groups).double(), is_grads_batched=True)
    off = []
    for estimates, truth, dropped in zip(found, exact, bias, strict=True):
        expected = truth + dropped if gradient == "stl" else truth
        error = estimates.std(0) / groups**0.5
        assert ((estimates.mean(0) - expected).abs() < 4.5 * error + 1e-6).all()
        off.append((dropped.abs() / (error + 1e-9)).flatten())
    assert torch.cat(off).max() > 9  # so the test can tell


@pytest.mark.parametrize("gradient", ["pathwise", "stl", "dreg", *SCORES])
def test_piwae_has_the_decoders_gradient_of_iwae_and_the_encoders_of_miwae(gradient):
    vae, t = near_posterior()
    found = gradients(made("piwae", gradient), vae, t, 9)
    for parameter, expected in gradients(IWAE(samples=6, gradient=gradient), vae, t, 9).items():
        if not parameter.startswith("encoder."):
            assert_close(found[parameter], expected)
    assert_close(of_encoder(found), of_encoder(gradients(made("miwae", gradient), vae, t, 9)))


def test_piwae_keeps_the_encoders_gradient_where_a_group_has_no_weight():
    """The weights of all draws underflow, except those of the best group."""
    log_w = torch.tensor([0.0, -900.0, -3.0, -901.0, -5.0, -903.0])
    objective = PIWAE(samples=3, groups=2)
    log_w.requires_grad_()
    (found,) = torch.autograd.grad(objective._estimate(log_w.unsqueeze(-1), NO_DRAWS).sum(), log_w)
    expected = torch.stack([torch.tensor([0.0, -3.0, -5.0]).softmax(0), torch.tensor([0.0, -1.0, -3.0]).softmax(0)], 1)
    assert_close(found, expected.flatten() / 2)


def test_each_baseline_lowers_the_noise_and_dreg_has_least():
    vae, t = near_posterior()
    noise = {
        gradient: of_encoder(gradients(IWAE(samples=5, gradient=gradient), vae, t, 2_001)).var(0).sum().item()
        for gradient in ("dreg", "pathwise", "vimco", "score_function_baseline", "score_function")
    }
    assert 10 * noise["dreg"] < min(noise["pathwise"], noise["vimco"])  # near the posterior
    assert 1.1 * noise["vimco"] < noise["score_function_baseline"]
    assert 10 * noise["score_function_baseline"] < noise["score_function"]


def test_more_draws_drown_the_encoders_pathwise_gradient_but_not_dreg():
    """Signal-to-noise ∝ √(1/K) for pathwise (Rainforth et al. 2018), and ∝ √K for DReG (Tucker et al. 2019)."""
    vae, t = near_posterior()
    ratios = {
        gradient: [
            signal_to_noise(of_encoder(gradients(IWAE(samples, gradient), vae, t, 5_001))) for samples in (4, 32)
        ]
        for gradient in ("pathwise", "dreg")
    }
    assert ratios["pathwise"][1] < 0.6 * ratios["pathwise"][0]  # 0.35 in theory, with some noise in the mean
    assert ratios["dreg"][1] > 1.8 * ratios["dreg"][0]  # 2.8 in theory


def test_the_bounds_meet_at_the_ends_of_their_ranges():
    log_w = 30 * torch.randn(6, 11, generator=torch.Generator().manual_seed(5))
    elbo, iw = log_w.mean(0), log_mean_w(log_w)
    assert_close(Renyi(alpha=0).bound(log_w), iw)
    assert_close(Renyi(alpha=0.0).path_scale(log_w), log_w.softmax(0))
    assert_close(Renyi(alpha=1).bound(log_w), elbo)
    for near in (1 - 1e-6, 1 + 1e-6):  # single precision keeps its digits
        assert_close(Renyi(alpha=near).bound(log_w / 100), elbo / 100, rtol=1e-5, atol=1e-5)
    assert_close(CIWAE(beta=0).bound(log_w), iw)
    assert_close(CIWAE(beta=0).path_scale(log_w), log_w.softmax(0))
    assert_close(CIWAE(beta=1).bound(log_w), elbo)
    assert torch.isfinite(CIWAE(beta=0).path_scale(100 * log_w)).all()
    falling = [Renyi(alpha=alpha).bound(log_w) for alpha in (0, 0.3, 0.9, 1, 1.1, 4)]
    assert all((high >= low).all() for high, low in pairwise(falling))


class Strata(MixtureSameFamily):
    """A mixture with one stratum of draws for each component."""

    def stratified_rsample(self, samples):
        parts = self.component_distribution.rsample((samples,)).movedim(2, 0)  # (components, L, B, p)
        log_share = self.mixture_distribution.logits.movedim(-1, 0).unsqueeze(1) - torch.tensor(samples).log()
        return parts.flatten(0, 1), log_share.expand(parts.shape[:-1]).flatten(0, 1)


class TwoGaussians(torch.nn.Module):
    """x -> π N(μ_1, σ_1) + (1 − π) N(μ_2, σ_2) over one latent, whatever x is."""

    def __init__(self):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor([0.8, 0.1]).double())
        self.means = torch.nn.Parameter(torch.tensor([[-0.7], [1.1]]).double())
        self.stds = torch.nn.Parameter(torch.tensor([[0.6], [0.4]]).double())

    def forward(self, x):
        return self._mixture(self.logits, self.means, self.stds)

    def with_detached(self, x, condition=None):
        return self(x), self._mixture(self.logits.detach(), self.means.detach(), self.stds.detach())

    def _mixture(self, logits, means, stds):
        return Strata(Categorical(logits=logits), Independent(Normal(means, stds), 1))


def stratified_model():
    vae = linear_vae(True, True, False)
    decoder = LinearDecoder(vae.decoder.weight.detach()[:, :1], vae.decoder.noise)
    return VAE(TwoGaussians(), decoder, Gaussian(torch.tensor([0.2]), torch.tensor([1.1]), full=False).double())


@pytest.mark.parametrize("gradient", ["pathwise", "stl"])
def test_stratified_draws_have_the_mean_and_the_gradient_of_the_elbo(gradient):
    vae, t = stratified_model(), targets(1)[0]
    z = torch.linspace(-9, 9, 9_001).double().unsqueeze(-1)
    log_q = vae.encode(t).log_prob(z)
    log_w = vae.decode(z).log_prob(t) + vae.prior().log_prob(z) - log_q
    exact = (log_q.exp() * log_w).sum() * (z[1] - z[0]).item()
    truth = torch.autograd.grad(exact, tuple(vae.parameters()))
    objective = ELBOMonteCarlo(samples=2, gradient=gradient)
    found = gradients(objective, vae, t, 5_001)
    for estimates, expected in zip(found.values(), truth, strict=True):
        assert ((estimates.mean(0) - expected).abs() < 4.5 * estimates.std(0) / 5_001**0.5 + 1e-6).all()
    elbo = objective(replicate(vae, 5_001), t, t.expand(5_001, T)).elbo
    assert (elbo.mean() - exact).abs() < 4.5 * elbo.std() / 5_001**0.5


@pytest.mark.parametrize("name", BOUNDS)
def test_stratified_draws_count_by_their_shares(name):
    """Each bound is that of draws which are repeated in proportion to their shares."""
    objective = made(name, "pathwise")
    log_w = torch.randn(2 * objective.draws, 5, generator=torch.Generator().manual_seed(8)).double()
    first, second = log_w.chunk(2)  # of shares 3/4 and 1/4
    share = torch.cat([torch.full_like(first, 0.75), torch.full_like(second, 0.25)]) / objective.draws
    draws = NO_DRAWS._replace(log_share=share.log())
    repeated = torch.cat([first, first, first, second])
    expected = objective._estimate(repeated, NO_DRAWS)
    assert_close(objective._estimate(log_w, draws), expected)


class Switches(torch.nn.Module):
    """() or x -> three independent switches, whatever x is: a prior or an encoder."""

    support = "binary"

    def __init__(self, *logits):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor(logits).double())

    def forward(self, x=None):
        return Independent(Bernoulli(logits=self.logits), 1)

    def with_detached(self, x, condition=None):
        q = self(x)
        return q, type(q)(Bernoulli(logits=q.base_dist.logits.detach()), 1)


def discrete_model():
    return VAE(Switches(0.4, -0.9, 1.3), linear_vae(True, True, True).decoder, Switches(0.0, 0.3, -0.2))


@pytest.mark.parametrize("name", [*BOUNDS, "elbo"])
@pytest.mark.parametrize("gradient", SCORES)
def test_score_functions_are_unbiased_for_discrete_latents(name, gradient):
    """The truth is a sum over the codes of all draws."""
    if name == "elbo":
        objective = ELBOMonteCarlo(samples=2, gradient=gradient.replace("vimco", "score_function_baseline"))
        draws, bound = 1, lambda log_w: log_w.mean(0)
    else:
        kind, settings = BOUNDS[name]
        objective = kind(**settings | {"samples": 2}, gradient=gradient)
        draws, bound = 2, objective.bound  # that of one group
    vae, t = discrete_model(), targets(1)[0]
    codes = _codes()  # (8, 3)
    log_q = vae.encode(t).log_prob(codes)
    log_w = vae.decode(codes).log_prob(t) + vae.prior().log_prob(codes) - log_q
    of_draws = torch.stack(torch.meshgrid(*[log_w] * draws, indexing="ij"))
    mass = torch.stack(torch.meshgrid(*[log_q] * draws, indexing="ij")).sum(0).exp()
    (truth,) = torch.autograd.grad((mass * bound(of_draws)).sum(), vae.encoder.logits)
    found = gradients(objective, vae, t, 20_001)["encoder.logits"]
    assert ((found.mean(0) - truth).abs() < 4.5 * found.std(0) / 20_001**0.5).all()
    assert truth.abs().min() > 0.01


class RelaxedSwitches(Independent):
    """Independent switches whose hard draws have the derivative of relaxed ones."""

    def relaxed_rsample(self, sample_shape, temperature):
        logits = self.base_dist.logits
        u = torch.rand(*sample_shape, *logits.shape, dtype=logits.dtype)
        soft = ((logits + u.logit()) / temperature).sigmoid()
        return soft + ((soft > 0.5).to(soft.dtype) - soft).detach()


@pytest.mark.parametrize("objective", [ELBOMonteCarlo(2, "gumbel_softmax"), PIWAE(3, "gumbel_softmax", groups=2)])
def test_gumbel_softmax_scores_hard_draws_and_goes_through_relaxed_ones(objective):
    vae, t = discrete_model(), targets(3)
    vae.encoder.forward = lambda x: RelaxedSwitches(Bernoulli(logits=vae.encoder.logits.expand(3, 3)), 1)
    found = {}
    for temperature in (0.3, 0.9):
        torch.manual_seed(12)
        terms = replace(objective, temperature=temperature)(vae, t, t)
        found[temperature] = [terms.bound, *torch.autograd.grad(terms.loss.sum(), vae.encoder.logits)]
    assert_close(found[0.3][0], found[0.9][0])  # the hard draws
    assert (found[0.3][1] - found[0.9][1]).abs().min() > 1e-3
    log_w = [vae.decode(z).log_prob(t) + vae.prior().log_prob(z) - vae.encode(t).log_prob(z) for z in _codes()]
    assert torch.stack(log_w).min() <= found[0.3][0].min()
    assert found[0.3][0].max() <= torch.stack(log_w).max()


def _codes():
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 3)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Renyi(alpha=-0.1), r"objective\.alpha must be a number of at least 0, but is -0\.1"),
        (lambda: CIWAE(beta=1.5), r"objective\.beta must be a number of at most 1, but is 1\.5"),
        (lambda: MIWAE(groups=0), r"objective\.groups must be a whole number of at least 1, but is 0"),
        (lambda: IWAE(samples=1, gradient="vimco"), r"objective\.samples must be at least 2 .*=vimco, but is 1"),
        (lambda: PIWAE(samples=1, gradient="score_function_baseline"), r"objective\.samples must be at least 2"),
        (lambda: IWAE(gradient="straight"), r"objective\.gradient must be one of pathwise, .*, but is straight"),
        (lambda: ELBO(gradient="vimco", samples=3), r"objective\.gradient must be one of .*, but is vimco"),
        (lambda: IWAE(temperature=0), r"objective\.temperature must be a number greater than 0, but is 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(
    ("objective", "model", "said"),
    [
        (
            ELBO(gradient="stl"),
            "discrete",
            r"objective\.gradient must be pathwise for a KL in closed form.*is stl",
        ),
        (
            IWAE(),
            "discrete",
            r"must be a score function or gumbel_softmax for .*, but is pathwise; use objective\.gradient=gumbel",
        ),
        (ELBO(), "discrete", "whose draws have no derivative, but is pathwise"),
        (PIWAE(gradient="dreg"), "discrete", "whose draws have no derivative, but is dreg"),
        (IWAE(gradient="gumbel_softmax"), "stratified", "gumbel_softmax needs a discrete posterior.*gradient=pathwise"),
        (MIWAE(gradient="dreg"), "stratified", "must be pathwise or stl for the stratified draws .*, but is dreg; use"),
    ],
)
def test_a_posterior_that_an_estimator_cannot_use_is_refused(objective, model, said):
    models = {"discrete": discrete_model, "stratified": stratified_model}
    with pytest.raises(ValueError, match=said):
        objective(models[model](), targets(3), targets(3))


@pytest.mark.parametrize("objective", [IWAE(gradient="gumbel_softmax"), ELBO(gradient="stl")])
def test_a_pair_is_refused_before_training(objective):
    with pytest.raises(ValueError, match=r"use objective\.gradient=pathwise"):
        objective.check(build(full))


def test_an_encoder_that_cannot_be_cut_off_is_refused():
    vae = build(diagonal)
    vae.encoder = torch.nn.Sequential(vae.encoder)
    with pytest.raises(ValueError, match=r"the encoder must have a method with_detached, .* but Sequential has none"):
        IWAE(gradient="dreg")(vae, torch.zeros(3, 2, 3).double(), torch.zeros(3, 4, 1).double())


@dataclass(frozen=True)
class Smallest(ManySampleBound):
    """log of the smallest weight: a bound of the user's own."""

    def bound(self, log_w, log_share=None):
        return log_w.amin(0)


def test_dreg_is_refused_for_a_bound_that_does_not_say_how():
    with pytest.raises(
        ValueError, match=r"because Smallest does not define path_scale; use objective\.gradient=pathwise"
    ):
        Smallest(gradient="dreg").check(build(diagonal))
    Smallest(gradient="vimco").check(build(diagonal))


def test_a_check_draws_no_number():
    vae = build(diagonal)
    before = torch.random.get_rng_state()
    IWAE(gradient="dreg").check(vae)
    assert torch.equal(torch.random.get_rng_state(), before)
