"""Pictures of q(z|x). They take the distribution itself, because computing a flow's mean twice would be slow."""

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal

from vaelab.evaluation.discrete import variables_of
from vaelab.evaluation.gaussian import averaged, is_gaussian
from vaelab.evaluation.latents import kl_per_dimension, kl_per_dimension_by
from vaelab.evaluation.views.arrays import Names, array
from vaelab.evaluation.views.classes import class_map
from vaelab.figures import KLBars, LatentScatter, Picture
from vaelab.seeded import seeded

Labels = tuple[str, Tensor]
DRAWS = 1000  # from a prior that is not Gaussian


@torch.no_grad()
def latents(q: Distribution, prior: Distribution, labels: Labels | None = None, label_names: Names = None) -> Picture:
    """The posterior means in the two dimensions with the most KL, coloured by label, with the prior for scale.

    The picture also shows the covariance of one posterior: of the example whose spread is the median. A prior that is
    not Gaussian is shown by draws from it, too. Discrete latents are shown as a map of their probabilities
    (`class_map`).

    Args:
        q: the posteriors of n examples, batch_shape (n,).
        prior: p(z), batch_shape (); or p(z|c), batch_shape (n,). Then the picture shows p(z), the average of p(z|c)
            over the examples.
        labels: the name of the labels, and the labels, (n,).
        label_names: the names of the classes 0, 1, …, if the labels are their numbers.
    """
    if variables := variables_of(q):
        return class_map(q, prior, variables, labels, label_names)
    shown = informative_dimensions(q, prior, 2)
    prior = averaged(prior)
    name, values = labels or ("", None)
    spread = q.stddev[:, shown].log().sum(-1)  # (n,)
    typical = int(spread.argsort()[(len(spread) - 1) // 2])
    posterior_cov = _covariance(q, shown)[typical]
    draws = None
    if not is_gaussian(prior):
        with seeded(0):
            draws = array(prior.sample((DRAWS,))[:, shown])
    return LatentScatter(
        z=array(q.mean)[:, shown],
        dimensions=np.array(shown),
        latent_dim=q.event_shape.numel(),
        labels=None if values is None else array(values),
        label=name,
        label_names=label_names,
        prior_mean=array(prior.mean)[shown],
        prior_cov=array(_covariance(prior, shown)),
        prior_draws=draws,
        posterior_mean=array(q.mean)[typical, shown],
        posterior_cov=array(posterior_cov),
    )


def _covariance(of: Distribution, shown: list[int]) -> Tensor:
    """The covariance of some dimensions, (…, k, k). Without a closed form, it is taken as diagonal."""
    if isinstance(of, MultivariateNormal):
        return of.covariance_matrix[..., shown, :][..., shown]
    return of.stddev[..., shown].square().diag_embed()


@torch.no_grad()
def kl_per_dimension_bars(q: Distribution, prior: Distribution) -> Picture:
    """The mean of KL(q(z_j|x) ‖ p(z_j)) over n examples, for each dimension, nats: q with batch_shape (n,).

    If q or p is not Gaussian, Gaussians with the same means and variances take its place, and the title tells you.
    """
    by_moments = kl_per_dimension_by(q, prior) == "moments"
    return KLBars(array(kl_per_dimension(q, prior).mean(0)), by_moments)


@torch.no_grad()
def informative_dimensions(q: Distribution, prior: Distribution, count: int) -> list[int]:
    """The `count` dimensions of z with the most KL over n examples, counted from 0, ascending: q, batch_shape (n,)."""
    kl = kl_per_dimension(q, prior).mean(0)
    return sorted(kl.topk(min(count, len(kl))).indices.tolist())
