"""A flow prior starts as N(0, I), and its density is the change of variables and zuko's own."""

import sys

import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from vaelab.priors import FlowPrior

every_kind = pytest.mark.parametrize("kind", ["affine", "spline"])


def flow(p, kind, **options):
    """A flow with generic weights, in float64."""
    torch.manual_seed(2)
    prior = FlowPrior((p,), **{"transforms": 3, "hidden": [11, 7], "bins": 4, **options}, kind=kind).double()
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return prior


@every_kind
@pytest.mark.parametrize("p", [1, 2, 5])
def test_it_starts_as_the_standard_normal(kind, p):
    prior, z = FlowPrior((p,), hidden=[11], kind=kind).double(), torch.randn(7, p).double()
    assert_close(prior().log_prob(z).detach().numpy(), stats.norm.logpdf(z).sum(-1), rtol=1e-9, atol=1e-9)
    torch.manual_seed(1)
    draws = prior().sample((7,))
    torch.manual_seed(1)
    assert_close(draws, torch.randn(7, p, dtype=torch.float64), rtol=1e-6, atol=1e-6)


@every_kind
@pytest.mark.parametrize("p", [1, 5])
def test_the_density_is_that_of_the_noise_over_the_jacobian(kind, p):
    prior, noise = flow(p, kind), torch.randn(p).double()
    jacobian = torch.autograd.functional.jacobian(lambda noise: prior().base.from_noise(noise)[0], noise)
    expected = stats.norm.logpdf(noise).sum() - torch.linalg.slogdet(jacobian).logabsdet.item()
    z = prior().base.from_noise(noise)[0]
    assert prior().log_prob(z).item() == pytest.approx(expected, rel=1e-8)


@every_kind
def test_zuko_gives_the_same_density(kind):
    from zuko.distributions import DiagNormal, NormalizingFlow

    prior, z = flow(5, kind), torch.randn(7, 5).double()
    torch.nn.init.zeros_(prior.loc)
    torch.nn.init.zeros_(prior.log_std)
    base = DiagNormal(torch.zeros(5).double(), torch.ones(5).double())
    assert_close(prior().log_prob(z), NormalizingFlow(prior.inverse(), base).log_prob(z))


@every_kind
def test_draws_have_the_density(kind):
    """The noise of a draw is a standard normal; χ² of its squared length, and no correlation."""
    prior = flow(3, kind)
    z, n = prior().sample((4_001,)), 4_001
    noise, _ = prior().base.inverse.call_and_ladj((z - prior.loc) / prior.log_std.exp())
    assert stats.kstest(noise.square().sum(-1).detach().numpy(), "chi2", (3,)).pvalue > 1e-3
    skew = stats.skew(z.numpy())
    assert max(abs(skew)) > 6 * (6 / n) ** 0.5  # z itself is no Gaussian


def test_each_latent_depends_on_those_before_it_and_on_none_after():
    prior, z = flow(4, "affine", transforms=1), torch.randn(4).double()
    jacobian = torch.autograd.functional.jacobian(lambda z: prior().base.inverse(z), z)
    assert torch.equal(jacobian != 0, torch.ones(4, 4).tril() > 0)


def test_without_zuko_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "zuko.flows", None)
    with pytest.raises(ValueError, match=r'prior=flow needs zuko, .*pip install "zuko>='):
        FlowPrior((2,))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("transforms", 0),
        ("transforms", True),
        ("hidden", [0]),
        ("hidden", [8, "8"]),
        ("hidden", "8"),
        ("bins", 1),
        ("kind", "planar"),
    ],
)
def test_an_argument_that_makes_no_sense_is_named_in_the_error(name, value):
    with pytest.raises(ValueError, match=rf"prior\.{name}"):
        FlowPrior((2,), **{name: value})


def test_a_latent_that_is_no_vector_and_tables_that_fill_the_memory_are_refused():
    with pytest.raises(ValueError, match=r"event_shape must .* but is \(2, 3\)"):
        FlowPrior((2, 3))
    with pytest.raises(ValueError, match=r"prior=flow must need at most .* numbers, but needs"):
        FlowPrior((100_000,))
