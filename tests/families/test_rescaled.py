"""t = m + s·u has the density of u, divided by the volume of s; Gaussians stay Gaussians."""

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal
from torch.distributions.transforms import AffineTransform
from torch.distributions.utils import _sum_rightmost

from helpers.choices import LIKELIHOODS, POSTERIORS
from vaelab.families import with_moments
from vaelab.families.rescaled import rescaled

REAL = [row for row in [*LIKELIHOODS, *POSTERIORS] if row.make(row.shapes[0]).support == "real"]
CASES = [pytest.param(row, shape, id=f"{row.name}-{shape}") for row in REAL for shape in row.shapes]


@pytest.mark.parametrize(("row", "shape"), CASES)
def test_the_density_is_that_of_an_affine_transform(row, shape):
    family = row.build(shape)
    u = with_moments(family(row.numbers(family, 7)))
    loc, scale = torch.linspace(-90, 40, 15).double(), torch.logspace(-3, 4, 15).double()
    loc, scale = (each[: family.event_size].view(shape) for each in (loc, scale))
    t = rescaled(u, loc, scale)
    torch.manual_seed(3)
    value = t.sample((4,))
    transform = AffineTransform(loc, scale, event_dim=len(shape))
    expected = u.log_prob(transform.inv(value)) - _sum_rightmost(scale.log(), len(shape))
    torch.testing.assert_close(t.log_prob(value), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(t.mean, loc + scale * u.mean)
    torch.testing.assert_close(t.stddev, scale * u.stddev)
    assert (t.batch_shape, t.event_shape) == ((7,), shape)
    assert getattr(t, "moments_by", None) == getattr(u, "moments_by", None)


def test_a_gaussian_stays_one():
    loc, scale = torch.tensor([5.0, -2.0]), torch.tensor([3.0, 0.1])
    rows = {row.name: row for row in REAL}
    diagonal, full = (rescaled(rows[name].build((2,))(torch.randn(5 - 0, n)), loc, scale) for name, n in KINDS)
    assert isinstance(diagonal, Independent)
    assert isinstance(diagonal.base_dist, Normal)
    assert isinstance(full, MultivariateNormal)


KINDS = (("diagonal", 4), ("full", 5))
