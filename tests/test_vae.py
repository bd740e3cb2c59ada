import itertools
from functools import partial

import pytest
import torch
from torch.distributions import kl_divergence
from torch.testing import assert_close

from helpers.linear_gaussian import K, linear_vae
from vaelab import VAE, Conditional
from vaelab.families import (
    Bernoulli,
    DiagonalGaussian,
    FullGaussian,
    IdentityGaussian,
    IsotropicGaussian,
    SharedDiagonalGaussian,
)
from vaelab.networks import MLP
from vaelab.objectives import ELBO, ELBOMonteCarlo
from vaelab.priors import LearnedPrior, StandardNormal

L, B, P = 9, 7, 3
X_SHAPE, TARGET_SHAPE = (1, 5, 11), (13, 1)
POSTERIORS = [DiagonalGaussian, FullGaussian]
LIKELIHOODS = [
    IdentityGaussian,
    IsotropicGaussian,
    SharedDiagonalGaussian,
    DiagonalGaussian,
    FullGaussian,
    Bernoulli,
]
PRIORS = [
    lambda: StandardNormal((P,)),
    lambda: LearnedPrior(DiagonalGaussian((P,))),
    lambda: LearnedPrior(FullGaussian((P,))),
]
CHOICES = list(itertools.product(POSTERIORS, LIKELIHOODS, PRIORS))


def build(posterior=DiagonalGaussian, likelihood=DiagonalGaussian, prior=PRIORS[0]):
    torch.manual_seed(0)
    network = partial(MLP, hidden=[17])
    return VAE.build(X_SHAPE, posterior((P,)), likelihood(TARGET_SHAPE), prior(), network).double()


