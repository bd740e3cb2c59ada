"""p(z|c): it is the Gaussian whose numbers its network computes, for each example by itself."""

import copy
import math
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from helpers.choices import CONDITIONAL_PRIORS, OBJECTIVES, POSTERIORS, C, P, bernoulli, build, diagonal, named
from vaelab import VAE
from vaelab.families import DiagonalGaussian, FullGaussian, closed_form_kl
from vaelab.networks import MLP
from vaelab.objectives import ELBO
from vaelab.priors import ConditionalPrior, LearnedPrior
from vaelab.steps.gradient import gradient
from vaelab.steps.traced_gradient import TracedGradient

L, B = 5, 7
X, T = (2, 3), (4, 1)
REAL = [row for row in POSTERIORS if row.support == "real"]
FOR_REAL = [row for row in OBJECTIVES if getattr(row.objective, "gradient", "") != "gumbel_softmax"]
every_prior = pytest.mark.parametrize("row", **named(CONDITIONAL_PRIORS))


def inputs(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def alone(vae, condition):
    """The same model with p(z) = p(z|c) of one condition."""
    twin = copy.deepcopy(vae)
    prior = LearnedPrior(vae.prior.family).double()
    prior.numbers.data = vae.prior.network(condition).detach()
    twin.prior = prior
    return twin


@every_prior
def test_the_density_is_scipys_for_each_condition(row):
    vae, c, z = build(bernoulli, prior=row), inputs(B, C), inputs(L, B, P)
    p = vae.prior_given(c)
    assert (p.batch_shape, p.event_shape) == ((B,), (P,))
    for index in range(B):
        ((_, truth),) = row.parts(vae, c[index])
        log_p = torch.from_numpy(truth.logpdf(z[:, index].numpy()))
        assert_close(p.log_prob(z)[:, index], log_p if log_p.dim() == 1 else log_p.sum(-1), rtol=1e-10, atol=1e-10)
    assert_close(vae.prior_given(c.expand(L, B, C)).mean, p.mean.expand(L, B, P))


@pytest.mark.parametrize("family", [DiagonalGaussian, FullGaussian])
def test_it_starts_at_n_0_i_for_every_condition(family):
    p = ConditionalPrior(family((P,), min_std=0.0, init_std=1.0), condition_size=C).double()(inputs(B, C))
    z = inputs(L, B, P)
    assert_close(p.log_prob(z), -0.5 * z.square().sum(-1) - P / 2 * math.log(2 * math.pi))


@every_prior
@pytest.mark.parametrize("posterior", **named(REAL))
def test_the_kl_has_the_closed_form_of_each_pair(row, posterior):
    """That of Gaussians is checked against quadrature for p(z), in test_prior_contract.py."""
    vae, c = build(bernoulli, posterior, row), inputs(B, C)
    found = closed_form_kl(vae.encode(x := inputs(B, *X), c), vae.prior_given(c))
    for index in range(B):
        expected = closed_form_kl(vae.encode(x[index], c[index]), alone(vae, c[index]).prior())
        assert (found is None) == (expected is None)
        if found is not None:
            assert_close(found[index], expected, rtol=1e-10, atol=1e-12)


@every_prior
@pytest.mark.parametrize("objective", **named(FOR_REAL))
def test_every_example_has_the_terms_of_its_own_prior(row, objective):
    vae, x, c = build(bernoulli, prior=row), inputs(B, *X), inputs(B, C)
    target = vae.sample(B, c)
    together, found = torch.Generator.get_state(torch.default_generator), []
    terms = objective.objective(vae, x, target, c)
    for index in range(B):
        torch.set_rng_state(together)
        each = objective.objective(alone(vae, c[index]), x, target, c)  # the same draws of z
        found.append(each.elbo[index])
    assert_close(terms.elbo, torch.stack(found), rtol=1e-10, atol=1e-10)
    terms.loss.mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in vae.prior.parameters())


@every_prior
def test_a_trace_gives_the_same_numbers(row):
    vae = build(bernoulli, prior=row).float()

    def batch(seed):
        c = inputs(B, C, seed=seed).float()
        return inputs(B, *X, seed=seed).float(), vae.sample(B, c), c

    traced, data = TracedGradient(vae, ELBO(), batch(2)), batch(3)
    torch.manual_seed(1)
    expected = gradient(vae, ELBO(), *data)
    torch.manual_seed(1)
    found = traced(*data)
    assert torch.equal(found.sums, expected.sums)
    assert all(map(torch.equal, found.gradients, expected.gradients))


@every_prior
def test_draws_lie_where_the_prior_of_their_condition_does(row):
    vae, n = build(bernoulli, prior=row), 4_001
    for c in inputs(2, C):
        p, draws = vae.prior_given(c), vae.sample_prior(n, c)
        assert draws.shape == (n, P)
        assert ((draws.mean(0) - p.mean).abs() < 4.5 * p.stddev / n**0.5).all()
    many = vae.sample_prior(B, inputs(B, C))
    assert many.shape == (B, P)
    assert vae.latent_shape == (P,)


def test_it_needs_the_condition_of_the_model():
    with pytest.raises(ValueError, match="condition must be set for prior=conditional"):
        ConditionalPrior(DiagonalGaussian((P,)))
    with pytest.raises(ValueError, match=r"prior\.hidden must be a list of widths such as \[64\], but is 5"):
        ConditionalPrior(DiagonalGaussian((P,)), hidden=5, condition_size=C)
    with pytest.raises(ValueError, match=r"prior\.activation must be one of tanh, .*, but is sine"):
        ConditionalPrior(DiagonalGaussian((P,)), activation="sine", condition_size=C)
    parts = X, DiagonalGaussian((P,)), bernoulli.build(T).float()
    prior = ConditionalPrior(DiagonalGaussian((P,)), condition_size=C)
    with pytest.raises(ValueError, match="must have the model's condition_size=3, but has 2"):
        VAE.build(*parts, prior, partial(MLP, hidden=[4]), condition_size=3)
    vae = build(bernoulli, diagonal, CONDITIONAL_PRIORS[0])
    assert "p(z|c)  ConditionalPrior" in repr(vae)
    with pytest.raises(ValueError, match=r"condition must have the shape \(…, 2\) for p\(z\|c\), but there is none"):
        vae.sample(B)
    with pytest.raises(ValueError, match=r"condition must have the shape \(c,\) or \(7, c\), but has \(3, 2\)"):
        vae.sample(7, inputs(3, C))
