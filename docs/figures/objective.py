"""The figures of the objectives' pages. All of them use one small VAE on sin(x+y), trained for a second."""

from collections.abc import Sequence
from functools import cache, partial

import torch
from drawing import axes
from matplotlib.figure import Figure
from torch import Tensor

from vaelab import VAE, families, networks, priors
from vaelab.objectives import CIWAE, ELBO, IWAE, MIWAE, PIWAE, Renyi, draw, log_mean, weigh
from vaelab.objectives.beta_schedules import SCHEDULES

STEPS, BATCH = 1_500, 100


def elbo() -> Figure:
    figure, (left, right) = axes(2, ["weight of the KL", "KL in training (nats)"])
    for name in SCHEDULES:
        objective = ELBO(beta_schedule=name, warmup=0.5, cycles=3)
        left.plot([step / STEPS for step in range(STEPS)], [objective.beta_at(step / STEPS) for step in range(STEPS)])
        _, kl = trained(objective, hidden=64)
        right.plot(*_smooth(kl), label=name)
    for ax in (left, right):
        ax.set_xlabel("fraction of the run")
    right.legend(loc="lower right")
    return figure


def elbo_constant_beta() -> Figure:
    figure, ax = axes()
    found = {}
    for beta in (0.125, 0.25, 0.5, 1.0, 2.0):
        vae, _ = trained(ELBO(beta=beta))
        with torch.no_grad():
            terms = ELBO(samples=20)(vae, points := surface(2_000, 1), points)
        found[beta] = terms.kl.mean().item(), terms.log_likelihood.mean().item()
    ax.plot(*zip(*found.values(), strict=True), "o-")
    for beta, place in found.items():
        ax.annotate(f"β = {beta:g}", place, (6, -9), textcoords="offset points")
    ax.set_xlabel("KL (nats)")
    ax.set_ylabel("log-likelihood (nats)")
    return figure


@torch.no_grad()
def elbo_monte_carlo() -> Figure:
    figure, panels = axes(2, ["q far from the posterior", "q close to the posterior"])
    for ax, vae in zip(panels, (_model(hidden=16, seed=1), model()), strict=True):
        x = surface(3, 1)[:1].expand(20_000, -1)
        for name, kl in (("closed form", "closed_form"), ("Monte Carlo", "monte_carlo")):
            one = ELBO(kl=kl)(vae, x, x).elbo
            low, high = one.quantile(0.005).item(), one.quantile(0.995).item()
            within = one[(one > low) & (one < high)]
            ax.hist(within.numpy(), bins=60, density=True, histtype="step", label=f"{name}: σ {one.std():.2f}")
        ax.set_xlabel("ELBO from one draw (nats)")
        ax.set_yticks([])
        ax.set_ylim(top=1.45 * ax.get_ylim()[1])
        ax.legend(loc="upper left")
    return figure


@torch.no_grad()
def iwae() -> Figure:
    figure, ax = axes()
    sizes = [1, 2, 5, 10, 20, 50, 100, 200, 500]
    log_w = _log_weights(100_000)
    ax.plot(sizes, [log_mean(_in_groups(log_w, size)).mean() for size in sizes], "o-", label="IW_K")
    ax.axhline(log_mean(log_w).mean().item(), color="black", lw=1, ls="--", label="log p")
    ax.set_xscale("log")
    ax.set_xlabel("K")
    ax.set_ylabel("nats")
    ax.legend()
    return figure


