"""The figures of the objectives that add a penalty to the ELBO. Both use a small VAE on three mixed sources."""

import math
from functools import partial
from typing import Any

import torch
from drawing import axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal

from vaelab import VAE, families, networks, priors
from vaelab.objectives import ELBO, BetaTC, InfoVAE, mmd2, total_correlation

N, STEPS, BATCH, LATENTS = 2_000, 1_500, 100, 3


def beta_tc() -> Figure:
    figure, (left, right) = axes(2, ["trained with β", "the estimate from M of 2,000 examples"])
    betas = [1.0, 2.0, 4.0, 8.0, 16.0]
    vaes = [trained(BetaTC(train_size=N, beta=beta)) for beta in betas]
    left.plot(betas, [_total_correlation(vae) for vae in vaes], "o-", label="total correlation")
    left.plot(betas, [-_mean_elbo(vae) / 10 for vae in vaes], "o-", label="−ELBO / 10")
    left.set_xscale("log", base=2)
    left.set_xticks(betas, [f"{beta:g}" for beta in betas])
    left.set_xlabel("β")
    left.set_ylabel("nats")
    left.legend()
    sizes = [10, 30, 100, 300, 1_000, 2_000]
    for sampling, offset in (("stratified", 0.0), ("weighted", 2 * math.log(N))):
        label = f"{sampling} − 2·log N" if offset else sampling
        right.plot(sizes, [_estimate(size, sampling) - offset for size in sizes], "o-", label=label)
    right.axhline(_channel()[1].item(), color="black", lw=1, ls="--", label="truth")
    right.set_ylim(top=3.2)
    right.legend(loc="upper right", fontsize=8)
    right.set_xscale("log")
    right.set_xlabel("M")
    return figure


@torch.no_grad()
def info() -> Figure:
    figure, panels = axes(3, ["λ = 1", "λ = 1,000", "trained with λ, α = 1"])
    weights = [1.0, 10.0, 100.0, 1_000.0]
    vaes = [trained(InfoVAE(alpha=1.0, lam=lam), latents=2) for lam in weights]
    for ax, vae in zip(panels, (vaes[0], vaes[-1]), strict=False):
        z = vae.encode(sources(1_000, 1)).sample()
        ax.scatter(*z.T, s=2)
        for radius in (1, 2, 3):
            angle = torch.linspace(0, 2 * torch.pi, 100)
            ax.plot(radius * angle.cos(), radius * angle.sin(), color="black", lw=0.6)
        ax.set_aspect("equal", "datalim")
    panels[2].plot(weights, [_distance(vae) for vae in vaes], "o-")
    panels[2].set_xscale("log")
    panels[2].set_yscale("log")
    panels[2].set_xlabel("λ")
    panels[2].set_ylabel("MMD² of q(z) and p(z)")
    return figure


def sources(n: int, seed: int) -> Tensor:
    """Six mixtures of three uniform sources, with a little noise, (n, 6)."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(3, 6, generator=torch.Generator().manual_seed(5))
    given = 2 * torch.rand(n, 3, generator=generator) - 1
    return (2 * given @ mixing).tanh() + 0.05 * torch.randn(n, 6, generator=generator)


@torch.enable_grad()
def trained(objective: Any, latents: int = LATENTS) -> VAE:
    """A small VAE after `STEPS` steps of Adam."""
    torch.manual_seed(0)
    parts = families.DiagonalGaussian((latents,)), families.DiagonalGaussian((6,), min_std=0.05)
    vae = VAE.build((6,), *parts, priors.StandardNormal((latents,)), partial(networks.MLP, hidden=[32]))
    data, optimizer = sources(N, 0), torch.optim.Adam(vae.parameters(), lr=3e-3)
    for _ in range(STEPS):
        x = data[torch.randint(N, (BATCH,))]
        optimizer.zero_grad()
        objective(vae, x, x).loss.mean().backward()
        optimizer.step()
    return vae


@torch.no_grad()
def _total_correlation(vae: VAE) -> float:
    q = vae.encode(sources(N, 0))
    return total_correlation(q, q.sample((1,)), N).mean().item()


@torch.no_grad()
def _mean_elbo(vae: VAE) -> float:
    x = sources(N, 1)
    return ELBO(samples=10)(vae, x, x).elbo.mean().item()


def _distance(vae: VAE) -> float:
    z = torch.stack([vae.encode(sources(N, seed)).sample() for seed in range(5)])
    return max(mmd2(z, torch.randn(z.shape), math.sqrt(z.shape[-1])).mean().item(), 1e-6)


def _channel(std: float = 0.15) -> tuple[MultivariateNormal, Tensor]:
    """p(x) of a Gaussian channel z = x + noise, and the total correlation of q(z), which is a Gaussian too."""
    covariance = torch.tensor([[1.0, 0.8, 0.1], [0.8, 1.5, -0.4], [0.1, -0.4, 0.7]])
    total = covariance + std**2 * torch.eye(3)
    return MultivariateNormal(torch.zeros(3), covariance), (total.diagonal().log().sum() - total.logdet()) / 2


def _estimate(size: int, sampling: str, std: float = 0.15) -> float:
    repeats = max(1, 4_000 // size)
    batches = [Independent(Normal(_channel()[0].sample((size,)), std), 1) for _ in range(repeats)]
    return sum(total_correlation(q, q.sample((1,)), N, sampling).mean().item() for q in batches) / repeats
