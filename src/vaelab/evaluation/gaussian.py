"""Tells Gaussian distributions from others, because more is known about them in closed form."""

from torch.distributions import Distribution, Independent, MultivariateNormal, Normal


def is_gaussian(distribution: Distribution) -> bool:
    """True if a distribution over vectors is a Gaussian with a diagonal or a full covariance."""
    return is_diagonal(distribution) or isinstance(distribution, MultivariateNormal)


def is_diagonal(distribution: Distribution) -> bool:
    """True if a distribution over vectors is a Gaussian with a diagonal covariance."""
    return isinstance(distribution, Independent) and isinstance(distribution.base_dist, Normal)
