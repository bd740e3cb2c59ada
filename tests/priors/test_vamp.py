"""The VampPrior: a mixture of the model's own posteriors, whose encoder belongs to the model."""

import copy
import math

import pytest
import torch
from torch.testing import assert_close

from helpers.choices import LIKELIHOODS, POSTERIORS, build, diagonal, named, vamp
from vaelab import VAE
from vaelab.networks import MLP
from vaelab.priors import VampPrior

P, K = 3, 4


def model(posterior=POSTERIORS[0]):
    return build(LIKELIHOODS[0], posterior, vamp)


@pytest.mark.parametrize("posterior", **named(POSTERIORS))
def test_it_is_the_mean_of_the_posteriors_at_its_pseudo_inputs(posterior):
    vae, z = model(posterior), torch.randn(5, P).double()
    each = [vae.encode(u).log_prob(z) for u in vae.prior.pseudo_inputs]  # one at a time
    expected = torch.logsumexp(torch.stack(each), 0) - torch.tensor(float(K)).double().log()
    assert_close(vae.prior().log_prob(z), expected, rtol=1e-9, atol=1e-9)


def test_with_one_component_it_is_that_posterior():
    vae = model()
    one = VampPrior((2, 3), components=1).double()
    one.uses(vae.encoder)
    z = torch.randn(5, P).double()
    assert_close(one().log_prob(z), vae.encode(one.pseudo_inputs[0]).log_prob(z))
    assert_close(one().mean, vae.encode(one.pseudo_inputs[0]).mean)


def test_the_state_dict_holds_the_encoder_once():
    vae = model()
    assert [name for name in vae.state_dict() if name.startswith("prior")] == ["prior.pseudo_inputs"]
    assert len(list(vae.parameters())) == len({id(parameter) for parameter in vae.parameters()}) == 9


def test_its_gradient_reaches_the_encoder_and_the_pseudo_inputs():
    vae = model()
    vae.prior().log_prob(torch.randn(5, P).double()).sum().backward()
    for parameter in (vae.prior.pseudo_inputs, *vae.encoder.parameters()):
        assert parameter.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in vae.decoder.parameters())


def test_a_copy_uses_the_encoder_of_the_copy():
    vae = model()
    twin = copy.deepcopy(vae).float()
    assert twin.prior._encoder == [twin.encoder]
    assert vae.prior._encoder == [vae.encoder]
    assert twin.prior().log_prob(torch.zeros(P)).dtype == torch.float32
    z, before = torch.zeros(P).double(), vae.prior().log_prob(torch.zeros(P).double())
    torch.nn.init.zeros_(vae.encoder.network.layers[0].weight)
    assert not torch.equal(vae.prior().log_prob(z), before)
    assert_close(twin.double().prior().log_prob(z), before, rtol=1e-5, atol=1e-5)


def test_it_starts_from_examples_again_and_again_if_there_are_few():
    prior = VampPrior((2, 3), components=5)
    examples = torch.randn(7, 2, 3).double()
    prior.start_from(examples)
    assert_close(prior.pseudo_inputs, examples[:5].float())
    prior.start_from(examples[:2])
    assert_close(prior.pseudo_inputs, examples[[0, 1, 0, 1, 0]].float())
    prior.start_from(torch.ones(9, 2, 3, dtype=torch.uint8))
    assert torch.equal(prior.pseudo_inputs, torch.ones(5, 2, 3))
    assert prior.pseudo_inputs.requires_grad


def test_without_a_model_it_says_what_is_missing():
    with pytest.raises(ValueError, match="must have an encoder, but has none; build a VAE"):
        VampPrior((2, 3))()


@pytest.mark.parametrize("components", [0, -1, 2.5, "3", None])
def test_a_number_of_components_that_is_none_is_refused(components):
    with pytest.raises(ValueError, match=r"prior\.components"):
        VampPrior((2, 3), components=components)


def test_a_model_with_another_condition_is_refused():
    with pytest.raises(ValueError, match=r"needs the model's condition for it, 2 numbers, but VampPrior has 0"):
        build(LIKELIHOODS[0], prior=vamp, condition_size=2)


@torch.no_grad()
def test_in_a_conditional_model_every_pseudo_input_has_a_condition_of_its_own():
    """Started from all examples, the prior is the aggregate posterior: the mean of q(z|x, c) over them."""
    n, size = 5, 2
    parts = (3,), diagonal.build((P,)).float(), LIKELIHOODS[0].build((3,)).float()
    vae = VAE.build(*parts, VampPrior((3,), n, pseudo_condition_size=size), MLP, condition_size=size)
    x, c, z = torch.randn(n, 3), torch.eye(size)[torch.arange(n) % size], torch.randn(7, 1, P)
    vae.prior.start_from(x, c)
    expected = vae.encode(x, c).log_prob(z).logsumexp(-1) - math.log(n)
    assert_close(vae.prior().log_prob(z[:, 0]), expected)
    assert vae.sample(4, c[0]).shape == (4, 3)
