"""log p(t) by importance sampling, with q(z|x) as the proposal, and how far it can be trusted.

With log w_l = log p(t|z_l) + log p(z_l) − log q(z_l|x) and z_l ~ q(z|x), l = 1..L (Burda et al. 2016,
arxiv.org/abs/1509.00519, eq. 8),

    log p̂(t) = log (1/L) Σ_l w_l,        E[log p̂(t)] = IW_L ≤ log p(t), non-decreasing in L
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.utils._python_dispatch import TorchDispatchMode

from vaelab.checks import check_whole
from vaelab.evaluation.data_checks import check_data
from vaelab.precision import double, full_precision
from vaelab.vae import VAE

MEMORY = 20 * 2**20  # bytes of one chunk of decoded draws; larger ones leave the processor's cache and are no faster


class LogWeights(NamedTuple):
    """The two parts of log w, each (L, B), in nats.

    Attributes:
        log_likelihood: log p(t|z).
        log_ratio: log q(z|x) − log p(z).
    """

    log_likelihood: Tensor
    log_ratio: Tensor

    @property
    def log_w(self) -> Tensor:
        """(L, B), nats."""
        return self.log_likelihood - self.log_ratio


@torch.no_grad()
def log_weights(vae: VAE, x: Tensor, target: Tensor, samples: int, chunk: int | None = None) -> LogWeights:
    """x (B, *x), target (B, *t) -> the log-weights of `samples` draws per example, each part (samples, B), nats.

    Args:
        chunk: draws per example that are decoded at once; the last chunk holds what is left.

    Raises:
        TypeError: x or the target is no tensor of real numbers.
        ValueError: `samples` is not a whole number of at least 1, or the target's shape or a number in the data does
            not fit.
    """
    check_whole("samples", samples, 1)
    check_data(vae, x, target)
    with full_precision(vae) as vae:
        return _join(part() for part in _parts(vae, x, target, samples, chunk or samples))


def weigh(vae: VAE, x: Tensor, target: Tensor, samples: int, memory: int = MEMORY) -> Iterator[LogWeights]:
    """The log-weights of all examples in order, as many examples at a time as the memory lets be decoded at once.

    Args:
        memory: about how many bytes one chunk may take; on a CPU each of torch's threads has one.

    Raises:
        ValueError: `samples` or `memory` is not a whole number of at least 1, or the target's shape does not fit.
    """
    decodes = max(1, check_whole("memory", memory, 1) // decode_bytes(vae, x[:1], target[:1]))
    rows, chunk = max(1, decodes // check_whole("samples", samples, 1)), min(samples, decodes)
    batches = zip(x.split(rows), target.split(rows), strict=True)
    parts = (part for batch in batches for part in _parts(vae, *batch, samples, chunk))
    found = _side_by_side(parts) if _may_share(vae, x.device) else (part() for part in parts)
    for _ in x.split(rows):
        yield _join(next(found) for _ in range(0, samples, chunk))


@torch.no_grad()
def _parts(vae: VAE, x: Tensor, target: Tensor, samples: int, chunk: int) -> Iterator[Callable[[], LogWeights]]:
    """Draws z ~ q(z|x), a chunk at a time; each part decodes and scores its chunk."""
    q, prior = vae.encode(x), vae.prior()
    for start in range(0, samples, chunk):
        yield partial(_score_draws, vae, q, prior, _draw(q, min(chunk, samples - start)), target)


@torch.no_grad()
def _score_draws(vae: VAE, q: Distribution, prior: Distribution, z: Tensor, target: Tensor) -> LogWeights:
    return LogWeights(vae.log_likelihood(z, target), q.log_prob(z) - prior.log_prob(z))


def _draw(q: Distribution, samples: int) -> Tensor:
    """z ~ q -> (samples, B, p); by rsample where there is one, which draws in half of the time."""
    return q.rsample((samples,)) if q.has_rsample else q.sample((samples,))


def _join(parts: Iterable[LogWeights]) -> LogWeights:
    return LogWeights(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _may_share(vae: VAE, device: torch.device) -> bool:
    """Whether threads may decode side by side: on a CPU, outside autocast, where decoding draws and changes nothing."""
    pure = not any(module.training for module in vae.modules())
    return device.type == "cpu" and torch.get_num_threads() > 1 and pure and not torch.is_autocast_enabled("cpu")


def _side_by_side(jobs: Iterable[Callable[[], LogWeights]]) -> Iterator[LogWeights]:
    """The jobs' results in order; each of torch's threads has its own, faster than all of them at one."""
    threads = torch.get_num_threads()
    waiting: deque[Future[LogWeights]] = deque()
    torch.set_num_threads(1)  # of this thread, and of those that start now
    try:
        with ThreadPoolExecutor(threads) as pool:
            for job in jobs:
                waiting.append(pool.submit(job))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        torch.set_num_threads(threads)


def log_marginal_likelihood(
    vae: VAE, x: Tensor, target: Tensor | None = None, samples: int = 5000, memory: int = MEMORY
) -> Tensor:
    """log p̂(t) of each example, (B,), nats: the importance-sampling estimate with `samples` draws per example.

    The expectation is IW_samples whatever the batch and the memory: every example gets exactly `samples` draws.

    Args:
        vae: the model.
        x: (B, *x), what the encoder sees.
        target: (B, *t), what the decoder is scored on; None if x reconstructs itself.
        samples: L, draws of z per example.
        memory: about how many bytes one chunk may take; on a CPU each of torch's threads has one.

    Raises:
        TypeError: x or the target is no tensor of real numbers.
        ValueError: `samples` or `memory` is not a whole number of at least 1, or the target's shape or a number in the
            data does not fit.
    """
    target = x if target is None else target
    check_data(vae, x, target)
    with full_precision(vae) as vae:
        return torch.cat([log_mean(weights.log_w) for weights in weigh(vae, x, target, samples, memory)])


def decode_bytes(vae: VAE, x: Tensor, target: Tensor) -> int:
    """An upper bound on the memory that one draw of z takes: every tensor made on the way from it to log w."""
    with torch.no_grad():
        q, prior = vae.encode(x), vae.prior()
        _score_draws(vae, q, prior, _draw(q, 1), target)  # a first call may fill caches, which would be measured too
        with _Meter() as meter:
            _score_draws(vae, q, prior, _draw(q, 1), target)
    return max(1, meter.bytes)


def encode_bytes(vae: VAE, x: Tensor) -> int:
    """An upper bound on the memory that q(z|x) and one draw from it take: a full covariance has p × p numbers a row."""
    with torch.no_grad():
        _draw(vae.encode(x), 1)  # as above
        with _Meter() as meter:
            q = vae.encode(x)
            _draw(q, 1), q.mean, q.stddev
    return max(1, meter.bytes)


class _Meter(TorchDispatchMode):
    """Adds up the bytes of the tensors that the operations inside make; views take none."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for item in result if isinstance(result, tuple | list) else (result,):
            if isinstance(item, Tensor) and not func.is_view:
                self.bytes += item.numel() * item.element_size()
        return result


