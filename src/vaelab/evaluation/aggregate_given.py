"""Bounds from the aggregate posterior of a model whose prior depends on the condition."""

import torch
from torch import Tensor

from vaelab.evaluation.latents import Aggregate, aggregate_posterior
from vaelab.vae import VAE

FEWEST = 3  # examples of one condition, on average; with fewer, the bounds say almost nothing


@torch.no_grad()
def aggregate_posterior_given(vae: VAE, x: Tensor, condition: Tensor) -> Aggregate | None:
    """Bounds on I(x; z | c) and on the mean of KL(q(z|c) ‖ p(z|c)), nats; None if hardly any examples share a c.

    Under p(z|c) there is one prior for each c, so KL(q(z) ‖ p(z)) says nothing about the model. Given c it does:

        E KL(q(z|x, c) ‖ p(z|c)) = I(x; z | c) + E_c KL(q(z|c) ‖ p(z|c)),    q(z|c) = E_{x|c} q(z|x, c)

    The bounds of `aggregate_posterior` hold for the examples of each c, and so do their averages. The variance of an
    average is that within the conditions plus that between them, as for a stratified mean.

    Args:
        vae: a model with a conditional prior.
        x: (n, *x), independent examples.
        condition: (n, c).

    >>> from vaelab import families, networks, priors
    >>> prior = priors.ConditionalPrior(families.DiagonalGaussian((3,), init_std=1.0), condition_size=2)
    >>> families_of = families.DiagonalGaussian((3,)), families.DiagonalGaussian((5,))
    >>> vae = VAE.build((5,), *families_of, prior, networks.MLP, condition_size=2)
    >>> condition = torch.eye(2).repeat(20, 1)
    >>> bool(aggregate_posterior_given(vae, torch.randn(40, 5), condition).aggregate_kl_high >= 0)
    True
    """
    kinds, kind = condition.unique(dim=0, return_inverse=True)
    if len(x) < FEWEST * len(kinds):
        return None
    found = []
    for number, one in enumerate(kinds):
        rows = x[kind == number]
        found.append(
            torch.stack(aggregate_posterior(vae.encode(rows, one.expand(len(rows), -1)), vae.prior_given(one)))
        )
    values, errors = torch.stack(found).unflatten(-1, (-1, 2)).unbind(-1)  # (conditions, 4) each
    share = (kind.bincount().to(values) / len(x)).unsqueeze(-1)
    mean = (share * values).sum(0)
    between = (share * (values - mean).square()).sum(0) / len(x)
    error = ((share * errors).square().sum(0) + between).sqrt()
    return Aggregate(*torch.stack([mean, error], -1).flatten())
