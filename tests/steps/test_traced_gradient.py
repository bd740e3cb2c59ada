"""A traced gradient equals the gradient, bit for bit, or the trace is refused. test_every_pair.py tries all options."""

import re
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from helpers import choices
from helpers.traced import assert_the_same
from vaelab import VAE
from vaelab.conditional import Conditional
from vaelab.families import Bernoulli, DiagonalGaussian, IdentityGaussian
from vaelab.networks import MLP
from vaelab.objectives import ELBO, Terms
from vaelab.priors import StandardNormal
from vaelab.steps.gradient import gradient, kind
from vaelab.steps.purity import NotPureError, signature, why_impure
from vaelab.steps.traced_gradient import TracedGradient


def build(likelihood=DiagonalGaussian, hidden=(7, 5)):
    return VAE.build(
        (3, 2), DiagonalGaussian((3,)), likelihood((3, 2)), StandardNormal((3,)), partial(MLP, hidden=hidden)
    )


def batch(n=11):
    return (torch.rand(n, 3, 2) < 0.5).float()


def test_a_batch_that_reconstructs_itself_and_one_with_a_condition():
    vae, x = build(), batch()
    assert_the_same(vae, ELBO(), (x, x), TracedGradient(vae, ELBO(), (x, x)))
    conditional = choices.build(choices.LIKELIHOODS[0], condition_size=2).float()
    data = [(torch.randn(11, 2, 3), conditional.sample(11, torch.ones(2)), torch.randn(11, 2)) for _ in range(2)]
    assert_the_same(conditional, ELBO(), data[1], TracedGradient(conditional, ELBO(), data[0]))


@pytest.fixture(scope="module")
def compiled():
    vae, x = build(Bernoulli), batch()
    return vae, TracedGradient(vae, ELBO(samples=3, beta=0.7), (x, x), compiled=True)


@pytest.mark.drill  # the compiler takes half a minute
def test_a_compiled_trace_draws_the_same_and_rounds_otherwise(compiled):
    vae, traced = compiled
    for _ in range(2):
        x = batch()
        torch.manual_seed(1)
        expected = gradient(vae, ELBO(samples=3, beta=0.7), x, x)
        after = torch.rand(3)
        torch.manual_seed(1)
        found = traced(x, x)
        assert torch.equal(torch.rand(3), after)
        assert found.names == expected.names
        torch.testing.assert_close(found[1:], expected[1:], rtol=1e-5, atol=1e-6)
        for parameter, value in zip(vae.parameters(), found.gradients, strict=True):
            assert value.stride() == parameter.stride()
            with torch.no_grad():
                parameter += 0.1 * torch.randn_like(parameter)


@pytest.mark.drill
def test_a_model_of_the_same_shape_is_compiled_from_what_is_known(compiled):
    from torch._dynamo.utils import counters

    counters.clear()
    vae, x = build(Bernoulli), batch()
    traced = TracedGradient(vae, ELBO(samples=3, beta=0.7), (x, x), compiled=True)
    assert counters["inductor"]["fxgraph_cache_hit"] == 1
    assert counters["inductor"]["fxgraph_cache_miss"] == 0
    traced(other := batch(), other)
    assert counters["stats"]["unique_graphs"] == 1


def test_without_a_compiler_it_says_what_to_do():
    vae, x = build(IdentityGaussian, hidden=(6, 4)), batch(5)
    with (
        torch._inductor.config.patch({"cpp.cxx": ("/nonsense/c++",), "force_disable_caches": True}),
        pytest.raises(ValueError, match=r"compile=true needs a working C\+\+ compiler, but .*; install one"),
    ):
        TracedGradient(vae, ELBO(), (x, x), compiled=True)


def linear(vae, x, target):
    """An objective with a constant gradient."""
    each = 3 * vae.encoder.network.layers[0].weight.sum() + 0 * x.flatten(1).sum(-1)
    return Terms(each, each, each, each, each)


def test_a_gradient_that_never_changes_may_be_written_to():
    vae, x = build(), batch(8)  # so that the mean over it is exact
    traced = TracedGradient(vae, linear, (x, x))
    for _ in range(2):
        first, *others = traced(x, x).gradients
        assert torch.equal(first, torch.full((7, 6), 3.0))
        assert others == [None] * len(others)
        first.mul_(5)  # as clipping does


class Twice(nn.Module):
    """Its gradients come transposed, expanded, and one tensor for two parameters."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(12, 3))
        self.bias, self.more, self.each = (nn.Parameter(torch.randn(12)) for _ in range(3))

    def forward(self, z):
        return torch.einsum("...i,oi->...o", z, self.weight) + self.bias + self.more + self.each.sum()


def test_gradients_are_laid_out_and_kept_apart_as_backward_leaves_them():
    whole, x = build(), batch()
    vae = VAE(whole.encoder, Conditional(Twice(), DiagonalGaussian((3, 2))), whole.prior)
    torch.manual_seed(1)
    ELBO()(vae, x, x).loss.mean().backward()
    traced = TracedGradient(vae, ELBO(), (x, x))
    for found in (gradient, lambda *_: traced(x, x)):
        torch.manual_seed(1)
        values = found(vae, ELBO(), x, x).gradients
        assert len({value.data_ptr() for value in values}) == len(values)
        for parameter, value in zip(vae.parameters(), values, strict=True):
            assert value.stride() == parameter.stride()
            assert torch.equal(value, parameter.grad)


class Maps(nn.Sequential):
    """A decoder to 6 numbers from torch's modules that resize, pad and normalise each example by itself."""

    pure = True

    def __init__(self, *more):
        super().__init__(
            nn.LayerNorm(3),
            nn.Linear(3, 16),
            nn.Unflatten(-1, (4, 2, 2)),
            nn.GroupNorm(2, 4),
            nn.Upsample(scale_factor=2),
            nn.PixelShuffle(2),
            nn.ReflectionPad2d(1),
            *more,
            nn.Flatten(1),
            nn.Linear(100, 12),
        )

    def forward(self, z):
        return super().forward(z.flatten(0, -2)).unflatten(0, z.shape[:-1])


