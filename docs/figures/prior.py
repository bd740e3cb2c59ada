"""Figures of the priors: p(z) of a small model of digits, before and after training, with the latents of the images."""

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import discrete_digits
import torch
from drawing import axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from torch import Tensor, nn

from vaelab import VAE, data, families, networks, objectives, priors
from vaelab.evaluation.views import style_draws
from vaelab.figures.colours import PALETTE
from vaelab.figures.images import tile
from vaelab.seeded import seeded

STEPS, BATCH, SIDE = 3_000, 100, 5.5
MLP = partial(networks.MLP, hidden=[128])
LINES = (-9, -7.5, -6, -5, -4, -3, -2)  # log p(z), nats


@cache
def digits() -> tuple[Tensor, Tensor]:
    """8 by 8 images between 0 and 1, and their classes."""
    module = data.Digits(support="unit_interval")
    module.setup()
    x, _ = module.examples("train")
    _, labels = module.labels("train")
    return x, labels


def _model(
    make: Callable[[], nn.Module],
    steps: int,
    posterior: families.Family | None = None,
    network: Any = MLP,
) -> tuple[VAE, float]:
    """A model with 2 latents after so many steps, and its ELBO on the training images."""
    x, _ = digits()
    posterior = posterior or families.DiagonalGaussian((2,), min_std=1e-4, init_std=1.0)
    likelihood = families.IsotropicGaussian(x.shape[1:], min_std=0.05, init_std=0.3)
    objective = objectives.ELBOMonteCarlo()
    with seeded(1), torch.enable_grad():
        prior = make()
        vae = VAE.build(x.shape[1:], posterior, likelihood, prior, network)
        if hasattr(prior, "start_from"):
            prior.start_from(x)
        optimizer = torch.optim.Adam(vae.parameters(), 3e-3)
        for _ in range(steps):
            batch = x[torch.randint(len(x), (BATCH,))]
            optimizer.zero_grad()
            objective(vae, batch, batch).loss.mean().backward()
            optimizer.step()
        with torch.no_grad():
            return vae, objective(vae, x, x).elbo.mean().item()


@torch.no_grad()
def _draw(ax: Any, vae: VAE, title: str) -> None:
    """Lines of equal log p(z), and the mean of q(z|x) for each image, coloured by class."""
    x, labels = digits()
    line = torch.linspace(-SIDE, SIDE, 121)
    density = vae.prior().log_prob(torch.cartesian_prod(line, line)).view(121, 121).T
    ax.contour(line, line, density, levels=LINES, colors="0.25", linewidths=0.8, linestyles="solid")
    ax.scatter(*vae.encode(x).mean.T, c=labels, cmap="tab10", s=3, linewidths=0, alpha=0.6)
    ax.set(xlim=(-SIDE, SIDE), ylim=(-SIDE, SIDE), aspect="equal", xticks=(), yticks=())
    ax.set_title(title, fontsize=9)


def _before_and_after(make: Callable[[], nn.Module]) -> Figure:
    figure, panels = axes(2, size=(6.4, 3.3))
    for ax, steps in zip(panels, (0, STEPS), strict=True):
        vae, elbo = _model(make, steps)
        _draw(ax, vae, f"after {steps:,} steps: ELBO {elbo:.1f} nats" if steps else "p(z) at the start")
    return figure


def _gaussian(family: type[families.Family]) -> families.Family:
    return family((2,), min_std=1e-4, init_std=1.0)


@cache
def two_layer_model() -> VAE:
    """A model z₂ → z₁ → x of the digits, with two latents in z₁ and one in z₂."""
    make = {"encoder": MLP, "decoder": partial(MLP, inputs=2)}
    return _model(lambda: priors.TwoLayerPrior((3,)), STEPS, families.TwoLayers((3,)), make)[0]


@torch.no_grad()
def two_layers() -> Figure:
    """p(z₁|z₂) for some z₂, and p(z₁) = ∫ p(z₂) p(z₁|z₂) dz₂ by quadrature, with the latents of the images."""
    vae, (x, labels) = two_layer_model(), digits()
    titles = "p(z₁|z₂) at 1 σ, z₂ from −2 to 2", "p(z₁), and the latents z₁"
    figure, (left, right) = axes(2, titles, (6.4, 3.3))
    z2 = torch.linspace(-5, 5, 201).unsqueeze(-1)
    given, line = vae.prior.then(z2), torch.linspace(-SIDE, SIDE, 121)
    plane = torch.cartesian_prod(line, line)
    log_p = given.log_prob(plane.unsqueeze(1)) + torch.distributions.Normal(0, 1).log_prob(z2.squeeze(-1))
    density = (log_p.logsumexp(-1) + torch.tensor(10 / 200).log()).view(121, 121).T
    right.contour(line, line, density, levels=LINES, colors="0.25", linewidths=0.8, linestyles="solid")
    right.scatter(*vae.encode(x).mean[:, :2].T, c=labels, cmap="tab10", s=3, linewidths=0, alpha=0.6)
    for (a, b), (width, height) in zip(given.mean[60:141:5], given.stddev[60:141:5], strict=True):
        left.add_patch(Ellipse((a.item(), b.item()), 2 * width.item(), 2 * height.item(), fill=False, alpha=0.6))
    for ax in (left, right):
        ax.set(xlim=(-SIDE, SIDE), ylim=(-SIDE, SIDE), aspect="equal", xticks=(), yticks=())
    return figure