def miwae() -> Figure:
    figure, ax = axes()
    totals = [8, 16, 32, 64]
    ax.plot(totals, [encoder_signal(IWAE(samples=total)) for total in totals], "o-", label="iwae, K = draws")
    ax.plot(
        totals, [encoder_signal(MIWAE(samples=8, groups=total // 8)) for total in totals], "o-", label="miwae, K = 8"
    )
    signal_axes(ax, totals)
    return figure


def ciwae() -> Figure:
    figure, (left, right) = axes(2, ["bound (nats), K = 32", "signal-to-noise of the encoder's gradient"])
    shares = [0.0, 0.05, 0.2, 0.5, 0.8, 1.0]
    with torch.no_grad():
        log_w = _in_groups(_log_weights(64_000), 32)
        left.plot(shares, [CIWAE(beta=beta).bound(log_w).mean() for beta in shares], "o-")
    right.plot(shares, [encoder_signal(CIWAE(samples=32, beta=beta)) for beta in shares], "o-")
    for ax in (left, right):
        ax.set_xlabel("β, from IW_K to the ELBO")
    right.set_ylim(bottom=0)
    return figure


def piwae() -> Figure:
    figure, panels = axes(2, ["signal-to-noise, encoder", "signal-to-noise, decoder"])
    choices = {
        "iwae 64": IWAE(samples=64),
        "miwae 8 × 8": MIWAE(samples=8, groups=8),
        "piwae 8 × 8": PIWAE(samples=8, groups=8),
    }
    for ax, part in zip(panels, ("encoder", "decoder"), strict=True):
        ax.bar(choices.keys(), [signal_to_noise(gradients(each, part)) for each in choices.values()], width=0.6)
    return figure


@torch.no_grad()
def renyi() -> Figure:
    figure, ax = axes()
    log_w, alphas = _log_weights(100_000), torch.linspace(0, 2, 21).tolist()
    for size in (2, 5, 50, 1_000):
        grouped = _in_groups(log_w, size)
        ax.plot(alphas, [Renyi(alpha=alpha).bound(grouped).mean() for alpha in alphas], label=f"K = {size:,}")
    ax.axhline(log_w.mean().item(), color="black", lw=1, ls="--")
    ax.annotate("ELBO", (2, log_w.mean().item()), (-4, 4), textcoords="offset points", ha="right")
    ax.set_xlabel("α")
    ax.set_ylabel("bound (nats)")
    ax.legend()
    return figure


def surface(n: int, seed: int) -> Tensor:
    """Points (x, y, sin(x+y)) with a little noise, (n, 3)."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.pi * (2 * torch.rand(n, 2, generator=generator) - 1)
    height = place.sum(1, keepdim=True).sin() + 0.1 * torch.randn(n, 1, generator=generator)
    return torch.cat([place, height], 1)


@torch.enable_grad()
def trained(objective: ELBO | IWAE, hidden: int = 16) -> tuple[VAE, list[float]]:
    """A small VAE after `STEPS` steps of Adam, and the KL of each step."""
    vae, data, kl = _model(hidden), surface(10_000, 0), []
    optimizer = torch.optim.Adam(vae.parameters(), lr=3e-3)
    for step in range(STEPS):
        x = data[torch.randint(len(data), (BATCH,))]
        beta = {"beta": torch.tensor(objective.beta_at(step / STEPS))} if isinstance(objective, ELBO) else {}
        terms = objective(vae, x, x, **beta)
        optimizer.zero_grad()
        terms.loss.mean().backward()
        optimizer.step()
        kl.append(terms.kl.mean().item())
    return vae, kl


def _model(hidden: int, seed: int = 0) -> VAE:
    torch.manual_seed(seed)
    likelihood, posterior = families.DiagonalGaussian((3,), min_std=0.05), families.DiagonalGaussian((2,))
    return VAE.build((3,), posterior, likelihood, priors.StandardNormal((2,)), partial(networks.MLP, hidden=[hidden]))


@cache
def model() -> VAE:
    """The VAE of most figures, whose q is close to the posterior, but not equal to it."""
    vae, _ = trained(ELBO(beta_schedule="linear", warmup=0.5))
    return vae


def gradients(objective: object, part: str, n: int = 400) -> Tensor:
    """n independent estimates of the gradient for one part of the model at ten examples, (n, parameters)."""
    vae, x = model(), surface(10, 2)
    parameters = list(getattr(vae, part).parameters())
    torch.manual_seed(3)
    found = [torch.autograd.grad(objective(vae, x, x).loss.mean(), parameters) for _ in range(n)]
    return torch.stack([torch.cat([each.flatten() for each in one]) for one in found])


def signal_to_noise(found: Tensor) -> float:
    """√(‖mean‖² / mean squared distance from it), with the mean's own noise taken off its length."""
    noise = found.var(0).sum()
    return (((found.mean(0).square().sum() - noise / len(found)).clamp(min=0)) / noise).sqrt().item()


def encoder_signal(objective: object) -> float:
    """The signal-to-noise ratio of the encoder's gradient."""
    return signal_to_noise(gradients(objective, "encoder"))


def signal_axes(ax: object, sizes: Sequence[int]) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.set_xlabel("draws of z per example")
    ax.set_ylabel("signal-to-noise")
    ax.legend()


@torch.no_grad()
def _log_weights(n: int) -> Tensor:
    """The log-weights of n draws for each of 10 examples, (n, 10)."""
    vae, x = model(), surface(10, 2)
    torch.manual_seed(4)
    q = vae.encode(x)
    return weigh(vae, q, vae.prior(), draw(q, n), x).log_w


def _in_groups(log_w: Tensor, size: int) -> Tensor:
    """(n, B) -> (size, n / size, B)."""
    return log_w[: len(log_w) // size * size].unflatten(0, (size, -1))


def _smooth(values: list[float], width: int = 50) -> tuple[list[float], Tensor]:
    means = torch.tensor(values)[: len(values) // width * width].view(-1, width).mean(1)
    return [(place + 0.5) / len(means) for place in range(len(means))], means
