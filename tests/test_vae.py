"""Every choice in helpers/choices.py works with every other, and a model can be trained, moved, copied and restored."""

import copy
import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from helpers.choices import (
    LIKELIHOODS,
    OBJECTIVES,
    POSTERIORS,
    P,
    bernoulli,
    build,
    diagonal,
    full,
    is_possible,
    learned_full,
    named,
    pairwise,
    prior_of,
)
from helpers.linear_gaussian import K, linear_vae
from vaelab import VAE, Conditional
from vaelab.families import Bernoulli, DiagonalGaussian, OneHotCategorical
from vaelab.networks import MLP
from vaelab.priors import DiscretePrior, StandardNormal

L, B, C = 5, 7, 2
X, T = (2, 3), (4, 1)
every_combination = pytest.mark.parametrize("combination", **named(pairwise()))


def inputs(*leading, shape=X):
    return torch.randn(*leading, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@every_combination
def test_every_choice_fits_every_other(combination):
    vae = build(*combination[:3])
    for leading in [(), (B,), (L, B)]:
        q = vae.encode(inputs(*leading))
        assert (q.batch_shape, q.event_shape) == (leading, (P,))
        z = q.sample((11,))
        p = vae.decode(z)
        assert (p.batch_shape, p.event_shape) == ((11, *leading), T)
        assert vae.prior().log_prob(z).shape == (11, *leading)
        for distribution in (q, p, vae.prior()):
            assert distribution.mean.shape == distribution.stddev.shape
            assert distribution.stddev.min() >= 0
    draws = vae.sample(L)
    assert draws.shape == (L, *T)
    assert not draws.requires_grad
    assert draws.isfinite().all()


@every_combination
def test_every_parameter_of_every_choice_is_trained(combination):
    *parts, row = combination
    vae = build(*parts)
    row.objective(vae, inputs(B), vae.sample(B)).loss.mean().backward()
    for name, parameter in vae.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@every_combination
def test_a_state_dict_restores_the_model_and_a_copy_is_one_of_its_own(combination):
    *parts, row = combination
    vae, restored = build(*parts), build(*parts)
    for parameter in vae.parameters():
        parameter.data += 0.1
    twin, target = copy.deepcopy(vae), vae.sample(B)
    restored.load_state_dict(vae.state_dict())
    expected = _terms(row, vae, target)
    assert torch.equal(_terms(row, restored, target), expected)
    assert torch.equal(_terms(row, twin, target), expected)
    for parameter in vae.parameters():
        parameter.data += 0.1
    assert torch.equal(_terms(row, twin, target), expected)
    assert not torch.equal(_terms(row, vae, target), expected)


@every_combination
def test_a_model_moves_to_another_precision_as_a_whole(combination):
    *parts, row = combination
    vae = build(*parts)
    target = vae.sample(B)
    expected = _terms(row, vae, target)
    assert expected.dtype == vae.prior().mean.dtype == vae.encode(inputs(B)).mean.dtype == torch.float64
    single = vae.float()
    assert single.sample(B).dtype == single.prior().mean.dtype == single.encode(inputs(B)).mean.dtype == torch.float32
    assert row.objective(single, inputs(B).float(), target.float()).loss.dtype == torch.float32


def _terms(row, vae, target):
    torch.manual_seed(2)
    return torch.stack(row.objective(vae, inputs(B), target))


# A condition


@pytest.mark.parametrize("posterior", **named(POSTERIORS))
def test_encoder_and_decoder_see_the_condition(posterior):
    vae = build(bernoulli, posterior, condition_size=C)
    x, c, z = inputs(B), inputs(B, shape=(C,)), inputs(L, B, shape=(P,))
    q, p = vae.encode(x, c), vae.decode(z, c)  # the condition of each example, for L draws of its z
    assert (q.batch_shape, p.batch_shape) == ((B,), (L, B))
    for row in range(B):
        assert_close(q.log_prob(z)[:, row], vae.encode(x[row], c[row]).log_prob(z[:, row]))
        assert_close(p.mean[:, row], vae.decode(z[:, row], c[row]).mean)
    assert not torch.isclose(vae.decode(z, c + 1).mean, p.mean).all()
    assert vae.log_likelihood(z, p.sample()[0], c).shape == (L, B)
    assert vae.sample(B, c).shape == vae.sample(B, c[0]).shape == (B, *T)


@pytest.mark.parametrize("row", **named(OBJECTIVES))
def test_an_objective_hands_the_condition_to_both(row):
    posterior = next(each for each in POSTERIORS if is_possible(each, prior_of(each), row))
    vae = build(bernoulli, posterior, condition_size=C)
    x, c = inputs(B), inputs(B, shape=(C,))
    target = vae.sample(B, c)
    seen = []
    for part in (vae.encoder, vae.decoder):
        part.network.register_forward_hook(lambda module, given, output: seen.append(given[1]))
    terms = row.objective(vae, x, target, c)
    assert len(seen) == 2
    assert all(condition is c for condition in seen)
    terms.loss.mean().backward()
    for part in (vae.encoder, vae.decoder):  # the last columns of the first layer are the condition's
        assert (part.network.layers[0].weight.grad[:, -C:] != 0).any()


def test_a_network_that_takes_no_condition_is_refused():
    def linear(shape, outputs):
        return nn.Linear(shape[0], outputs)

    parts = (3,), DiagonalGaussian((2,)), Bernoulli((4,)), StandardNormal((2,)), linear
    assert VAE.build(*parts).sample(3).shape == (3, 4)
    with pytest.raises(ValueError, match="network must take condition_size for a conditional model"):
        VAE.build(*parts, condition_size=2)


# What a model is made of


def test_encoder_and_decoder_are_networks_of_their_own_with_x_and_z_swapped():
    vae = build(diagonal, full)
    shapes = [tuple(parameter.shape) for parameter in vae.parameters()]
    encoder = [(7, 6), (7,), (9, 7), (9,)]  # 9 = 3 means, 3 scales and 3 entries below the diagonal
    decoder = [(7, 3), (7,), (8, 7), (8,)]  # 8 = 4 means and 4 scales
    assert shapes == encoder + decoder


def test_encoder_and_decoder_may_have_constructors_of_their_own():
    parts = X, DiagonalGaussian((P,)), Bernoulli(T), StandardNormal((P,))
    vae = VAE.build(*parts, {"encoder": partial(MLP, hidden=[11]), "decoder": partial(MLP, hidden=[])})
    assert (vae.encoder.network.hidden, vae.decoder.network.hidden) == ((11,), ())


def test_a_conditional_is_its_family_of_its_network():
    network, family = MLP((5,), 6, hidden=[11]), DiagonalGaussian((3,), init_std=1.0)
    x = torch.linspace(-1, 1, 35).view(B, 5)
    q = Conditional(network, family)(x)
    assert torch.equal(q.mean, network(x)[:, :3])
    assert_close(q.variance, family.min_std**2 + network(x)[:, 3:].exp())


def test_a_prior_over_another_latent_than_the_posterior_is_an_error():
    with pytest.raises(ValueError, match=r"prior's z must have the posterior's shape \(3,\), but has \(5,\)"):
        VAE.build(X, DiagonalGaussian((3,)), Bernoulli(T), StandardNormal((5,)), MLP)


@pytest.mark.parametrize("likelihood", **named(LIKELIHOODS))
def test_the_decoder_network_is_deterministic_and_its_draws_are_not(likelihood):
    vae, z = build(likelihood), torch.linspace(-1, 1, P, dtype=torch.float64)
    once, again = vae.decode(z), vae.decode(z)
    assert torch.equal(once.mean, again.mean)
    assert torch.equal(once.variance, again.variance)
    torch.manual_seed(2)
    assert not torch.equal(once.sample((5,)), again.sample((5,)))


def test_sample_draws_z_from_the_prior_and_then_the_target():
    vae = build(bernoulli, prior=learned_full)
    torch.manual_seed(3)
    expected = vae.decode(vae.prior().sample((B,))).sample()
    torch.manual_seed(3)
    assert torch.equal(vae.sample(B), expected)


@pytest.mark.parametrize("full_noise", [False, True])
def test_samples_of_a_linear_gaussian_model_have_its_moments(full_noise):
    vae, n = linear_vae(True, full_noise, full_noise), 20_001
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


# Where the decoder starts


def test_a_bernoulli_decoder_starts_at_the_mean_of_the_data():
    """With the weights of its last layer at 0, it decodes every z to the mean of each pixel."""
    vae = VAE.build((3, 2), DiagonalGaussian((4,)), Bernoulli((3, 2)), StandardNormal((4,)), partial(MLP, hidden=[5]))
    mean = torch.tensor([[0.3, 0.7], [0.5, 0.9], [0.0, 1.0]])
    vae.decoder.start_at(mean)
    torch.nn.init.zeros_(vae.decoder.network.layers[-1].weight)
    assert_close(vae.decode(torch.randn(7, 4)).mean, mean.clamp(0.001, 0.999).expand(7, 3, 2))


@pytest.mark.parametrize(
    "likelihood", **named([row for row in LIKELIHOODS if row.name not in ("bernoulli", "columns")])
)
def test_other_decoders_start_at_the_mean_of_the_data(likelihood):
    vae = build(likelihood)
    low, high = {"unit_interval": (0.3, 0.6), "levels": (0.5, 0.5), "count": (0.2, 5)}.get(
        vae.decoder.family.support, (-2, 5)
    )  # the mean of rounded grey levels is that of the logistic distribution only in the middle
    mean = torch.linspace(low, high, math.prod(T)).double().view(T)
    before = copy.deepcopy(vae.state_dict())
    vae.decoder.start_at(mean)
    if vae.decoder.family.at_mean(mean) is None:
        assert_close(vae.state_dict(), before)
        return
    torch.nn.init.zeros_(vae.decoder.network.layers[-1].weight)
    assert_close(vae.decode(torch.randn(7, P).double()).mean, mean.expand(7, *T))


def test_a_network_without_a_bias_stays_as_it_is():
    bare = Conditional(torch.nn.Flatten(-1), Bernoulli((3,)))
    bare.start_at(torch.full((3,), 0.2))
    assert_close(bare(torch.zeros(2, 3)).mean, torch.full((2, 3), 0.5))


@pytest.mark.parametrize("row", **named(POSTERIORS))
def test_a_detached_posterior_is_the_same_but_passes_on_no_gradient(row):
    vae = build(bernoulli, row)
    q, cut_off = vae.encoder.with_detached(inputs(B))
    z = inputs(L, B, shape=(P,)).requires_grad_()
    assert_close(cut_off.log_prob(z), q.log_prob(z), rtol=0, atol=0)
    learned = list(vae.encoder.parameters())
    by_z, *by_parameters = torch.autograd.grad(cut_off.log_prob(z).sum(), [z, *learned], allow_unused=True)
    assert by_z.abs().sum() > 0
    assert by_parameters == [None] * len(learned)


def test_a_network_that_asks_for_it_gets_the_shape_of_what_its_outputs_describe():
    found = {}

    class Shaped(MLP):
        def __init__(self, input_shape, output_size, event_shape):
            found[tuple(input_shape)] = event_shape
            super().__init__(input_shape, output_size)

    VAE.build(X, DiagonalGaussian((P,)), Bernoulli(T), StandardNormal((P,)), Shaped)
    assert found == {X: (P,), (P,): T}


def test_a_prior_over_another_kind_of_latents_is_refused():
    prior = StandardNormal((P,))
    prior.support = "count"
    with pytest.raises(ValueError, match="the prior's z must be real, like the posterior's"):
        VAE.build(X, DiagonalGaussian((P,)), Bernoulli(T), prior, MLP)
    with pytest.raises(ValueError, match="must have 3 categories each, like the posterior's, but have 2"):
        VAE.build(X, OneHotCategorical(2, 3), Bernoulli(T), DiscretePrior(OneHotCategorical(3, 2)), MLP)