def standard_normal() -> Figure:
    return _before_and_after(lambda: priors.StandardNormal((2,)))


def learned_diagonal() -> Figure:
    return _before_and_after(lambda: priors.LearnedPrior(_gaussian(families.DiagonalGaussian)))


def learned_full() -> Figure:
    return _before_and_after(lambda: priors.LearnedPrior(_gaussian(families.FullGaussian)))


def vamp() -> Figure:
    return _before_and_after(lambda: priors.VampPrior((1, 8, 8), components=50))


def mixture() -> Figure:
    return _before_and_after(lambda: priors.MixturePrior(_gaussian(families.DiagonalGaussian), components=10))


def flow() -> Figure:
    return _before_and_after(lambda: priors.FlowPrior((2,), hidden=[64]))


@torch.no_grad()
def _shares(vae: VAE, what: str) -> Figure:
    """The learned probabilities of a discrete prior, beside the mean of q(z|x) over all images."""
    figure, ax = axes(size=(6.4, 2.6))
    prior, data_share = vae.prior().mean, vae.encode(discrete_digits.digits()[0]).mean.mean(0)
    place = torch.arange(1, len(prior) + 1)
    ax.bar(place - 0.2, prior, 0.4, label="p(z), learned")
    ax.bar(place + 0.2, data_share, 0.4, label="mean of q(z|x) over the images")
    ax.set(xlabel=what, ylabel="probability", xticks=place, ylim=(0, 1.25 * float(max(prior.max(), data_share.max()))))
    ax.legend(ncols=2, loc="upper center")
    return figure


def bernoulli() -> Figure:
    objective = objectives.ELBO(gradient="gumbel_softmax")
    return _shares(discrete_digits.trained(families.Bernoulli((12,)), objective, 1_500, learned=True)[0], "bit")


def categorical() -> Figure:
    objective = objectives.ELBO(gradient="gumbel_softmax")
    return _shares(
        discrete_digits.trained(families.OneHotCategorical(1, 12), objective, 1_500, learned=True)[0], "class"
    )


DIGITS = [0, 1, 2, 4, 7]


def conditional() -> Figure:
    """p(z|c) of some digits in the plane, and the same styles in each of them."""
    vae = _conditional_model()
    figure, (left, right) = axes(2, ["p(z|c) of each digit at 2 std", "one style per row: mean of p(t|z, c)"])
    with torch.no_grad():
        circle, each = torch.linspace(0, 2 * math.pi, 100), torch.eye(10)[DIGITS]
        p = vae.prior_given(each)
        for colour, digit, mean, std in zip(PALETTE[::2], DIGITS, p.mean, p.stddev, strict=False):
            x, y = (mean + 2 * std * torch.stack([circle.cos(), circle.sin()], -1)).T
            left.plot(x, y, color=colour, lw=1.5, label=str(digit))
        means = vae.decode(style_draws(vae, 5, each, seed=1), each).mean.squeeze(2).numpy()
    left.set(xlabel="z₁", ylabel="z₂")
    left.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    right.imshow(tile(means, 0, 1))
    right.set(xticks=[], yticks=[])
    right.spines[:].set_visible(False)
    return figure


def _conditional_model() -> VAE:
    """A thousand steps on binary digits with their labels."""
    digits = data.Digits(support="binary", condition="label", batch_size=200)
    digits.setup()
    prior, shape = priors.ConditionalPrior(_gaussian(families.DiagonalGaussian), condition_size=10), digits.x_shape
    parts = shape, _gaussian(families.DiagonalGaussian), families.Bernoulli(shape), prior, networks.MLP
    vae, steps = VAE.build(*parts, condition_size=10), 0
    optimizer = torch.optim.Adam(vae.parameters(), lr=5e-3)
    while steps < 1_000:
        for batch in digits.train_dataloader():
            optimizer.zero_grad()
            objectives.ELBO()(vae, *batch).loss.mean().backward()
            optimizer.step()
            steps += 1
    return vae
