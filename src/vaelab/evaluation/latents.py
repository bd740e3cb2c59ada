"""Measures how a model uses its latents: KL and activity per dimension, bounds from the aggregate posterior q(z)."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal, Normal, kl_divergence
from torch.nn.functional import logsigmoid

from vaelab.evaluation.discrete import variables_of
from vaelab.evaluation.gaussian import is_diagonal, is_gaussian
from vaelab.evaluation.memory_needed import bytes_made
from vaelab.families import closed_form_kl
from vaelab.families.bernoulli import JointBernoulli
from vaelab.families.one_hot import OneHots
from vaelab.precision import double

MEMORY = 16 * 2**20  # bytes of one chunk of pairs (z, example)
ACTIVE = 0.01  # Burda et al.'s threshold on Var_x(E_q[z_j]), for a prior of variance 1


def kl_per_dimension(q: Distribution, prior: Distribution) -> Tensor:
    """KL(q(z_j|x) ‖ p(z_j)) of the marginals, taken as Gaussians: q with batch_shape (B,) -> (B, p), nats.

    If q and p are diagonal, the sum over j is KL(q ‖ p). A marginal that is not Gaussian, such as a flow's or a
    mixture's, is replaced by the Gaussian with the same mean and variance (`kl_per_dimension_by`). Discrete latents
    have one KL for each variable, exactly.

    >>> from vaelab import families, priors
    >>> q = families.DiagonalGaussian((3,))(torch.zeros(7, 6))
    >>> kl_per_dimension(q, priors.StandardNormal((3,))()).shape
    torch.Size([7, 3])
    """
    if variables := variables_of(q):
        own, others = variables.probabilities(q.mean), variables.probabilities(prior.mean)
        others = others.clamp_min(torch.finfo(others.dtype).eps)  # a probability that is rounded to 0 is not 0
        return (torch.xlogy(own, own) - torch.xlogy(own, others)).sum(-1)
    return kl_divergence(Normal(q.mean, q.stddev), Normal(prior.mean, prior.stddev))


def kl_per_dimension_by(q: Distribution, prior: Distribution) -> str:
    """How `kl_per_dimension` is computed: `closed form` if all marginals are Gaussian or discrete, else `moments`."""
    closed = variables_of(q) or (is_gaussian(q) and is_gaussian(prior))
    return "closed form" if closed else "moments"


def active_units(
    means: Tensor, threshold: float = ACTIVE, prior_variance: Tensor | float = 1.0, columns: int = 1
) -> Tensor:
    """Finds the latents that respond to the data, Var_x(E_q[z_j]) > threshold · Var_p(z_j): means (n, p) -> bool (p,).

    Burda et al. 2016, arxiv.org/abs/1509.00519, §5.2, with a prior of variance 1. A learned prior may have any scale,
    so this compares the variance with the prior's. If several `columns` of z make up one categorical variable, their
    variances are added, and the result has one value for each variable.

    >>> active_units(torch.tensor([[1.0, 0.01], [-1.0, 0.02], [0.5, 0.01]]))
    tensor([ True, False])
    """
    variance = double(means).var(0, correction=0)
    scale = double(torch.as_tensor(prior_variance, device=means.device)).expand_as(variance)
    own, priors = (each.unflatten(-1, (-1, columns)).sum(-1) for each in (variance, scale))
    return own > threshold * priors


class Aggregate(NamedTuple):
    """Bounds that hold in expectation, each (), float64, in nats, and the standard error of each.

    The standard error is how much the bound would vary with other examples and draws. How far the bound lies from the
    truth is another matter, which depends on n. The standard error is NaN if n < 3.

    Attributes:
        mutual_information_low: at most I(x; z), and never above log n.
        mutual_information_high: at least I(x; z).
        aggregate_kl_low: at most KL(q(z) ‖ p(z)).
        aggregate_kl_high: at least KL(q(z) ‖ p(z)).
    """

    mutual_information_low: Tensor
    mutual_information_low_stderr: Tensor
    mutual_information_high: Tensor
    mutual_information_high_stderr: Tensor
    aggregate_kl_low: Tensor
    aggregate_kl_low_stderr: Tensor
    aggregate_kl_high: Tensor
    aggregate_kl_high_stderr: Tensor


@torch.no_grad()
def aggregate_posterior(q: Distribution, prior: Distribution, memory: int = MEMORY) -> Aggregate:
    """q with batch_shape (n,) -> bounds on I(x; z) and KL(q(z) ‖ p(z)), from one draw z_i ~ q(z|x_i) per example.

    q(z) = E_x q(z|x) averages over the distribution of the data, and q holds n independent examples from it:

        I_low  = mean_i [log q(z_i|x_i) − log (1/n) Σ_j q(z_i|x_j)]
        I_high = mean_i [log q(z_i|x_i) − log (1/(n−1)) Σ_{j≠i} q(z_i|x_j)]

    With KL = mean_i KL(q(z|x_i) ‖ p(z)), in expectation I_low ≤ I(x; z) ≤ min(I_high, KL), and KL − I(x; z) is
    KL(q(z) ‖ p(z)) (Hoffman & Johnson 2016; Poole et al. 2019, arxiv.org/abs/1905.06922). The bounds are clipped at 0
    and at KL. They meet as n grows, slowly if the posteriors hardly overlap: I_low is never above log n.

    All n² densities are computed, a chunk of draws at a time. The n terms share examples, so s/√n would be too small.
    The standard errors therefore come from a jackknife: each bound is computed without one example, for each in turn.

    >>> from vaelab import families, priors
    >>> q = families.DiagonalGaussian((3,), init_std=1.0)(torch.zeros(7, 6))  # the same for every example
    >>> found = aggregate_posterior(q, priors.StandardNormal((3,))())
    >>> bool(found.mutual_information_low.abs() < 1e-6)
    True

    Args:
        q: the posteriors of n independent examples.
        prior: p(z), batch_shape ().
        memory: about how many bytes a chunk may take.
    """
    z = q.sample()  # (n, p)
    own, low, high = _own_low_high(q, z, memory)
    kl = closed_form_kl(q, prior)
    kl = own - double(prior.log_prob(z)) if kl is None else double(kl)  # (n,)
    bounds = _lower(low, kl), _upper(high, kl), _lower(kl - high, kl), _upper(kl - low, kl)
    return Aggregate(*(number for bound in bounds for number in bound))


def _own_low_high(q: Distribution, z: Tensor, memory: int) -> tuple[Tensor, Tensor, Tensor]:
    """log q(z_i|x_i), and values with the means I_low and I_high and the jackknife's standard error s/√n; each (n,)."""
    n = len(z)
    chunk = max(1, memory // bytes_of_all_pairs(q, z[:1]))
    own, log_sums, changes = (double(z.new_zeros(size)) for size in ((n,), (2, n), (2, n)))
    for rows in torch.arange(n, device=own.device).split(chunk):
        log_q = log_prob_of_all(q, z[rows.to(z.device)])  # (m, n)
        itself = rows.unsqueeze(-1)
        own[rows] = log_q.gather(-1, itself).squeeze(-1)
        for index, log_terms in enumerate((log_q, log_q.scatter(-1, itself, -math.inf))):
            log_sums[index, rows], change = _without_each(log_terms)
            changes[index] += change.scatter(-1, itself, 0.0).sum(0)
    low, high = own - log_sums[0] + math.log(n), own - log_sums[1] + math.log(max(n - 1, 1))
    return own, _jackknife(low, changes[0]), _jackknife(high, changes[1])


def bytes_of_all_pairs(q: Distribution, z: Tensor) -> int:
    """About how many bytes it takes to compute the densities of one z (1, p) under all of q."""
    if not is_gaussian(q) and not isinstance(q, JointBernoulli | OneHots):
        return bytes_made(lambda: q.log_prob(z.unsqueeze(1)))
    terms = z.shape[-1] if isinstance(q, MultivariateNormal) else 1  # kept for each pair
    return 64 * q.batch_shape.numel() * terms  # about 8 numbers of 8 bytes for each


def _without_each(log_terms: Tensor) -> tuple[Tensor, Tensor]:
    """log Σ_j e^{a_j} of each row, (m,), and its change without term k, (m, n), ≤ 0.

    The change is log(1 − w_k), and w_k is the term's share of the sum. The largest term may be nearly all of the sum,
    so for that term the others are added up instead.
    """
    log_sum = log_terms.logsumexp(-1, keepdim=True)
    largest = log_terms.argmax(-1, keepdim=True)
    others = log_terms.scatter(-1, largest, -math.inf).logsumexp(-1, keepdim=True)
    change = torch.log1p(-(log_terms - log_sum).exp()).scatter(-1, largest, others - log_sum)
    return log_sum.squeeze(-1), change


def _jackknife(terms: Tensor, changes: Tensor) -> Tensor:
    """Terms (n,), and the change in the sum of the others' logs without example k, (n,) -> values (n,).

    The values have the same mean as the terms, and their variance over n is the jackknife's variance of that mean.
    """
    n = len(terms)
    if n < 3:
        return terms
    left_out = (terms.sum() - terms - changes) / (n - 1)  # up to a constant
    return terms.mean() + (n - 1) * (left_out.mean() - left_out)


def _lower(values: Tensor, kl: Tensor) -> tuple[Tensor, Tensor]:
    """A lower bound and its error: the mean of the values, clipped at 0 and the mean KL. At 0, the error is 0 too."""
    mean = values.mean()
    if not mean > 0:
        return torch.zeros_like(mean), _stderr(torch.zeros_like(kl))
    return mean.minimum(kl.mean()), _stderr(values)


def _upper(values: Tensor, kl: Tensor) -> tuple[Tensor, Tensor]:
    """An upper bound and its error: the mean of the values, or the mean KL if that is smaller; at least 0."""
    if not values.mean() <= kl.mean():  # or if it is not finite
        values = kl
    return values.mean().clamp(min=0), _stderr(values)


def _stderr(values: Tensor) -> Tensor:
    return values.std() / math.sqrt(len(values)) if len(values) > 2 else torch.full_like(values[0], math.nan)


def log_prob_of_all(q: Distribution, z: Tensor) -> Tensor:
    """log q(z_i|x_j): z (m, p), q with batch_shape (n,) -> (m, n), nats in float64.

    For diagonal Gaussians, Σ_d (z−μ)²/σ² = z²·σ⁻² − 2 z·μσ⁻² + Σ_d μ²σ⁻²: two matrix products instead of m·n·p terms.
    For discrete z, log q is linear in z: one product.
    """
    if isinstance(q, OneHots):
        return double(z) @ double(q.logits).flatten(-2).mT
    if isinstance(q, JointBernoulli):
        logits = double(q.base_dist.logits)
        return double(z) @ logits.mT + logsigmoid(-logits).sum(-1)
    if not is_diagonal(q):
        return double(q.log_prob(z.unsqueeze(1)))
    z, mean, variance = double(z), double(q.mean), double(q.variance)
    squares = z.square() @ (1 / variance).mT - 2 * z @ (mean / variance).mT + (mean.square() / variance).sum(-1)
    return -0.5 * (squares + (2 * math.pi * variance).log().sum(-1))
