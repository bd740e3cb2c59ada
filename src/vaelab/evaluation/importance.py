"""Estimates log p(t) by importance sampling, with q(z|x) as the proposal, a chunk of draws at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor

from vaelab.checks import check_whole
from vaelab.evaluation.data_checks import check_data
from vaelab.evaluation.draws import draw, score_draws
from vaelab.evaluation.evaluation_mode import ready_to_score
from vaelab.evaluation.memory_needed import decode_bytes
from vaelab.evaluation.weight_statistics import log_mean
from vaelab.objectives import LogWeights
from vaelab.progress import examples_bar
from vaelab.vae import VAE

SAMPLES = 5_000  # importance samples per example, as in Burda et al.
MEMORY = 20 * 2**20  # bytes of one chunk of decoded draws; larger chunks miss the processor's cache and are no faster


@torch.no_grad()
def log_weights(
    vae: VAE, x: Tensor, target: Tensor, samples: int, chunk: int | None = None, condition: Tensor | None = None
) -> LogWeights:
    """x (B, *x), target (B, *t) -> the log-weights of `samples` draws per example, each part (samples, B), nats.

    >>> from vaelab import VAE, families, networks, priors
    >>> posterior, likelihood = families.DiagonalGaussian((3,)), families.IdentityGaussian((5,))
    >>> linear = partial(networks.MLP, hidden=[])
    >>> vae = VAE.build((5,), posterior, likelihood, priors.StandardNormal((3,)), linear)
    >>> x = torch.zeros(7, 5)
    >>> log_weights(vae, x, x, samples=9).log_w.shape
    torch.Size([9, 7])

    Args:
        vae: the model.
        x: the encoder's input.
        target: the decoder's target.
        samples: the number of draws of z per example.
        chunk: how many draws per example are decoded at once; the last chunk may be smaller.
        condition: (B, c), for a conditional model.

    Raises:
        TypeError: x or the target is not a tensor of real numbers.
        ValueError: `samples` is not a whole number of at least 1, or the target's shape or a number in the data does
            not fit the model.
    """
    check_whole("samples", samples, 1)
    check_data(vae, x, target)
    with ready_to_score(vae) as vae:
        return _join(part() for part in _parts(vae, x, target, condition, samples, chunk or samples))


def weigh(
    vae: VAE,
    x: Tensor,
    target: Tensor,
    samples: int,
    memory: int = MEMORY,
    condition: Tensor | None = None,
    seeds: Sequence[int] | None = None,
) -> Iterator[LogWeights]:
    """Yields the log-weights of all examples in order, for as many examples at a time as fit into the memory.

    Args:
        vae: the model.
        x: (B, *x).
        target: (B, *t).
        samples: the number of draws of z per example.
        memory: about how many bytes one chunk may take; on a CPU, each of torch's threads holds one chunk.
        condition: (B, c), for a conditional model.
        seeds: B seeds, one per example: torch's generator gets it before the example's draws, and each example comes
            alone. None leaves the generator as it is.

    Raises:
        ValueError: `samples` or `memory` is not a whole number of at least 1, or the target's shape does not fit.
    """
    if len({len(tensor) for tensor in (x, target, condition) if tensor is not None}) > 1:
        raise ValueError(
            f"x, target and condition must hold the same number of examples, but x holds {len(x)} and the target "
            f"{len(target)}; pass one target and one condition for each x"
        )
    one = None if condition is None else condition[:1]
    decodes = max(1, check_whole("memory", memory, 1) // decode_bytes(vae, x[:1], target[:1], one))
    rows, chunk = max(1, decodes // check_whole("samples", samples, 1)), min(samples, decodes)
    rows = rows if seeds is None else 1
    parts = (
        part
        for start in range(0, len(x), rows)
        for part in _parts(
            vae,
            *_rows(slice(start, start + rows), x, target, condition),
            samples,
            chunk,
            None if seeds is None else seeds[start],
        )
    )
    found = _side_by_side(parts) if _may_share(vae, x.device) else (part() for part in parts)
    for _ in range(0, len(x), rows):
        yield _join(next(found) for _ in range(0, samples, chunk))


def _rows(rows: slice, x: Tensor, target: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    return x[rows], target[rows], None if condition is None else condition[rows]


@torch.no_grad()
def _parts(
    vae: VAE,
    x: Tensor,
    target: Tensor,
    condition: Tensor | None,
    samples: int,
    chunk: int,
    seed: int | None = None,
) -> Iterator[Callable[[], LogWeights]]:
    """Draws z ~ q(z|x), a chunk at a time. Calling a part decodes and scores its chunk."""
    if seed is not None:
        torch.manual_seed(seed)
    q, prior = vae.encode(x, condition), vae.prior_given(condition)
    for start in range(0, samples, chunk):
        draws = draw(q, min(chunk, samples - start))
        yield partial(score_draws, vae, q, prior, draws, target, condition)


def _join(parts: Iterable[LogWeights]) -> LogWeights:
    return LogWeights(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _may_share(vae: VAE, device: torch.device) -> bool:
    """True if threads may decode in parallel: on a CPU, outside autocast, if decoding draws and changes nothing."""
    pure = not any(module.training for module in vae.modules())
    return device.type == "cpu" and torch.get_num_threads() > 1 and pure and not torch.is_autocast_enabled("cpu")


def _side_by_side(jobs: Iterable[Callable[[], LogWeights]]) -> Iterator[LogWeights]:
    """Yields the jobs' results in order. One job per thread is faster than all of torch's threads on one job."""
    threads = torch.get_num_threads()
    waiting: deque[Future[LogWeights]] = deque()
    torch.set_num_threads(1)  # for this thread, and for those that start now
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
    vae: VAE,
    x: Tensor,
    target: Tensor | None = None,
    samples: int = SAMPLES,
    memory: int = MEMORY,
    condition: Tensor | None = None,
) -> Tensor:
    """log p̂(t) of each example, (B,), nats: the importance-sampling estimate with `samples` draws per example.

    Every example gets exactly `samples` draws, so the expectation is IW_samples for any batch size and any memory.

    >>> from vaelab import VAE, families, networks, priors
    >>> posterior, likelihood = families.DiagonalGaussian((3,)), families.IdentityGaussian((5,))
    >>> linear = partial(networks.MLP, hidden=[])
    >>> vae = VAE.build((5,), posterior, likelihood, priors.StandardNormal((3,)), linear)
    >>> log_marginal_likelihood(vae, torch.zeros(7, 5), samples=9).shape
    torch.Size([7])

    Args:
        vae: the model.
        x: (B, *x), the encoder's input.
        target: (B, *t), the decoder's target; None if it is x itself.
        samples: L, the number of draws of z per example.
        memory: about how many bytes one chunk may take; on a CPU, each of torch's threads holds one chunk.
        condition: (B, c), for a conditional model.

    Raises:
        TypeError: x or the target is not a tensor of real numbers.
        ValueError: `samples` or `memory` is not a whole number of at least 1, or the target's shape or a number in the
            data does not fit the model.
    """
    target = x if target is None else target
    check_data(vae, x, target)
    found = []
    with ready_to_score(vae) as vae, examples_bar(len(x)) as bar:
        for weights in weigh(vae, x, target, samples, memory, condition):
            found.append(log_mean(weights.log_w))
            bar.update(len(found[-1]))
    return torch.cat(found)
