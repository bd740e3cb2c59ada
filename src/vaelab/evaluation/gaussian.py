"""Tells Gaussian distributions from others, because more is known about them in closed form."""

import torch
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, MultivariateNormal, Normal


def is_gaussian(distribution: Distribution) -> bool:
    """True if a distribution over vectors is a Gaussian with a diagonal or a full covariance."""
    return is_diagonal(distribution) or isinstance(distribution, MultivariateNormal)


def is_diagonal(distribution: Distribution) -> bool:
    """True if a distribution over vectors is a Gaussian with a diagonal covariance."""
    return isinstance(distribution, Independent) and isinstance(distribution.base_dist, Normal)


def averaged(prior: Distribution) -> Distribution:
    """p(z), batch_shape (): the prior itself, or the average of p(z|c), batch_shape (n,), over n conditions."""
    if not prior.batch_shape:
        return prior
    weights = Categorical(logits=torch.zeros_like(prior.mean[..., 0]), validate_args=False)
    return MixtureSameFamily(weights, prior, validate_args=False)
