"""Bounds on log p from importance weights, and statistics that tell you how far to trust them."""

import math

import torch
from torch import Tensor

from vaelab import objectives
from vaelab.checks import check_whole
from vaelab.precision import double


def log_mean(log_w: Tensor) -> Tensor:
    """log (1/L) Σ_l w_l: (L, …) -> (…), in float64."""
    return objectives.log_mean(double(log_w))


def iw_bound(log_w: Tensor, samples: int) -> Tensor:
    """An unbiased estimate of IW_samples from L draws: (L, …) -> (…), the mean over ⌊L / samples⌋ separate groups.

    >>> import torch
    >>> iw_bound(torch.tensor([[1.0], [3.0], [5.0]]), samples=1)  # the ELBO
    tensor([3.], dtype=torch.float64)

    Raises:
        ValueError: `samples` is not a whole number from 1 to L.
    """
    groups = len(log_w) // check_whole("samples", samples, 1)
    if not groups:
        raise ValueError(f"samples must be at most {len(log_w)}, the number of draws, but is {samples}; draw more")
    return log_mean(log_w[: groups * samples].unflatten(0, (groups, samples)).transpose(0, 1)).mean(0)


def effective_sample_size(log_w: Tensor) -> Tensor:
    """(Σ w)² / Σ w²: (L, …) -> (…), between 1 and L (Kong 1992).

    >>> import torch
    >>> effective_sample_size(torch.tensor([[0.0], [0.0], [-100.0]]))
    tensor([2.], dtype=torch.float64)
    """
    log_w = double(log_w)
    return (2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0)).exp()


def pareto_k(log_w: Tensor) -> Tensor:
    """k̂, the shape of the generalised Pareto distribution fitted to the largest weights: (L, B) -> (B,).

    The weights have about 1/k̂ finite moments. Below 0.7 you can trust the estimate. Above 0.7 it depends on few draws
    and is likely too low. Above 1 the mean itself may not exist (Vehtari et al. 2024, arxiv.org/abs/1507.02646, §3).
    The fit follows Zhang & Stephens 2009, with the weak prior of Vehtari et al., appendix G.

    k̂ is infinite if fewer than 5 weights are in the tail, as with 20 draws or fewer. It is 0 if all weights agree
    within 1 %, or those of the tail and its threshold within 0.1 %, because their differences may be rounding errors.
    A few discrete latents give such a tail: many draws have the largest weight, so the mean can be trusted.

    >>> import torch
    >>> pareto_k(torch.randn(1_000, 7)).shape
    torch.Size([7])
    """
    draws = len(log_w)
    tail = math.ceil(min(0.2 * draws, 3 * math.sqrt(draws)))
    if tail < 5:
        return torch.full_like(double(log_w[0]), math.inf)
    log_w = double(log_w)
    largest = log_w.topk(tail + 1, dim=0).values.flip(0)  # (tail + 1, B), ascending
    largest = (largest - largest[-1]).exp()  # a common factor does not change k̂
    excess = largest[1:] - largest[0]  # over the threshold, the largest weight outside the tail
    k = torch.stack([_tail_shape(column) for column in excess.unbind(1)])
    agree = (log_w.amax(0) - log_w.amin(0) < 0.01) | (largest[0] > math.exp(-0.001))
    return torch.where(agree, 0.0, k)


def _tail_shape(excess: Tensor) -> Tensor:
    """Ascending excesses of one example (n,) -> k̂, (). A weight that equals the threshold is not in the tail."""
    excess = excess[excess > torch.finfo(torch.float64).tiny]
    n = len(excess)
    return (n * _fit_pareto(excess) + 10 * 0.5) / (n + 10) if n >= 5 else excess.new_tensor(math.inf)


def _fit_pareto(excess: Tensor) -> Tensor:
    """Fits a generalised Pareto distribution to ascending excesses (n,) -> its shape (): Zhang & Stephens 2009."""
    n = len(excess)
    candidates = 30 + int(math.sqrt(n))
    quartile = excess[int(n / 4 + 0.5) - 1]
    steps = torch.arange(1, candidates + 1, dtype=torch.float64, device=excess.device)
    b = (1 - (candidates / (steps - 0.5)).sqrt()) / (3 * quartile) + 1 / excess[-1]  # (candidates,)
    k = torch.log1p(-b.unsqueeze(-1) * excess).mean(-1)
    profile = n * ((-b / k).log() - k - 1)  # log-likelihood of each candidate
    return torch.log1p(-(profile.softmax(0) @ b) * excess).mean()
