"""The numbers of a trained VAE for each example, before averaging. `score` computes these terms:

nll             −log p̂(t) with `samples` draws
elbo            log_likelihood − kl
log_likelihood  E_q[log p(t|z)], the negative distortion, over the same draws
kl              KL(q ‖ p), the rate: in closed form, or over the same draws if there is none
iw_L            the importance-weighted bound with L draws, L up to `samples`; iw_1 is the ELBO by Monte Carlo
nll_change      how much log p̂(t) rose from half of the draws to all of them
ess, pareto_k   effective sample size and tail shape of the weights
exact_nll       −log p(t), if the model is linear-Gaussian
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.checks import check_whole
from vaelab.evaluation.data_checks import check_data
from vaelab.evaluation.evaluation_mode import ready_to_score
from vaelab.evaluation.importance import MEMORY, SAMPLES, weigh
from vaelab.evaluation.linear_gaussian import exact_log_marginal
from vaelab.evaluation.weight_statistics import effective_sample_size, iw_bound, log_mean, pareto_k
from vaelab.families import closed_form_kl
from vaelab.objectives import LogWeights
from vaelab.precision import device_of, double
from vaelab.seeded import seeded
from vaelab.vae import VAE

CURVE = (1, 5, 10, 50, 100, 1_000, 5_000)  # the importance-weighted bound is reported at these sample counts


@torch.no_grad()
def score(
    vae: VAE,
    batches: Iterable[tuple[Tensor, ...]],
    samples: int = SAMPLES,
    memory: int = MEMORY,
    progress: Callable[[int], object] = lambda examples: None,
    seeds: Sequence[int] | None = None,
) -> dict[str, Tensor]:
    """Computes named terms of every example, each (n,), float64, in nats if they are log-densities.

    The module's docstring lists the terms. The model computes in its own precision, but at least in float32.

    >>> from functools import partial
    >>> from vaelab import VAE, families, networks, priors
    >>> posterior, likelihood = families.DiagonalGaussian((3,)), families.IdentityGaussian((5,))
    >>> linear = partial(networks.MLP, hidden=[])
    >>> vae = VAE.build((5,), posterior, likelihood, priors.StandardNormal((3,)), linear)
    >>> x = torch.zeros(7, 5)
    >>> terms = score(vae, [(x, x)], samples=9)
    >>> terms["nll"].shape
    torch.Size([7])

    Args:
        vae: the model.
        batches: batches (x, target) of any sizes; (x, target, condition) for a conditional model.
        samples: L, the number of draws of z per example.
        memory: about how many bytes one chunk of decoded draws may take; on a CPU, each of torch's threads holds one.
        progress: called with the number of examples just done.
        seeds: a seed for each example, over all batches. Then an example's numbers depend on its own seed, but not on
            the examples or batches around it, and torch's generators are left unchanged. None uses the generators.

    Raises:
        TypeError: x or the target is not a tensor of real numbers.
        ValueError: `samples` is not a whole number of at least 1, there is no example, or the data do not fit the
            model.
    """
    check_whole("samples", samples, 1)
    scored: list[dict[str, Tensor]] = []
    done = 0
    with ready_to_score(vae) as vae, nullcontext() if seeds is None else seeded(0):
        for batch in batches:
            own = None if seeds is None else seeds[done : done + len(batch[0])]
            scored.append(_score_batch(vae, batch, samples, memory, progress, own))
            done += len(batch[0])
    if not scored:
        raise ValueError("the data must hold at least one example to score, but hold none; pass at least one batch")
    return {name: torch.cat([terms[name] for terms in scored]) for name in scored[0]}


def _score_batch(
    vae: VAE,
    batch: tuple[Tensor, ...],
    samples: int,
    memory: int,
    progress: Callable[[int], object],
    seeds: Sequence[int] | None,
) -> dict[str, Tensor]:
    check_data(vae, *batch[:2])
    x, target, *rest = (tensor.to(device_of(vae)) for tensor in batch)
    condition = rest[0] if rest else None
    terms: dict[str, Tensor] = {}
    done = 0
    for weights in weigh(vae, x, target, samples, memory, condition, seeds):
        rows = slice(done, done + weights.log_w.shape[1])
        given = None if condition is None else condition[rows]
        terms_of = _score_rows(vae.encode(x[rows], given), vae.prior_given(given), weights)
        for name, values in terms_of.items():
            # Written in place: thousands of small tensors between large ones would make the heap grow for good.
            terms.setdefault(name, torch.empty(len(x), dtype=torch.float64))[rows] = values
        progress(rows.stop - rows.start)
        done = rows.stop
    exact = exact_log_marginal(vae, target, condition)  # once per batch: its k³ would cost more than a row's draws
    return terms if exact is None else terms | {"exact_nll": -exact.cpu()}


def _score_rows(q: Distribution, prior: Distribution, weights: LogWeights) -> dict[str, Tensor]:
    log_w = double(weights.log_w)  # (L, B)
    samples = len(log_w)
    log_likelihood = double(weights.log_likelihood).mean(0)
    kl = closed_form_kl(q, prior)
    kl = double(weights.log_ratio).mean(0) if kl is None else double(kl)
    return {
        "nll": -log_mean(log_w),
        "elbo": log_likelihood - kl,
        "log_likelihood": log_likelihood,
        "kl": kl,
        **{f"iw_{count}": iw_bound(log_w, count) for count in sorted({*CURVE, samples}) if count <= samples},
        "nll_change": log_mean(log_w) - iw_bound(log_w, max(1, samples // 2)),
        "ess": effective_sample_size(log_w),
        "pareto_k": pareto_k(log_w),
    }
