"""log p(t) in closed form, where the decoder is linear."""

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from vaelab.conditional import Conditional
from vaelab.evaluation.data_checks import check_data
from vaelab.families import IdentityGaussian, IsotropicGaussian, SharedDiagonalGaussian
from vaelab.networks import MLP
from vaelab.precision import double
from vaelab.vae import VAE

CONSTANT_NOISE = (IdentityGaussian, IsotropicGaussian, SharedDiagonalGaussian)  # covariance the same for all z


@torch.no_grad()
def exact_log_marginal(vae: VAE, target: Tensor) -> Tensor | None:
    """log p(t) = log N(t; Wm₀ + b, W S₀ Wᵀ + R), (B, *t) -> (B,), nats in float64; None for another model.

    Linear-Gaussian is p(z) = N(m₀, S₀), p(t|z) = N(Wz + b, R): a network without hidden layers (`network.hidden=[]`), a
    noise that does not depend on z, and a Gaussian prior (Tipping & Bishop 1999; Bishop 2006, eq. 2.115).

    Raises:
        TypeError: the target is no tensor of real numbers.
        ValueError: the target holds NaN or an infinite number.
    """
    check_data(vae, target)
    if not isinstance(vae.decoder, Conditional):  # a decoder of the user's own
        return None
    network, noise, prior = vae.decoder.network, vae.decoder.family, vae.prior()
    linear = isinstance(network, MLP) and len(network.layers) == 1
    if not linear or not isinstance(noise, CONSTANT_NOISE) or not _is_gaussian(prior):
        return None
    variance = double(vae.decode(torch.zeros_like(prior.mean)).variance).flatten()  # (k,)
    w, b = (double(parameter) for parameter in network.parameters())  # (k, p), (k,)
    s0 = prior.covariance_matrix if isinstance(prior, MultivariateNormal) else prior.variance.diag()
    mean = w @ double(prior.mean) + b
    covariance = w @ double(s0) @ w.T + variance.diag()
    return MultivariateNormal(mean, covariance).log_prob(double(target).flatten(1))


def _is_gaussian(prior: Distribution) -> bool:
    diagonal = isinstance(prior, Independent) and isinstance(prior.base_dist, Normal)
    return diagonal or isinstance(prior, MultivariateNormal)
