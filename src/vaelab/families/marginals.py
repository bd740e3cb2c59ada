"""The distribution of each latent by itself."""

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal


def is_product(distribution: Distribution) -> bool:
    """True if a distribution over vectors is a product of distributions of its numbers, as a diagonal Gaussian is.

    >>> normal = Normal(torch.zeros(7, 3), 1.0)
    >>> is_product(Independent(normal, 1)), is_product(MultivariateNormal(torch.zeros(3), torch.eye(3)))
    (True, False)
    """
    return isinstance(distribution, Independent) and not distribution.base_dist.event_shape


def marginals(distribution: Distribution) -> Distribution | None:
    """The marginals of a distribution over vectors (…, p), with batch_shape (…, p); None if they are not known.

    >>> q = MultivariateNormal(torch.zeros(7, 3), scale_tril=2 * torch.eye(3))
    >>> marginals(q).stddev.shape
    torch.Size([7, 3])
    """
    if is_product(distribution):
        base: Distribution = distribution.base_dist  # type: ignore[attr-defined]
        return base
    if isinstance(distribution, MultivariateNormal):
        return Normal(distribution.loc, _stds(distribution), validate_args=False)
    return None


def _stds(normal: MultivariateNormal) -> Tensor:
    """√Σ_jj = the norm of row j of the Cholesky factor, (…, p)."""
    return torch.linalg.vector_norm(normal.scale_tril, dim=-1)
