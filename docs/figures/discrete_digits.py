"""Small models of digits with discrete latents, for the figures of posteriors and priors."""

from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from vaelab import VAE, data, families, networks, priors
from vaelab.seeded import seeded


@cache
def digits() -> tuple[Tensor, Tensor]:
    """Binary 8 by 8 images and their classes."""
    module = data.Digits(support="binary", resample=False)
    module.setup()
    return module.examples("train")[0], module.labels("train")[1]


def trained(
    latents: families.Family, objective: Any, steps: int, every: int = 0, learned: bool = False
) -> tuple[VAE, list[float]]:
    """A model after so many steps, and its ELBO on all images every few steps."""
    x, _ = digits()
    elbos = []
    with seeded(1):
        prior = priors.DiscretePrior(latents, learned)
        network = partial(networks.MLP, hidden=[128])
        vae = VAE.build(x.shape[1:], latents, families.Bernoulli(x.shape[1:]), prior, network)
        vae.decoder.start_at(x.mean(0))
        optimizer = torch.optim.Adam(vae.parameters(), 3e-3)
        for step in range(steps):
            batch = x[torch.randint(len(x), (100,))]
            optimizer.zero_grad()
            objective(vae, batch, batch).loss.mean().backward()
            optimizer.step()
            if every and (step + 1) % every == 0:
                with torch.no_grad():
                    elbos.append(objective(vae, x, x).elbo.mean().item())
    return vae, elbos
