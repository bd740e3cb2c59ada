"""One q(z|x) and one p(z) of a model, to find out what kind of distributions they are before any data are seen."""

from typing import Any

import torch
from torch.distributions import Distribution

from vaelab.vae import VAE


@torch.no_grad()
def posterior_of(vae: VAE) -> Distribution | None:
    """One q(z|x), to look at its kind; None if the encoder is not built from a family."""
    family: Any = getattr(vae.encoder, "family", None)
    if family is None:
        return None
    like = next(vae.parameters(), torch.zeros(()))
    q: Distribution = family(like.new_zeros(1, family.num_parameters))
    return q


@torch.no_grad()
def prior_of(vae: VAE) -> Distribution:
    """One p(z) or p(z|c), to look at its kind."""
    like = next(vae.parameters(), torch.zeros(()))
    return vae.prior_given(like.new_zeros(1, getattr(vae.prior, "condition_size", 0)))
