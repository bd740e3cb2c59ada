"""A flow starts as its Gaussian, and its density is the change of variables."""

import math
import subprocess
import sys

import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from helpers.choices import FLOW, POSTERIORS, named
from vaelab.families import Flow
from vaelab.families.flow import LARGEST

B = 4
FLOWS = [row for row in POSTERIORS if isinstance(row.make((row.unit,)), Flow)]


@pytest.mark.parametrize("p", [1, 2, 5])
@pytest.mark.parametrize("kind", ["spline", "affine"])
def test_it_starts_as_the_gaussian_of_its_first_numbers(kind, p):
    family = Flow((p,), kind=kind, min_std=0.1, **{**FLOW, "transforms": 3}).double()
    numbers = torch.randn(B, family.num_parameters).double()
    loc, std = numbers[:, :p].numpy(), (0.1 + numbers[:, p : 2 * p].exp()).numpy()
    z = torch.randn(B, p).double()
    q = family(numbers)
    assert_close(q.log_prob(z).detach().numpy(), stats.norm(loc, std).logpdf(z).sum(-1), rtol=1e-9, atol=1e-9)
    torch.manual_seed(1)
    draws = q.rsample()
    torch.manual_seed(1)
    assert_close(
        draws.detach().numpy(), loc + std * torch.randn(B, p, dtype=torch.float64).numpy(), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("kind", ["spline", "affine"])
def test_the_density_is_that_of_the_noise_over_the_jacobian(kind):
    family = Flow((5,), kind=kind, **{**FLOW, "transforms": 3}).double()
    for parameter in family.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    q = family(torch.randn(family.num_parameters).double())
    noise = torch.randn(5).double()

    def z_of(noise):
        return q.loc + q.scale * q.inverse.inv(noise)

    jacobian = torch.autograd.functional.jacobian(z_of, noise)
    expected = stats.norm().logpdf(noise).sum() - torch.linalg.slogdet(jacobian).logabsdet.item()
    assert q.log_prob(z_of(noise)).item() == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("row", **named(FLOWS))
def test_values_that_are_not_numbers_are_refused(row):
    q = row.build((2,))(torch.zeros(B, row.build((2,)).num_parameters).double())
    for values in (torch.ones(B, 2, dtype=torch.complex64), [[1.0] * 2] * B):
        with pytest.raises(TypeError, match="data must be a tensor of real numbers, but is"):
            q.log_prob(values)


@pytest.mark.parametrize("row", **named(FLOWS))
def test_with_other_weights_it_is_no_gaussian_and_sees_its_context(row):
    family = row.build((2,))
    numbers = row.numbers(family).repeat(2, 1)
    numbers[1, 4:] += 1  # h alone
    z = family(numbers).sample((4_001,))
    skew = torch.from_numpy(stats.skew(z.numpy())).abs()
    excess = torch.from_numpy(stats.kurtosis(z.numpy())).abs()
    assert max(skew.max() / math.sqrt(6 / 4_001), excess.max() / math.sqrt(24 / 4_001)) > 6
    assert ((z[:, 0].mean(0) - z[:, 1].mean(0)).abs() > 6 * (2 * z.var(0).max() / 4_001).sqrt()).any()


def test_importing_zuko_leaves_torchs_checks_of_distributions_as_they_were():
    code = """
from torch.distributions import Distribution, Normal
from vaelab.families import Flow
for checks in (True, False):
    Distribution.set_default_validate_args(checks)
    Flow((2,))
    assert Distribution._validate_args is checks, checks
    assert "zuko" in __import__("sys").modules
    [__import__("sys").modules.pop(name) for name in [*__import__("sys").modules] if name.startswith("zuko")]
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr


def test_without_zuko_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "zuko.flows", None)
    with pytest.raises(ValueError, match=r'needs zuko, .*pip install "zuko>='):
        Flow((2,))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("context", value) for value in [0, -1, 2.5, "3"]),
        *(("transforms", value) for value in [0, True]),
        *(("hidden", value) for value in [[0], [8, "8"]]),
        *(("bins", value) for value in [1, 2.0]),
        *(("min_std", value) for value in [-0.1, math.nan]),
        ("kind", "planar"),
    ],
)
def test_an_argument_that_makes_no_sense_is_named_in_the_error(name, value):
    with pytest.raises(ValueError, match=f"posterior.{name}"):
        Flow((2,), **{name: value})


def test_a_latent_that_is_no_vector_and_tables_that_fill_the_memory_are_refused():
    with pytest.raises(ValueError, match=r"event_shape must .* but is \(2, 3\)"):
        Flow((2, 3))
    with pytest.raises(ValueError, match=rf"at most {LARGEST:,} numbers, but needs"):
        Flow((100_000,))