def inputs(*leading):
    return torch.randn(*leading, *X_SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


# The model


@pytest.mark.parametrize("leading", [(), (B,), (L, B)])
@pytest.mark.parametrize(("posterior", "likelihood", "prior"), CHOICES)
def test_every_choice_fits_every_other(posterior, likelihood, prior, leading):
    vae = build(posterior, likelihood, prior)
    q = vae.encode(inputs(*leading))
    assert (q.batch_shape, q.event_shape) == (leading, (P,))
    z = q.rsample((19,))
    p = vae.decode(z)
    assert (p.batch_shape, p.event_shape) == ((19, *leading), TARGET_SHAPE)
    assert (vae.prior().batch_shape, vae.prior().event_shape) == ((), (P,))
    assert vae.prior().log_prob(z).shape == (19, *leading)
    assert kl_divergence(q, vae.prior()).shape == leading
    draws = vae.sample(L)
    assert draws.shape == (L, *TARGET_SHAPE)
    assert not draws.requires_grad
    assert draws.isfinite().all()


@pytest.mark.parametrize("bound", [ELBO, ELBOMonteCarlo])
@pytest.mark.parametrize(("posterior", "likelihood", "prior"), CHOICES)
def test_every_parameter_of_every_choice_is_trained(bound, posterior, likelihood, prior):
    vae = build(posterior, likelihood, prior)
    target = vae.sample(B)
    bound(samples=L)(vae, inputs(B), target).loss.mean().backward()
    for name, parameter in vae.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_encoder_and_decoder_are_networks_of_their_own_with_x_and_z_swapped():
    vae = build(FullGaussian, DiagonalGaussian)
    shapes = [tuple(parameter.shape) for parameter in vae.parameters()]
    encoder = [(17, 55), (17,), (9, 17), (9,)]  # 9 = 3 means, 3 scales and 3 entries below the diagonal
    decoder = [(17, 3), (17,), (26, 17), (26,)]  # 26 = 13 means and 13 scales
    assert shapes == encoder + decoder


def test_a_conditional_is_its_family_of_its_network():
    network, family = MLP((5,), 6, hidden=[11]), DiagonalGaussian((3,))
    x = torch.linspace(-1, 1, 35).view(B, 5)
    q = Conditional(network, family)(x)
    assert torch.equal(q.mean, network(x)[:, :3])
    assert_close(q.variance, 0.01**2 + network(x)[:, 3:].exp())


def test_a_prior_over_another_latent_than_the_posterior_is_an_error():
    with pytest.raises(ValueError, match=r"prior's z must have the shape \(3,\) of the posterior's, but has \(5,\)"):
        build(prior=lambda: StandardNormal((5,)))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_decoder_network_is_deterministic_and_its_draws_are_not(likelihood):
    vae, z = build(likelihood=likelihood), torch.linspace(-1, 1, P, dtype=torch.float64)
    once, again = vae.decode(z), vae.decode(z)
    assert torch.equal(once.mean, again.mean)
    assert torch.equal(once.variance, again.variance)
    torch.manual_seed(2)
    assert not torch.equal(once.sample(), again.sample())


def test_sample_draws_z_from_the_prior_and_then_the_target():
    vae = build(prior=PRIORS[2])
    vae.prior.numbers.data = torch.linspace(-2, 2, 9, dtype=torch.float64)
    torch.manual_seed(3)
    expected = vae.decode(vae.prior().sample((B,))).sample()
    torch.manual_seed(3)
    assert torch.equal(vae.sample(B), expected)


@pytest.mark.parametrize("full", [False, True])
def test_samples_of_a_linear_gaussian_model_have_its_moments(full):
    vae, n = linear_vae(True, full, full), 20_001
    weight, noise, prior = vae.decoder.weight, vae.decoder.noise, vae.prior
    mean = (weight @ prior.mean + noise.mean).detach()
    covariance = (weight @ prior.covariance @ weight.mT + noise.covariance).detach()
    torch.manual_seed(4)
    draws = vae.sample(n)
    variance = covariance.diagonal()
    covariance_error = ((variance.outer(variance) + covariance.square()) / n).sqrt()
    assert draws.shape == (n, K)
    assert ((draws.mean(0) - mean).abs() < 4.5 * (variance / n).sqrt()).all()
    assert ((draws.T.cov() - covariance).abs() < 4.5 * covariance_error).all()


def test_a_model_moves_to_another_precision_as_a_whole():
    vae = build(FullGaussian, FullGaussian, PRIORS[2])
    assert {vae.sample(B).dtype, vae.encode(inputs(B)).mean.dtype, vae.prior().mean.dtype} == {torch.float64}
    assert vae.float().sample(B).dtype == torch.float32


@pytest.mark.parametrize(("posterior", "likelihood", "prior"), CHOICES)
def test_a_state_dict_restores_the_model(posterior, likelihood, prior):
    vae = build(posterior, likelihood, prior)
    for parameter in vae.parameters():
        parameter.data += 0.3
    restored = build(posterior, likelihood, prior)
    restored.load_state_dict(vae.state_dict())
    torch.manual_seed(5)
    draws = vae.sample(B)
    torch.manual_seed(5)
    assert torch.equal(restored.sample(B), draws)


# Priors


def test_the_standard_normal_is_n_0_i_and_has_nothing_to_learn():
    prior = StandardNormal((P,)).double()
    z = torch.linspace(-1, 3, B * P, dtype=torch.float64).view(B, P)
    expected = torch.distributions.MultivariateNormal(torch.zeros(P).double(), torch.eye(P).double()).log_prob(z)
    assert_close(prior().log_prob(z), expected, rtol=1e-12, atol=0)
    assert not list(prior.parameters())
    assert not prior.state_dict()


@pytest.mark.parametrize("min_std", [0, 0.1])
@pytest.mark.parametrize("family", POSTERIORS)
def test_a_learned_prior_starts_at_n_0_i_beside_its_floor(family, min_std):
    prior = LearnedPrior(family((P,), min_std=min_std)).double()
    z = torch.linspace(-1, 3, B * P, dtype=torch.float64).view(B, P)
    covariance = (1 + min_std**2) * torch.eye(P, dtype=torch.float64)
    expected = torch.distributions.MultivariateNormal(torch.zeros(P, dtype=torch.float64), covariance).log_prob(z)
    assert_close(prior().log_prob(z), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("family", POSTERIORS)
def test_a_learned_prior_learns_the_moments_of_the_latents(family):
    prior = LearnedPrior(family((P,))).double()
    target = torch.distributions.MultivariateNormal(
        torch.tensor([1.0, -2, 0.5], dtype=torch.float64),
        scale_tril=torch.tensor([[0.5, 0, 0], [0.3, 1, 0], [-0.4, 0.2, 2]], dtype=torch.float64),
    )
    optimizer = torch.optim.LBFGS(prior.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        divergence = kl_divergence(target, prior())
        divergence.backward()
        return divergence

    start = loss().item()
    optimizer.step(loss)
    assert loss().item() < start
    assert_close(prior().mean, target.mean, rtol=0, atol=1e-3)
    assert_close(prior().variance, target.variance, rtol=0, atol=1e-3)


def test_a_bernoulli_decoder_starts_at_the_mean_of_the_data():
    """With the weights of its last layer at 0, it decodes every z to the mean of each pixel."""
    vae = VAE.build((3, 2), DiagonalGaussian((4,)), Bernoulli((3, 2)), StandardNormal((4,)), partial(MLP, hidden=[5]))
    mean = torch.tensor([[0.3, 0.7], [0.5, 0.9], [0.0, 1.0]])
    vae.decoder.start_at(mean)
    torch.nn.init.zeros_(vae.decoder.network.layers[-1].weight)
    assert_close(vae.decode(torch.randn(7, 4)).mean, mean.clamp(0.001, 0.999).expand(7, 3, 2))


def test_gaussians_and_networks_without_a_bias_stay_as_they_are():
    vae = VAE.build(
        (3,), DiagonalGaussian((4,)), DiagonalGaussian((3,)), StandardNormal((4,)), partial(MLP, hidden=[5])
    )
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    vae.decoder.start_at(torch.ones(3))
    assert all(torch.equal(value, before[name]) for name, value in vae.state_dict().items())
    bare = Conditional(torch.nn.Flatten(-1), Bernoulli((3,)))
    bare.start_at(torch.full((3,), 0.2))
    assert_close(bare(torch.zeros(2, 3)).mean, torch.full((2, 3), 0.5))
