"""Fits a family to data by maximum likelihood, without an input: sample moments, and a numerical optimum."""

import logging
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

CHUNK = 1 << 22  # the most numbers that are converted to float64 at once
NUMBERS = 1 << 20  # the most numbers in the rows of a numerical optimum
LONG = 1 << 18  # with more numbers, it may take seconds
ITERATIONS = 300


def moments(target: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and the variance (with 1/n) of rows (n, k) -> (k,) each, in float64.

    >>> moments(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    (tensor([2., 5.], dtype=torch.float64), tensor([1., 0.], dtype=torch.float64))
    """
    mean = sum_of(chunk.sum(0) for chunk in chunks(target)) / len(target)
    return mean, sum_of((chunk - mean).square().sum(0) for chunk in chunks(target)) / len(target)


def covariance(target: Tensor, mean: Tensor) -> Tensor:
    """The covariance (with 1/n) of rows (n, k) with this mean -> (k, k), in float64."""
    return sum_of((chunk - mean).T @ (chunk - mean) for chunk in chunks(target)) / len(target)


def chunks(target: Tensor) -> Iterator[Tensor]:
    """Rows (n, k) in float64, some at a time."""
    for chunk in target.split(max(1, CHUNK // target.shape[1])):
        yield chunk.double()


def sum_of(parts: Iterator[Tensor]) -> Tensor:
    """Adds tensors up, in place."""
    total = next(parts)
    for part in parts:
        total += part
    return total


def unit_factor(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """A = L D Lᵀ with L lower triangular and 1 on its diagonal, for a positive semidefinite A (k, k).

    Row m of L and D_m are the regression of the m-th number on the ones before it, and the variance that it leaves. If
    a pivot is 0, the numbers below it do not depend on it.

    >>> unit_factor(torch.tensor([[4.0, 2.0], [2.0, 1.0]]))
    (tensor([[1.0000, 0.0000],
            [0.5000, 1.0000]]), tensor([4., 0.]))

    Returns:
        L (k, k) and the diagonal of D (k,).
    """
    rest, unit = matrix.clone(), torch.eye(len(matrix), dtype=matrix.dtype)
    pivots = torch.zeros(len(matrix), dtype=matrix.dtype)
    for j in range(len(matrix)):
        pivots[j] = rest[j, j].clamp_min(0)
        if pivots[j] > 1e-12 * matrix[j, j]:
            unit[j + 1 :, j] = rest[j + 1 :, j] / pivots[j]
            rest[j + 1 :, j + 1 :] -= torch.outer(unit[j + 1 :, j], rest[j, j + 1 :])
    return unit, pivots


@torch.enable_grad()
def numerical_optimum(family: nn.Module, start: Tensor, target: Tensor) -> Tensor:
    """Maximises the mean of log p(t) over the numbers of one distribution, and over the family's own parameters.

    Args:
        family: numbers (num_parameters,) -> a distribution; its own parameters are changed in place.
        start: the numbers to start from, (num_parameters,).
        target: (n, *event). If it holds more than 2²⁰ numbers, only as many rows as hold 2²⁰ are used, spread evenly.

    Returns:
        The numbers at the optimum, (num_parameters,), float64.
    """
    most = max(1, NUMBERS // target[0].numel())
    rows = target[torch.linspace(0, len(target) - 1, min(len(target), most)).long()].double()
    if rows.numel() > LONG:
        log.info(
            "fitting %s to %s examples without a latent, for the baseline", type(family).__name__, f"{len(rows):,}"
        )
    numbers = nn.Parameter(start.double())
    learned = [numbers, *family.parameters()]
    optimizer = torch.optim.LBFGS(learned, max_iter=ITERATIONS, tolerance_change=1e-8, line_search_fn="strong_wolfe")
    best = math.inf, [each.detach().clone() for each in learned]

    def closure() -> Tensor:
        nonlocal best
        optimizer.zero_grad()
        loss = -family(numbers).log_prob(rows).mean()
        if loss.item() < best[0]:
            best = loss.item(), [each.detach().clone() for each in learned]
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        for parameter, value in zip(learned, best[1], strict=True):
            parameter.copy_(value)
    return numbers.detach()
