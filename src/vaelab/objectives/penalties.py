"""Penalties that replace β·KL in a loss, in nats. They use means over the batch, so all its examples share them.

free bits  Σ_j max(λ, batch mean of KL_j)     (Kingma et al. 2016, arxiv.org/abs/1606.04934, eq. 15)
capacity   γ·|batch mean of KL − C|           (Burgess et al. 2018, arxiv.org/abs/1804.03599, eq. 8)

The reported ELBO has the KL itself.
"""

from typing import Any

from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from vaelab.checks import check_number
from vaelab.families import is_product, marginals
from vaelab.objectives.example_distributions import posterior_of, prior_of
from vaelab.vae import VAE


def free_bits_penalty(q: Distribution, prior: Distribution, free_bits: float) -> Tensor:
    """q with batch_shape (B,), p(z) or p(z|c) -> Σ_j max(λ, batch mean of KL_j), (1,), nats.

    >>> import torch
    >>> from vaelab import families, priors
    >>> q = families.DiagonalGaussian((3,), min_std=0.0, init_std=1.0)(torch.zeros(7, 6))  # equals the prior
    >>> free_bits_penalty(q, priors.StandardNormal((3,))(), free_bits=0.5)
    tensor([1.5000])
    """
    kl: Tensor = kl_divergence(marginals(q), marginals(prior))  # type: ignore[arg-type]  # (B, p)
    return kl.mean(-2).clamp(min=free_bits).sum(-1, keepdim=True)


def capacity_penalty(kl: Tensor, capacity: Tensor | float, gamma: float) -> Tensor:
    """KL (B,), C () -> γ·|batch mean of KL − C|, (1,), nats.

    >>> import torch
    >>> capacity_penalty(torch.tensor([1.0, 2.0]), capacity=2.0, gamma=10.0)
    tensor([5.])
    """
    return gamma * (kl.mean(-1, keepdim=True) - capacity).abs()


def check_penalties(free_bits: Any, capacity: Any, gamma: Any, beta: float, kl: str) -> None:
    """Raises a ValueError if a value is out of range, or the values do not fit together."""
    check_number("objective.free_bits", free_bits, 0)
    check_number("objective.gamma", gamma, 0, above=True)
    if free_bits and kl == "monte_carlo":
        raise ValueError(
            f"objective.free_bits must be 0 if the KL is by Monte Carlo, but is {free_bits:g}; use "
            "objective.free_bits=0, or an objective, a posterior and a prior with kl=closed_form"
        )
    if capacity is None:
        return
    check_number("objective.capacity", capacity, 0)
    if free_bits:
        raise ValueError(
            f"objective.free_bits must be 0 for objective.capacity={capacity:g}, but is {free_bits:g}; use one of them"
        )
    if beta != 1:
        raise ValueError(
            f"objective.beta must be 1 for objective.capacity={capacity:g}, but is {beta:g}; the capacity's weight is "
            "objective.gamma"
        )


def check_product(key: str, vae: VAE) -> None:
    """Raises a ValueError if posterior or prior is no product over the latents, so that the latents have no KL each."""
    for group, distribution in (("posterior", posterior_of(vae)), ("prior", prior_of(vae))):
        if distribution is not None and not is_product(distribution):
            raise ValueError(
                f"{group} must be a product over the latents for {key}, but {type(distribution).__name__} is not; use "
                "posterior=diagonal and prior=standard_normal or prior=learned_diagonal"
            )
