import itertools
import re

import pytest
import torch
from torch.distributions import kl_divergence
from torch.testing import assert_close

from helpers.linear_gaussian import (
    K,
    P,
    exact_elbo,
    exact_kl,
    exact_log_likelihood,
    kl,
    linear_vae,
    log_marginal,
    log_normal,
    posterior,
    replicate,
    with_encoder,
)
from vaelab import VAE, families, networks, priors
from vaelab.families import DiagonalGaussian, FullGaussian
from vaelab.objectives import ELBO, ELBOMonteCarlo, Terms
from vaelab.priors import LearnedPrior

B = 7
L = 9
BOUNDS = [ELBO, ELBOMonteCarlo]
GRADIENTS = ["pathwise", "score_function", "score_function_baseline"]
MODELS = list(itertools.product([False, True], repeat=2))  # full_noise, full_prior


def targets():
    return 2 * torch.randn(B, K, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def exact_model(full_noise, full_prior):
    vae, t = linear_vae(True, full_noise, full_prior, (B,)), targets()
    return with_encoder(vae, *posterior(vae, t), full=True), t


def independent_terms(objective, vae, t, n=4001):
    """n independent estimates of each term: (n, B)."""
    q = vae.encoder
    many = with_encoder(vae, q.mean.expand(n, *q.mean.shape), q.covariance, q.full)
    return Terms(*(term.detach() for term in objective(many, t, t)))


def standard_errors_off(estimates, truth):
    """The largest distance between the mean over the first dimension and the truth, apart from rounding."""
    error = (estimates.mean(0) - truth).abs()
    return ((error - 1e-9).clamp(min=0) / (estimates.std(0) / len(estimates) ** 0.5 + 1e-12)).max().item()


# The oracle itself


@pytest.mark.parametrize("full_posterior", [False, True])
@pytest.mark.parametrize(("full_noise", "full_prior"), MODELS)
def test_exact_elbo_and_kl_to_the_posterior_add_up_to_log_p(full_posterior, full_noise, full_prior):
    vae, t = linear_vae(full_posterior, full_noise, full_prior, (B,)), targets()
    gap = kl(vae.encoder.mean, vae.encoder.covariance, *posterior(vae, t))
    assert_close(log_marginal(vae, t) - exact_elbo(vae, t), gap, rtol=0, atol=1e-10)
    assert gap.min() > 0.1


@pytest.mark.parametrize("full_posterior", [False, True])
@pytest.mark.parametrize(("full_noise", "full_prior"), MODELS)
def test_exact_elbo_has_the_known_gradients(full_posterior, full_noise, full_prior):
    vae, t = linear_vae(full_posterior, full_noise, full_prior, (B,)), targets()
    q, weight, noise, prior = vae.encoder, vae.decoder.weight, vae.decoder.noise, vae.prior
    by_mean, by_scale = torch.autograd.grad(exact_elbo(vae, t).sum(), [q.mean, q.scale])
    residual = t - noise.mean - q.mean @ weight.mT
    data_pull = residual @ noise.covariance.inverse() @ weight
    prior_pull = (q.mean - prior.mean) @ prior.covariance.inverse()
    assert_close(by_mean, data_pull - prior_pull, rtol=0, atol=1e-10)
    _, covariance = posterior(vae, t)
    by_factor = (q.covariance.inverse() - covariance.inverse()) @ q.factor  # 2 · ½ (V⁻¹ − Λ) · C
    expected = by_factor.tril() if full_posterior else by_factor.diagonal(dim1=-2, dim2=-1)
    assert_close(by_scale, expected, rtol=0, atol=1e-10)


# Values


@pytest.mark.parametrize("samples", [1, L])
@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize(("full_noise", "full_prior"), MODELS)
def test_every_draw_of_the_monte_carlo_bound_is_log_p_at_the_posterior(samples, gradient, full_noise, full_prior):
    samples += gradient == "score_function_baseline"
    vae, t = exact_model(full_noise, full_prior)
    torch.manual_seed(2)
    terms = ELBOMonteCarlo(samples=samples, gradient=gradient)(vae, t, t)
    assert_close(terms.elbo, log_marginal(vae, t), rtol=0, atol=1e-10)
    assert terms.log_likelihood.std() > 0.1  # the two terms differ; their sum is constant


@pytest.mark.parametrize("full_noise", [False, True])
def test_a_diagonal_posterior_is_exact_where_the_true_one_is_diagonal(full_noise):
    vae, t = linear_vae(False, full_noise, False), targets()
    weight = torch.linalg.qr(torch.linalg.solve(vae.decoder.noise.factor, vae.decoder.weight)).Q
    vae.decoder.weight.data = (vae.decoder.noise.factor @ weight).detach()  # WᵀR⁻¹W = I
    vae = with_encoder(vae, *posterior(vae, t), full=False)
    torch.manual_seed(3)
    assert_close(ELBOMonteCarlo(samples=1)(vae, t, t).elbo, log_marginal(vae, t), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("full_noise", "full_prior"), MODELS)
def test_the_closed_form_kl_bound_averages_to_log_p_at_the_posterior(full_noise, full_prior):
    vae, t = exact_model(full_noise, full_prior)
    torch.manual_seed(4)
    elbo = independent_terms(ELBO(), vae, t).elbo
    assert elbo.std(0).min() > 0.1
    assert standard_errors_off(elbo, log_marginal(vae, t)) < 4


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("full_posterior", [False, True])
@pytest.mark.parametrize(("full_noise", "full_prior"), MODELS)
def test_log_p_minus_the_bound_is_the_kl_to_the_posterior(bound, full_posterior, full_noise, full_prior):
    vae, t = linear_vae(full_posterior, full_noise, full_prior, (B,)), targets()
    torch.manual_seed(5)
    terms = independent_terms(bound(), vae, t)
    gap = kl(vae.encoder.mean, vae.encoder.covariance, *posterior(vae, t))
    assert standard_errors_off(terms.elbo, log_marginal(vae, t) - gap) < 4
    assert standard_errors_off(terms.log_likelihood, exact_log_likelihood(vae, t)) < 4
    assert standard_errors_off(terms.kl, exact_kl(vae)) < 4


@pytest.mark.parametrize("full_posterior", [False, True])
@pytest.mark.parametrize(("full_noise", "full_prior"), MODELS)
def test_elbo_has_its_kl_exactly(full_posterior, full_noise, full_prior):
    vae, t = linear_vae(full_posterior, full_noise, full_prior, (B,)), targets()
    assert_close(ELBO()(vae, t, t).kl, exact_kl(vae), rtol=0, atol=1e-10)


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize(("full_noise", "full_prior"), MODELS)
def test_the_best_diagonal_posterior_has_the_known_gap(bound, full_noise, full_prior):
    vae, t = linear_vae(False, full_noise, full_prior, (B,)), targets()
    mean, covariance = posterior(vae, t)
    precision = covariance.inverse()
    vae = with_encoder(vae, mean, torch.diag_embed(1 / precision.diagonal()), full=False)
    gap = 0.5 * (precision.diagonal().log().sum() - precision.logdet())
    assert_close(log_marginal(vae, t) - exact_elbo(vae, t), gap.expand(B), rtol=0, atol=1e-10)
    true_posterior = torch.distributions.MultivariateNormal(mean, covariance)
    assert_close(kl_divergence(vae.encode(t), true_posterior), gap.expand(B), rtol=0, atol=1e-10)
    torch.manual_seed(6)
    assert standard_errors_off(independent_terms(bound(), vae, t).elbo, log_marginal(vae, t) - gap) < 4


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("full_posterior", [False, True])
def test_terms_are_means_over_the_samples(gradient, full_posterior):
    vae, t = linear_vae(full_posterior, True, False, (B,)), targets()
    torch.manual_seed(7)
    q = vae.encode(t)
    z = q.rsample((L,)) if gradient == "pathwise" else q.sample((L,))
    weight, noise, prior = vae.decoder.weight, vae.decoder.noise, vae.prior
    log_pt_z = [log_normal(t, z_l @ weight.mT + noise.mean, noise.covariance) for z_l in z]
    log_qz = [log_normal(z_l, vae.encoder.mean, vae.encoder.covariance) for z_l in z]
    log_pz = [log_normal(z_l, prior.mean, prior.covariance) for z_l in z]
    log_ratio = [a - b for a, b in zip(log_qz, log_pz, strict=True)]
    for bound, expected in [(ELBO, exact_kl(vae)), (ELBOMonteCarlo, sum(log_ratio) / L)]:
        torch.manual_seed(7)
        terms = bound(samples=L, gradient=gradient)(vae, t, t)
        assert_close(terms.log_likelihood, sum(log_pt_z) / L, rtol=0, atol=1e-10)
        assert_close(terms.kl, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("gradient", GRADIENTS)
def test_elbo_is_log_likelihood_minus_kl_and_the_loss_is_its_negative(bound, gradient):
    vae, t = linear_vae(True, True, True, (B,)), targets()
    torch.manual_seed(8)
    terms = bound(samples=L, gradient=gradient)(vae, t, t)
    assert {term.shape for term in terms} == {(B,)}
    assert torch.equal(terms.elbo, terms.log_likelihood - terms.kl)
    assert torch.equal(terms.loss, -terms.elbo)


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("beta", [0, 0.3, 2.5])
def test_beta_weighs_the_kl_in_the_loss_and_nowhere_else(bound, gradient, beta):
    vae, t = linear_vae(False, True, True, (B,)), targets()
    torch.manual_seed(9)
    plain = bound(samples=L, gradient=gradient)(vae, t, t)
    torch.manual_seed(9)
    weighted = bound(samples=L, gradient=gradient, beta=beta)(vae, t, t)
    assert_close(weighted.loss, beta * plain.kl - plain.log_likelihood, rtol=0, atol=1e-12)
    for name in ["elbo", "log_likelihood", "kl"]:
        assert torch.equal(getattr(weighted, name), getattr(plain, name))


@pytest.mark.parametrize("bound", BOUNDS)
def test_x_is_encoded_and_the_target_is_scored(bound):
    vae, x, t = linear_vae(True, True, False, (B,)), torch.zeros(B, 11), targets()
    encoded = []
    vae.encoder.register_forward_hook(lambda module, inputs, output: encoded.append(inputs[0]))
    torch.manual_seed(10)
    terms = bound()(vae, x, t)
    torch.manual_seed(10)
    shifted = bound()(vae, x, t + 1)
    assert encoded[0] is x
    assert torch.equal(terms.kl, shifted.kl)
    assert not torch.isclose(terms.log_likelihood, shifted.log_likelihood).any()


# Gradients


def gradients(objective, vae, t, n):
    """n independent estimates of the gradient of the loss: one (n, *shape) for each parameter of the model."""
    terms = objective(replicated := replicate(vae, n), t, t.expand(n, K))
    names, parameters = zip(*replicated.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(terms.loss.sum(), parameters), strict=True))


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize(
    ("full_posterior", "full_noise", "full_prior"),
    [(False, False, False), (False, True, True), (True, False, True), (True, True, False)],
)
@pytest.mark.parametrize("beta", [1, 2.5])
def test_gradients_of_every_parameter_average_to_the_exact_ones(
    bound, gradient, full_posterior, full_noise, full_prior, beta
):
    vae, t = linear_vae(full_posterior, full_noise, full_prior), targets()[0]
    exact = beta * exact_kl(vae) - exact_log_likelihood(vae, t)
    truths = torch.autograd.grad(exact, tuple(vae.parameters()))
    torch.manual_seed(11)
    estimates = gradients(bound(samples=3, gradient=gradient, beta=beta), vae, t, 5001)
    for (name, estimate), truth in zip(estimates.items(), truths, strict=True):
        assert standard_errors_off(estimate, truth) < 4.5, name


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("full_posterior", [False, True])
def test_the_score_function_is_noisier_than_its_baseline_form_and_that_than_the_pathwise_gradient(
    bound, full_posterior
):
    vae, t = linear_vae(full_posterior, True, False), targets()[0]
    variances = {}
    for gradient in GRADIENTS:
        torch.manual_seed(12)
        estimates = gradients(bound(samples=L, gradient=gradient), vae, t, 2001)
        variances[gradient] = sum(estimates[f"encoder.{name}"].var(0).sum() for name in ["mean", "scale"])
    assert variances["score_function"] > 2 * variances["score_function_baseline"]
    assert variances["score_function_baseline"] > 2 * variances["pathwise"]


def test_the_baseline_form_has_no_noise_at_the_posterior_where_the_integrand_is_constant():
    vae, t = exact_model(True, True)
    torch.manual_seed(13)
    loss = ELBOMonteCarlo(samples=2, gradient="score_function_baseline")(vae, t, t).loss.sum()
    for by_encoder in torch.autograd.grad(loss, tuple(vae.encoder.parameters())):
        assert by_encoder.abs().max() < 1e-9


@pytest.mark.parametrize("bound", BOUNDS)
def test_score_functions_need_no_gradient_through_z(bound):
    vae, t = linear_vae(False, True, True, (B,)), targets()
    z = []
    vae.decoder.register_forward_hook(lambda module, inputs, output: z.append(inputs[0]))
    for gradient in GRADIENTS:
        bound(samples=L, gradient=gradient)(vae, t, t)
    assert [drawn.requires_grad for drawn in z] == [True, False, False]
    assert {drawn.shape for drawn in z} == {(L, B, P)}


# The best prior


def best_prior(family, q):
    """The moment-matching N(m₀*, S₀*) of a batch of posteriors, as the numbers of a learned prior."""
    mean = q.mean.mean(0)
    shift = q.mean - mean
    covariance = q.covariance.mean(0) + shift.mT @ shift / B  # mean of V_n + (a_n − m₀*)(a_n − m₀*)ᵀ
    if isinstance(family, DiagonalGaussian):
        numbers = [mean, (covariance.diagonal() / family.init_std**2).log()]
    else:
        factor = torch.linalg.cholesky(covariance) / family.init_std
        rows, columns = torch.tril_indices(P, P, offset=-1)
        numbers = [mean, 2 * factor.diagonal().log(), factor[rows, columns] * P**0.5]
    prior = LearnedPrior(family).double()
    prior.numbers.data = torch.cat(numbers).detach()
    return prior


@pytest.mark.parametrize("family", [DiagonalGaussian, FullGaussian])
@pytest.mark.parametrize("full_posterior", [False, True])
def test_a_learned_prior_has_no_gradient_at_the_moments_of_its_posteriors(family, full_posterior):
    vae, t = linear_vae(full_posterior, True, False, (B,)), targets()
    prior = best_prior(family((P,), min_std=0, init_std=0.7), vae.encoder)
    vae = VAE(vae.encoder, vae.decoder, prior)
    torch.manual_seed(14)
    best = ELBO()(vae, t, t).loss.mean()
    (gradient,) = torch.autograd.grad(best, prior.numbers)
    assert gradient.abs().max() < 1e-12
    for place in range(len(prior.numbers)):
        prior.numbers.data[place] += 0.1
        torch.manual_seed(14)
        assert ELBO()(vae, t, t).loss.mean() > best
        prior.numbers.data[place] -= 0.1


@pytest.mark.parametrize("family", [DiagonalGaussian, FullGaussian])
@pytest.mark.parametrize("full_posterior", [False, True])
def test_the_monte_carlo_bound_agrees_on_the_best_prior(family, full_posterior):
    vae, t = linear_vae(full_posterior, True, False, (B,)), targets()
    prior, n = best_prior(family((P,), min_std=0), vae.encoder), 4001
    prior.numbers.data = prior.numbers.data.expand(n, 1, -1).clone()  # a copy for each estimate
    mean = vae.encoder.mean.expand(n, B, P)
    vae = with_encoder(VAE(vae.encoder, vae.decoder, prior), mean, vae.encoder.covariance, full_posterior)
    torch.manual_seed(15)
    loss = ELBOMonteCarlo()(vae, t, t).loss.mean(-1).sum()
    (gradients,) = torch.autograd.grad(loss, prior.numbers)
    assert standard_errors_off(gradients, torch.zeros_like(gradients[0])) < 4


# Arguments


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize(
    ("name", "value"),
    [("samples", value) for value in [0, -3, 2.0, True, "3", None]]
    + [("beta", value) for value in [-0.1, float("nan"), float("inf"), "1", None]]
    + [("gradient", value) for value in ["pathwize", "", None]],
)
def test_a_wrong_argument_is_named_in_the_error(bound, name, value):
    shown = value if name == "gradient" else repr(value)
    with pytest.raises(ValueError, match=rf"^objective.{name} must be .*, but is {re.escape(str(shown))}$"):
        bound(**{name: value})


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_baseline_of_other_samples_needs_other_samples(bound):
    with pytest.raises(
        ValueError, match=r"objective\.samples must be at least 2 .* but is 1, .* use objective\.samples=2 or more"
    ):
        bound(samples=1, gradient="score_function_baseline")


def test_the_defaults_are_one_sample_the_pathwise_gradient_and_no_reweighing():
    assert [(bound().samples, bound().gradient, bound().beta) for bound in BOUNDS] == [(1, "pathwise", 1)] * 2


@pytest.mark.parametrize("shape", [(7, 4, 5), (7, 1, 1), (7, 20), (1, 4, 5), (4, 5)])
@pytest.mark.parametrize("objective", [ELBO(), ELBOMonteCarlo()])
def test_a_target_that_would_broadcast_is_refused(objective, shape):
    likelihood = families.DiagonalGaussian((1, 4, 5))
    vae = VAE.build((3,), families.DiagonalGaussian((2,)), likelihood, priors.StandardNormal((2,)), networks.MLP)
    sentence = f"the target must have a batch dimension .* but has the shape {re.escape(str(shape))}"
    with pytest.raises(ValueError, match=sentence):
        objective(vae, torch.zeros(7, 3), torch.zeros(shape))
    assert objective(vae, torch.zeros(7, 3), torch.zeros(7, 1, 4, 5)).elbo.shape == (7,)
