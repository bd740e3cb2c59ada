"""The figures of the priors' pages."""

import math

import numpy as np
import torch
from drawing import axes
from matplotlib.figure import Figure

from vaelab import VAE, families, networks, priors
from vaelab.data import Digits
from vaelab.evaluation.views import style_draws
from vaelab.figures.colours import PALETTE
from vaelab.figures.images import tile
from vaelab.objectives import ELBO

SHOWN = [0, 1, 2, 4, 7]  # digits


def conditional() -> Figure:
    """p(z|c) of some digits in the plane, and the same styles in each of them."""
    data = Digits(support="binary", condition="label", batch_size=200)
    data.setup()
    posterior, family = (families.DiagonalGaussian((2,), min_std=1e-4, init_std=1.0) for _ in range(2))
    prior = priors.ConditionalPrior(family, condition_size=10)
    vae = VAE.build(data.x_shape, posterior, families.Bernoulli(data.x_shape), prior, networks.MLP, condition_size=10)
    _train(vae, data)
    figure, (left, right) = axes(2, ["p(z|c) of each digit at 2 std", "one style per row: mean of p(t|z, c)"])
    with torch.no_grad():
        circle = torch.linspace(0, 2 * math.pi, 100)
        p = vae.prior_given(torch.eye(10))
        for colour, digit, mean, std in zip(PALETTE[::2], SHOWN, p.mean[SHOWN], p.stddev[SHOWN], strict=False):
            x, y = (mean + 2 * std * torch.stack([circle.cos(), circle.sin()], -1)).T
            left.plot(x, y, color=colour, lw=1.5, label=str(digit))
        left.set(xlabel="z₁", ylabel="z₂")
        left.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        each = torch.eye(10)[SHOWN]
        means = vae.decode(style_draws(vae, 5, each, seed=1), each).mean.squeeze(2).numpy()
    right.imshow(tile(np.asarray(means), 0, 1))
    right.set(xticks=[], yticks=[])
    right.spines[:].set_visible(False)
    return figure


def _train(vae: VAE, data: Digits) -> None:
    """A thousand steps of Adam on the ELBO."""
    torch.manual_seed(0)
    optimizer, steps = torch.optim.Adam(vae.parameters(), lr=5e-3), 0
    while steps < 1_000:
        for batch in data.train_dataloader():
            optimizer.zero_grad()
            ELBO()(vae, *batch).loss.mean().backward()
            optimizer.step()
            steps += 1
