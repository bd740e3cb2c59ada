"""`fit_` reaches the maximum of the likelihood: of closed forms, and better than every other choice of numbers."""

import numpy as np
import pytest
import torch
from scipy import optimize
from sklearn.covariance import empirical_covariance

from helpers.choices import LIKELIHOODS
from vaelab.families import DiagonalGaussian, Family, FullGaussian, Laplace, SharedDiagonalGaussian
from vaelab.families.maximum_likelihood import moments, unit_factor

N, K = 37, 5
TOLERANCE = 1e-7  # of a numerical optimum
BY_NAME = {row.name: row for row in LIKELIHOODS}


def targets(row, n=N):
    """Correlated rows, a few of them at the same place."""
    generator = torch.Generator().manual_seed(2)
    mixed = torch.randn(n, K, generator=generator).double() @ torch.randn(K, K, generator=generator).double()
    kinds = {
        "binary": lambda: (mixed > 0.2).double(),
        "unit_interval": mixed.sigmoid,
        "count": lambda: (2 * mixed).exp().floor().clamp(max=90),
        "levels": lambda: (4 * mixed.sigmoid()).round() / 4,
        "category": lambda: mixed.round().clamp(-1, 1) + 1,
    }
    family = row.make((K,))
    if family.support == "mixed":
        return torch.stack([kinds.get(kind, lambda: mixed)()[:, m] for m, kind in enumerate(family.kinds)], dim=-1)
    return kinds.get(family.support, lambda: mixed)()


def log_likelihood(family, numbers, rows):
    return family(numbers).log_prob(rows).mean().item()


@pytest.mark.parametrize("row", LIKELIHOODS, ids=lambda row: row.name)
@pytest.mark.parametrize("floor", [0.0, 1.2])
def test_no_other_numbers_are_better(row, floor):
    family, rows = row.build((K,)), targets(row)
    if hasattr(family, "min_std"):
        family.min_std = floor
    numbers = family.fit_(rows)
    best = log_likelihood(family, numbers, rows)
    torch.manual_seed(4)
    for size in (1e-3, 1e-2, 0.1, 1.0):
        for _ in range(20):
            other = row.build((K,))
            other.load_state_dict(family.state_dict())
            if hasattr(family, "min_std"):
                other.min_std = floor
            for parameter in other.parameters():
                parameter.data += size * torch.randn_like(parameter)
            bernoulli = row.name == "bernoulli"
            moved = numbers + size * torch.randn_like(numbers)
            moved = moved.clamp(*(torch.logit(torch.tensor(p)).item() for p in (0.001, 0.999))) if bernoulli else moved
            assert log_likelihood(other, moved, rows) <= best + TOLERANCE


# W = 0 is a saddle of the low-rank one, so its `fit_` starts elsewhere; the optimal σ is no parameter.
CLOSED = [row for row in LIKELIHOODS if row.name not in ("low_rank", "optimal")]


@pytest.mark.parametrize("row", CLOSED, ids=lambda row: row.name)
def test_the_numerical_optimum_is_the_closed_form(row):
    closed, numerical, rows = row.build((K,)), row.build((K,)), targets(row)
    best = log_likelihood(closed, closed.fit_(rows), rows)
    found = log_likelihood(numerical, Family.fit_(numerical, rows), rows)
    assert found == pytest.approx(best, abs=2e-3 if row.name == "laplace" else 1e-6)  # |t − μ| has kinks
    assert found <= best + 1e-12


def test_a_full_covariance_without_a_floor_is_the_sample_covariance():
    family, rows = FullGaussian((K,), min_std=0.0).double(), targets(BY_NAME["full"])
    p = family(family.fit_(rows))
    np.testing.assert_allclose(p.covariance_matrix.detach(), empirical_covariance(rows.numpy()), rtol=1e-8)
    np.testing.assert_allclose(p.mean.detach(), rows.mean(0), rtol=1e-10)


@pytest.mark.parametrize("rank", [1, 3])
def test_a_floor_holds_for_each_residual_and_keeps_singular_data_finite(rank):
    generator = torch.Generator().manual_seed(6)
    rows = torch.randn(N, rank, generator=generator).double() @ torch.randn(rank, K, generator=generator).double()
    family = FullGaussian((K,), min_std=0.3).double()
    p = family(family.fit_(rows))

    def loss(entries):
        factor = np.zeros((K, K))
        factor[np.tril_indices(K)] = entries
        diagonal = np.sqrt(0.3**2 + factor.diagonal() ** 2)
        np.fill_diagonal(factor, diagonal)
        white = np.linalg.solve(factor, (rows - rows.mean(0)).numpy().T)
        return 0.5 * (white**2).sum(0).mean() + np.log(diagonal).sum() + K / 2 * np.log(2 * np.pi)

    found = optimize.minimize(loss, np.eye(K)[np.tril_indices(K)], method="L-BFGS-B", options={"maxiter": 2000}).fun
    assert found - 0.01 < -p.log_prob(rows).mean().item() <= found + 1e-6  # L-BFGS stops a little early


def test_constant_columns_are_at_the_floor():
    rows = torch.tensor([[3.0, 1.0], [3.0, 5.0], [3.0, 6.0]])
    for family in (DiagonalGaussian((2,), 0.2), SharedDiagonalGaussian((2,), 0.2), Laplace((2,), 0.2)):
        p = family.double()(family.fit_(rows.double()))
        assert p.stddev[0].item() == pytest.approx(0.2)
        assert p.mean[0].item() == pytest.approx(3)


def test_moments_keep_their_digits_in_float32_data_far_from_zero():
    rows = 30_000 + torch.randn(5_001, 3, generator=torch.Generator().manual_seed(0))
    mean, variance = moments(rows)
    np.testing.assert_allclose(mean, rows.double().mean(0), rtol=1e-12)
    np.testing.assert_allclose(variance, rows.double().var(0, correction=0), rtol=1e-9)


def test_the_unit_factor_multiplies_to_the_matrix():
    generator = torch.Generator().manual_seed(1)
    for rank in (2, 5):
        root = torch.randn(K, rank, generator=generator).double()
        unit, pivots = unit_factor(root @ root.T)
        torch.testing.assert_close(unit @ pivots.diag() @ unit.T, root @ root.T)
        torch.testing.assert_close(unit, unit.tril())
        assert (pivots >= 0).all()
