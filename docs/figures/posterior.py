"""Figures of the posteriors: how well q(z|x) fits the exact posterior, and what discrete latents hold."""

import math
from typing import Any

import torch
from discrete_digits import digits, trained
from drawing import axes
from matplotlib.figure import Figure
from torch import Tensor

from vaelab import families, objectives
from vaelab.objectives.gradients import Pathwise
from vaelab.objectives.importance import mean

STEPS, DRAWS, NOISE, SIDE, POINTS = 700, 64, 0.4, 2.8, 161
SUM, PRODUCT = "t = z₁ + z₂", "t = z₁ · z₂"


def _log_joint(z: Tensor, of: str) -> Tensor:
    """log p(t|z) + log p(z) at t = 1.2: z (…, 2) -> (…)."""
    made = z.sum(-1) if of == SUM else z.prod(-1)
    log_normal = -0.5 * ((1.2 - made) / NOISE).square() - math.log(NOISE * math.sqrt(2 * math.pi))
    return log_normal - 0.5 * z.square().sum(-1) - math.log(2 * math.pi)


def _best(make: Any, of: str) -> tuple[Any, float]:
    """The best q(z) of a family, and its ELBO: of three starts, because an optimum may be a local one."""
    return max((_fitted(make(), of) for _ in range(3)), key=lambda fit: fit[1])


def _fitted(family: families.Family, of: str) -> tuple[Any, float]:
    """An optimal q(z) of a family, and its ELBO."""
    numbers = torch.nn.Parameter(0.5 * torch.randn(family.num_parameters))
    optimizer = torch.optim.Adam([numbers, *family.parameters()], 2e-2)
    elbos = []
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = 2e-2 * (1 - step / STEPS)
        q = family(numbers)
        draws = Pathwise().draw(q, DRAWS)
        log_q = q.log_prob(draws.z) if draws.log_qz is None else draws.log_qz
        elbo = mean(_log_joint(draws.z, of) - log_q, draws.log_share)
        optimizer.zero_grad()
        (-elbo).backward()
        optimizer.step()
        elbos.append(elbo.item())
    return family(numbers), sum(elbos[-100:]) / 100


def _fits(make: Any) -> Figure:
    """Grey: the exact p(z|t) of two decoders. Lines: the best q of a family, with its distance from log p(t)."""
    line = torch.linspace(-SIDE, SIDE, POINTS)
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
    figure, panels = axes(2, size=(6.4, 3.2))
    for ax, of in zip(panels, (SUM, PRODUCT), strict=True):
        log_joint = _log_joint(grid, of)
        log_p = log_joint.flatten().logsumexp(0) + 2 * math.log(line[1] - line[0])
        q, elbo = _best(make, of)
        with torch.no_grad():
            density = q.log_prob(grid).exp()
        ax.contourf(line, line, log_joint.exp(), levels=7, cmap="Greys")
        ax.contour(line, line, density, levels=[float(density.max()) * share for share in (0.1, 0.4, 0.8)])
        ax.set(aspect="equal", xticks=(), yticks=(), xlabel="z₁", ylabel="z₂")
        ax.set_title(f"{of}: log p(t) − ELBO = {max(float(log_p) - elbo, 0):.2f} nats", fontsize=9)
    return figure


def diagonal() -> Figure:
    return _fits(lambda: families.DiagonalGaussian((2,), min_std=1e-4, init_std=1.0))


def full() -> Figure:
    return _fits(lambda: families.FullGaussian((2,), min_std=1e-4, init_std=1.0))


def mixture() -> Figure:
    return _fits(lambda: families.GaussianMixture((2,), components=3, min_std=1e-4, init_std=1.0))


def flow() -> Figure:
    return _fits(lambda: families.Flow((2,), context=4))


# Discrete latents


def bernoulli() -> Figure:
    figure, (left, right) = axes(2, ("mean of q(z = 1 | x), 10 bits", "ELBO of three gradients (nats)"), (6.4, 2.8))
    x, labels = digits()
    for name, samples in (("gumbel_softmax", 1), ("score_function_baseline", 4), ("score_function", 4)):
        objective = objectives.ELBO(samples=samples, gradient=name)
        vae, elbos = trained(families.Bernoulli((10,)), objective, 1_000, every=50)
        right.plot(range(50, 1_001, 50), elbos, label=f"{name}, L = {samples}")
        if name == "gumbel_softmax":
            with torch.no_grad():
                probabilities = torch.stack([vae.encode(x[labels == kind]).mean.mean(0) for kind in range(10)])
            image = left.imshow(probabilities, vmin=0, vmax=1, aspect="auto")
            figure.colorbar(image, ax=left)
    left.set(xlabel="bit", ylabel="digit", xticks=range(0, 10, 3), yticks=range(0, 10, 3))
    right.set_xlabel("step")
    right.set_ylim(bottom=-28.5)
    right.legend(fontsize=8, loc="lower right")
    return figure


def categorical() -> Figure:
    figure, panels = axes(2, ("one variable of 20 classes: p(t|z)", "how often each digit has each class"), (6.4, 2.8))
    x, labels = digits()
    objective = objectives.ELBO(gradient="gumbel_softmax")
    vae, _ = trained(families.OneHotCategorical(1, 20), objective, 1_500)
    with torch.no_grad():
        means = vae.decode(torch.eye(20)).mean.view(4, 5, 8, 8)
        codes = vae.encode(x).mode
        counts = torch.stack([codes[labels == kind].mean(0) for kind in range(10)])
    sheet = torch.ones(4, 9, 5, 9)
    sheet[:, :8, :, :8] = means.movedim(2, 1)
    panels[0].imshow(sheet.reshape(36, 45), cmap="Greys_r", vmin=0, vmax=1)
    panels[0].set(xticks=(), yticks=())
    figure.colorbar(panels[1].imshow(counts, aspect="auto", vmin=0, vmax=1), ax=panels[1])
    panels[1].set(xlabel="class of z", ylabel="digit", xticks=range(0, 20, 5), yticks=range(0, 10, 3))
    return figure


@torch.no_grad()
def two_layers() -> Figure:
    """The mean of q(z₂|z₁) over the plane of z₁, in the model of prior/two_layers, and at the z₁ of each image."""
    from prior import SIDE, digits, two_layer_model

    vae, (x, labels) = two_layer_model(), digits()
    line, levels = torch.linspace(-SIDE, SIDE, 61), torch.linspace(-3, 3, 13)
    mean = vae.encoder.family.then(torch.cartesian_prod(line, line)).mean.view(61, 61).T
    z1 = vae.encode(x).mean[:, :2]
    z2 = vae.encoder.family.then(z1).mean.squeeze(-1)
    figure, (left, right) = axes(
        2, ["mean of q(z₂|z₁), and the latents z₁", "mean of q(z₂|z₁) of each image"], (6.4, 3.1)
    )
    shades = left.contourf(line, line, mean, levels, cmap="Greys", alpha=0.6, extend="both")
    figure.colorbar(shades, ax=left, ticks=[-3, -1.5, 0, 1.5, 3])
    left.scatter(*z1.T, c=labels, cmap="tab10", s=4, linewidths=0)
    left.set(xlim=(-SIDE, SIDE), ylim=(-SIDE, SIDE), aspect="equal", xticks=(), yticks=())
    height = labels + 0.5 * (
        torch.rand(len(labels)) - 0.5
    )  # spread, so that the images of a digit do not hide each other
    right.scatter(z2, height, c=labels, cmap="tab10", s=4, linewidths=0)
    right.set(xlabel="z₂", ylabel="digit", yticks=range(10))
    return figure
