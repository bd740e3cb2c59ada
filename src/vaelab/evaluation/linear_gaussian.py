"""Computes log p(t) in closed form for a linear decoder."""

import torch
from torch import Tensor
from torch.distributions import LowRankMultivariateNormal, MultivariateNormal

from vaelab.conditional import Conditional
from vaelab.evaluation.data_checks import check_data
from vaelab.evaluation.gaussian import is_gaussian
from vaelab.families import IdentityGaussian, IsotropicGaussian, SharedDiagonalGaussian
from vaelab.networks import MLP
from vaelab.precision import double
from vaelab.vae import VAE

CONSTANT_NOISE = (IdentityGaussian, IsotropicGaussian, SharedDiagonalGaussian)  # the same covariance for all z


@torch.no_grad()
def exact_log_marginal(vae: VAE, target: Tensor, condition: Tensor | None = None) -> Tensor | None:
    """log p(t) = log N(t; Wm₀ + b, W S₀ Wᵀ + R), (B, *t) -> (B,), nats in float64; None for other models.

    A linear-Gaussian model is p(z) = N(m₀, S₀), p(t|z) = N(Wz + b, R): a network without hidden layers
    (`network.hidden=[]`), noise that does not depend on z, and a Gaussian prior (Tipping & Bishop 1999; Bishop 2006,
    eq. 2.115). Given a condition c, the mean is Wz + Vc + b, and a conditional prior has its own m₀ and S₀ for each c.

    >>> from functools import partial
    >>> from vaelab import VAE, families, networks, priors
    >>> posterior, likelihood = families.DiagonalGaussian((3,)), families.IdentityGaussian((5,))
    >>> linear = partial(networks.MLP, hidden=[])
    >>> vae = VAE.build((5,), posterior, likelihood, priors.StandardNormal((3,)), linear)
    >>> exact_log_marginal(vae, torch.zeros(7, 5)).shape
    torch.Size([7])

    Args:
        vae: the model.
        target: (B, *t).
        condition: (B, c), for a conditional model.

    Raises:
        TypeError: the target is not a tensor of real numbers.
        ValueError: the target holds NaN or an infinite number.
    """
    check_data(vae, target)
    if not isinstance(vae.decoder, Conditional):  # the user's own decoder
        return None
    network, noise, prior = vae.decoder.network, vae.decoder.family, vae.prior_given(condition)
    linear = isinstance(network, MLP) and len(network.layers) == 1 and network.inputs is None
    if not (linear and isinstance(noise, CONSTANT_NOISE) and is_gaussian(prior)):
        return None
    p = vae.decode(torch.zeros(prior.event_shape).to(prior.mean), None if condition is None else condition[0])
    variance = double(p.variance).flatten()  # (k,)
    wv, b = (double(parameter) for parameter in network.parameters())  # (k, p + c), (k,)
    if (units := vae.decoder.output_units) is not None:
        scale = double(units.scale).flatten()
        wv, b = scale.unsqueeze(-1) * wv, double(units.loc).flatten() + scale * b
    w, v = wv.tensor_split([prior.mean.shape[-1]], dim=-1)
    c0 = prior.scale_tril if isinstance(prior, MultivariateNormal) else prior.stddev.diag_embed()  # S₀ = C₀ C₀ᵀ
    if condition is not None and (given := vae.decoder.condition_units) is not None:
        condition = given(condition)
    shift = 0.0 if condition is None else double(condition) @ v.T  # (B, k)
    mean = double(prior.mean) @ w.T + b + shift
    return LowRankMultivariateNormal(mean, w @ double(c0), variance).log_prob(double(target).flatten(1))
