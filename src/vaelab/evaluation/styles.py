"""Moves z from one condition to another so that it keeps its style: the same hand writes another digit."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal

from vaelab.evaluation.discrete import variables_of
from vaelab.evaluation.gaussian import is_diagonal
from vaelab.vae import VAE


def with_style(vae: VAE, z: Tensor, condition: Tensor | None, other: Tensor | None) -> Tensor:
    """z (…, p) under one condition -> the z (…, p) of the same style under another.

    If p(z) does not depend on the condition, z is the style, so it stays as it is, and so does a discrete z. If the
    prior is p(z|c), the style is the place of z in it: see `moved`.

    Args:
        vae: the model.
        z: (…, p).
        condition: (…, c), under which z was drawn or encoded.
        other: (…, c), the condition to decode with.

    Raises:
        ValueError: p(z|c) is not Gaussian.
    """
    if condition is None or other is None or not getattr(vae.prior, "condition_size", 0):
        return z
    source = vae.prior_given(condition)
    return z if variables_of(source) else moved(z, source, vae.prior_given(other))


def moved(z: Tensor, source: Distribution, destination: Distribution) -> Tensor:
    """Moves z from one Gaussian to the same place in another: z' = μ₂ + C₂ C₁⁻¹ (z − μ₁), with Σ = C Cᵀ.

    >>> from vaelab.families import DiagonalGaussian
    >>> family = DiagonalGaussian((2,), min_std=0.0, init_std=1.0)
    >>> narrow, wide = family(torch.tensor([[0.0, 0.0, 0.0, 0.0], [5.0, 5.0, 2.0, 2.0]])), family(torch.zeros(4))
    >>> moved(narrow.mean, narrow, wide)
    tensor([[0., 0.],
            [0., 0.]])

    Args:
        z: (…, p).
        source: the distribution that z belongs to.
        destination: the other one, of the same kind.

    Raises:
        ValueError: they are not Gaussian, or not of the same kind.
    """
    if is_diagonal(source) and is_diagonal(destination):
        return destination.mean + destination.stddev * (z - source.mean) / source.stddev
    if isinstance(source, MultivariateNormal) and isinstance(destination, MultivariateNormal):
        one: Any = source.scale_tril
        other: Any = destination.scale_tril
        noise = torch.linalg.solve_triangular(one, (z - source.loc).unsqueeze(-1), upper=False)
        return destination.loc + (other @ noise).squeeze(-1)
    raise ValueError(
        f"p(z|c) must be Gaussian to move z from one condition to another, but is a {type(source).__name__}; decode "
        "with the condition that z was encoded with"
    )