def test_modules_of_torch_that_keep_examples_apart_are_traced_and_batch_normalisation_is_not():
    whole, x = build(), batch()
    vae = VAE(whole.encoder, Conditional(Maps(), DiagonalGaussian((3, 2))), whole.prior)
    assert why_impure(vae, ELBO()) is None
    assert_the_same(vae, ELBO(), [batch()] * 2, TracedGradient(vae, ELBO(), (x, x)))
    mixing = VAE(whole.encoder, Conditional(Maps(nn.BatchNorm2d(1)), DiagonalGaussian((3, 2))), whole.prior)
    assert why_impure(mixing, ELBO()) == "torch.nn.modules.batchnorm.BatchNorm2d does not declare `pure = True`"


class Looks(nn.Linear):
    pure = True

    def forward(self, z):
        return super().forward(z) if z.mean() > 0 else -super().forward(z)


class Checks(IdentityGaussian):
    """It hands out a distribution that checks its arguments."""

    pure = True

    def forward(self, parameters):
        return Independent(Normal(parameters.unflatten(-1, self.event_shape), 1.0, validate_args=True), 2)


@dataclass
class Asks:
    """An objective that looks at the loss."""

    pure = True

    def __call__(self, vae, x, target):
        terms = ELBO()(vae, x, target)
        return terms if terms.loss.mean().item() > 0 else terms._replace(loss=-terms.bound)


def wrongly_pure():
    """A model and an objective of each kind, and the class that their errors name."""
    whole, here = build(), "test_traced_gradient"
    network = VAE(whole.encoder, Conditional(Looks(3, 12), DiagonalGaussian((3, 2))), whole.prior)
    yield network, ELBO(), f"{here}.Looks"
    yield build(Checks), ELBO(), f"torch.distributions.normal.Normal inside {here}.Checks"
    yield build(), Asks(), f"{here}.Asks"


@pytest.mark.parametrize(("vae", "objective", "name"), wrongly_pure(), ids=["network", "likelihood", "objective"])
def test_a_part_that_looks_at_numbers_is_named(vae, objective, name):
    x = batch()
    assert why_impure(vae, objective) is None
    with pytest.raises(NotPureError, match=f"^{re.escape(name)} reads the values of tensors$"):
        TracedGradient(vae, objective, (x, x))


def test_frozen_parameters_have_no_gradient():
    vae, x = build(), batch()
    before = signature(vae, ELBO())
    vae.encoder.requires_grad_(False)
    assert signature(vae, ELBO()) != before
    traced = TracedGradient(vae, ELBO(), (x, x))
    assert [value is None for value in traced(x, x).gradients] == [
        name.startswith("encoder") for name, _ in vae.named_parameters()
    ]
    assert_the_same(vae, ELBO(), (x, x), traced)


def test_tracing_draws_nothing_and_leaves_no_gradient():
    vae, x = build(), batch()
    state = torch.get_rng_state()
    TracedGradient(vae, ELBO(), (x, x))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in vae.parameters())


def test_the_kind_of_a_batch_is_its_shape_its_dtype_and_whether_it_reconstructs_itself():
    x, target = batch(), batch()
    assert kind((x, x)) == kind((target, target))
    assert kind((x, target)) == kind((target, x))
    assert kind((x, x)) != kind((x, target))
    assert kind((x, x)) != kind((batch(7), batch(7)))
    assert kind((x, x)) != kind((x.double(), x.double()))


def test_the_signature_changes_with_all_that_a_trace_fixes():
    vae = build()
    same = signature(vae, ELBO())
    assert signature(vae, ELBO()) == same
    assert signature(vae, ELBO(beta=0.5)) != same
    assert signature(vae.eval(), ELBO()) != same
    vae.train()
    vae.decoder.family.min_std = 0.5
    assert signature(vae, ELBO()) != same
    vae.decoder.family.min_std = 0.01
    assert signature(vae, ELBO()) == same
    vae.prior.zeros.fill_(2)
    assert signature(vae, ELBO()) != same
    same = signature(vae, ELBO())
    vae.encoder.network.layers[0].weight = nn.Parameter(torch.zeros(7, 6))
    assert signature(vae, ELBO()) != same


def test_a_tensor_that_an_objective_holds_is_part_of_the_signature():
    class Weighted:
        pure = True
        weight = None

        def __call__(self, vae, x, target):
            terms = ELBO()(vae, x, target)
            return terms._replace(loss=self.weight * terms.loss)

    vae, objective = build(), Weighted()
    objective.weight = torch.tensor(0.5)
    same = signature(vae, objective)
    assert signature(vae, objective) == same
    objective.weight.fill_(0.7)
    assert signature(vae, objective) != same