def log_mean(log_w: Tensor) -> Tensor:
    """log (1/L) Σ_l w_l: (L, …) -> (…), in float64."""
    return double(log_w).logsumexp(0) - math.log(len(log_w))


def iw_bound(log_w: Tensor, samples: int) -> Tensor:
    """An unbiased estimate of IW_samples from more draws: (L, …) -> (…), the mean over ⌊L / samples⌋ separate groups.

    Raises:
        ValueError: `samples` is not a whole number from 1 to L.
    """
    groups = len(log_w) // check_whole("samples", samples, 1)
    if not groups:
        raise ValueError(f"samples must be at most {len(log_w)}, the number of draws, but is {samples}; draw more")
    return log_mean(log_w[: groups * samples].unflatten(0, (groups, samples)).transpose(0, 1)).mean(0)


def effective_sample_size(log_w: Tensor) -> Tensor:
    """(Σ w)² / Σ w²: (L, …) -> (…), between 1 and L (Kong 1992)."""
    log_w = double(log_w)
    return (2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0)).exp()


def pareto_k(log_w: Tensor) -> Tensor:
    """k̂, the shape of the generalised Pareto distribution fitted to the largest weights: (L, B) -> (B,).

    The weights have about 1/k̂ finite moments: below 0.7 the estimate can be trusted, above it rests on a few draws and
    is likely too low, and above 1 the mean itself may not exist (Vehtari et al. 2024, arxiv.org/abs/1507.02646, §3).
    The fit is that of Zhang & Stephens 2009, with the weak prior of Vehtari et al., appendix G. Infinite where fewer
    than 5 weights are in the tail, as with 20 draws or fewer; 0 where all weights are equal to within 1 %, since what
    tells them apart may be rounding.
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
    return torch.where(log_w.amax(0) - log_w.amin(0) < 0.01, 0.0, k)


def _tail_shape(excess: Tensor) -> Tensor:
    """Ascending excesses of one example (n,) -> k̂, (); weights that tie with the threshold are not in the tail."""
    excess = excess[excess > torch.finfo(torch.float64).tiny]
    n = len(excess)
    return (n * _fit_pareto(excess) + 10 * 0.5) / (n + 10) if n >= 5 else excess.new_tensor(math.inf)


def _fit_pareto(excess: Tensor) -> Tensor:
    """Shape of the generalised Pareto distribution of ascending excesses (n,) -> (): Zhang & Stephens 2009."""
    n = len(excess)
    candidates = 30 + int(math.sqrt(n))
    quartile = excess[int(n / 4 + 0.5) - 1]
    steps = torch.arange(1, candidates + 1, dtype=torch.float64, device=excess.device)
    b = (1 - (candidates / (steps - 0.5)).sqrt()) / (3 * quartile) + 1 / excess[-1]  # (candidates,)
    k = torch.log1p(-b.unsqueeze(-1) * excess).mean(-1)
    profile = n * ((-b / k).log() - k - 1)  # log-likelihood of each candidate
    return torch.log1p(-(profile.softmax(0) @ b) * excess).mean()
