"""The figures of the likelihoods' pages."""

from functools import partial

import numpy as np
import torch
from drawing import axes
from matplotlib.figure import Figure

from vaelab import VAE, families
from vaelab.networks import MLP, OneHotColumns
from vaelab.objectives import ELBO
from vaelab.priors import StandardNormal


def densities(family: families.Family, numbers: list[list[float]], t: torch.Tensor) -> np.ndarray:
    """p(t) of one-dimensional distributions: (n, num_parameters) numbers and (m,) values -> (n, m)."""
    p = family(torch.tensor(numbers))
    return p.log_prob(t.view(-1, 1, 1)).exp().T.detach().numpy()


def h_of(std: float, min_std: float = 0.01, init_std: float = 0.2) -> float:
    """The number of a network at which σ has this value."""
    return float(np.log((std**2 - min_std**2) / init_std**2))


def curves(ax, t, values, labels) -> None:
    """Densities as lines, with a legend."""
    for line, label in zip(values, labels, strict=True):
        ax.plot(t, line, label=label)
    ax.set_xlabel("t")
    ax.legend()


def gaussian() -> Figure:
    """The density for three σ, and σ as a function of the network's output."""
    figure, (left, right) = axes(2, ["p(t|z), μ = 0", "σ of the network's number h"])
    t, stds = torch.linspace(-2, 2, 201), [0.2, 0.4, 0.8]
    curves(
        left,
        t,
        densities(families.DiagonalGaussian((1,)), [[0.0, h_of(s)] for s in stds], t),
        [f"σ = {s}" for s in stds],
    )
    h = np.linspace(-14, 5, 200)
    for floor in (0.01, 0.1):
        right.semilogy(h, np.sqrt(floor**2 + 0.2**2 * np.exp(h)), label=f"min_std = {floor}")
    right.set_xlabel("h")
    right.legend()
    return figure


def gaussian_full() -> Figure:
    """Draws from a diagonal and a full covariance."""
    return _clouds(
        [
            ("diagonal", families.DiagonalGaussian((2,)), [0.0, 0.0, 2.0, 2.0]),
            ("full", families.FullGaussian((2,)), [0.0, 0.0, 2.0, 0.0, 3.5]),
        ]
    )


def low_rank() -> Figure:
    """The covariance of 60 numbers: its diagonal, and two shared directions."""
    figure, panels = axes(3, ["rank 1", "rank 2", "rank 8"], (6.4, 2.3))
    place = torch.linspace(0, 6, 60)
    for panel, rank in zip(panels, (1, 2, 8), strict=True):
        family = families.LowRankGaussian((60,), rank=rank)
        waves = torch.stack([(place * (1 + j / 2) + j).sin() for j in range(rank)])
        numbers = torch.cat([torch.zeros(2, 60), 2 * waves]).flatten()
        p = family(numbers)
        covariance = p.factor @ p.factor.T + p.std.square().diag()
        panel.imshow(covariance.detach(), cmap="RdBu_r", vmin=-0.3, vmax=0.3)
        panel.set_xticks([])
        panel.set_yticks([])
    return figure


def _clouds(cases) -> Figure:
    figure, panels = axes(len(cases), [f"draws, {name} covariance" for name, *_ in cases])
    for panel, (_, family, numbers) in zip(panels, cases, strict=True):
        draws = family(torch.tensor(numbers)).sample((400,))
        panel.plot(*draws.T, ".", ms=3)
        panel.set_xlim(-3, 3)
        panel.set_ylim(-3, 3)
        panel.set_xlabel("t₁")
        panel.set_ylabel("t₂")
    return figure


def gaussian_identity() -> Figure:
    """The cost of a distance from the mean, for three fixed σ."""
    figure, ax = axes(1, ["log p(t|z), by the distance from the mean"])
    t, stds = torch.linspace(-2, 2, 201), [0.3, 0.5, 1.0]
    values = [np.log(densities(families.IdentityGaussian((1,), std=s), [[0.0]], t)[0]) for s in stds]
    curves(ax, t, values, [f"std = {s}" for s in stds])
    ax.set_xlabel("t − μ")
    ax.set_ylim(-8, 1)
    return figure


def gaussian_isotropic() -> Figure:
    """The mean log-density as a function of σ, whose maximum is the root of the mean squared error."""
    figure, ax = axes(1, ["mean log p(t|z) per number of t, by σ"])
    error = 0.3
    std = np.linspace(0.12, 1, 200)
    ax.plot(std, -0.5 * np.log(2 * np.pi * std**2) - 0.5 * error**2 / std**2)
    best = -0.5 * np.log(2 * np.pi * np.e * error**2)
    ax.plot([error], [best], "o", label="model.optimal=true: σ = √(mean squared error)")
    ax.set_xlabel("σ   (the mean squared error is 0.09)")
    ax.legend()
    return figure


def gaussian_shared() -> Figure:
    """A σ per number, learned from noise that differs between two numbers."""
    torch.manual_seed(1)
    truth = torch.tensor([0.1, 0.2, 0.4, 0.8])
    family = families.SharedDiagonalGaussian((4,)).double()
    with torch.no_grad():
        family.fit_(truth * torch.randn(300, 4))
        found = family(torch.zeros(4).double()).stddev
    figure, ax = axes(1, ["σ of each number of t: one for all examples"])
    ax.bar(np.arange(4) - 0.2, truth, 0.4, label="σ of the noise")
    ax.bar(np.arange(4) + 0.2, found, 0.4, label="fitted to 300 examples")
    ax.set_xticks(range(4), [f"t{j}" for j in "₁₂₃₄"])
    ax.legend()
    return figure


def _tails(cases) -> Figure:
    figure, (left, right) = axes(2, ["p(t|z), μ = 0, σ = 0.5", "log p(t|z): what an outlier costs"])
    near, far = torch.linspace(-2, 2, 201), torch.linspace(-6, 6, 201)
    for label, family in cases:
        numbers = [[0.0, h_of(0.5)]]
        left.plot(near, densities(family, numbers, near)[0], label=label)
        right.plot(far, family(torch.tensor(numbers)).log_prob(far.view(-1, 1, 1)).detach().flatten(), label=label)
    left.set_xlabel("t")
    right.set_xlabel("t")
    right.set_ylim(-40, 2)
    right.legend(*left.get_legend_handles_labels(), loc="lower center", fontsize=7)
    return figure


def laplace() -> Figure:
    """Its density and tails beside a Gaussian's."""
    return _tails([("Gaussian", families.DiagonalGaussian((1,))), ("Laplace", families.Laplace((1,)))])


def student_t() -> Figure:
    """Its density and tails for two ν, beside a Gaussian's and a Laplace's."""
    return _tails(
        [
            ("Gaussian", families.DiagonalGaussian((1,))),
            ("Laplace", families.Laplace((1,))),
            ("Student t, ν = 5", families.StudentT((1,), df=5.0)),
            ("Student t, ν = 2.5", families.StudentT((1,), df=2.5)),
        ]
    )


def bernoulli() -> Figure:
    """The cost of a white and a black pixel as functions of y."""
    figure, ax = axes(1, ["log p(t|z) of one pixel"])
    logits = torch.linspace(-7, 7, 301).view(-1, 1)
    p = families.Bernoulli((1,))(logits)
    for t in (1.0, 0.0):
        ax.plot(logits.sigmoid(), p.log_prob(torch.tensor([t])), label=f"t = {t:.0f}")
    ax.set_xlabel("y = sigmoid(logit)")
    ax.legend()
    return figure


def continuous_bernoulli() -> Figure:
    """The density on [0, 1] for several logits, and the constant that makes it one."""
    figure, (left, right) = axes(2, ["p(t|z)", "log C(y), the constant"])
    t, logits = torch.linspace(0, 1, 201), [-8.0, -2.0, 0.0, 4.0]
    curves(
        left,
        t,
        densities(families.ContinuousBernoulli((1,)), [[x] for x in logits], t),
        [f"logit {x:g}" for x in logits],
    )
    x = torch.linspace(-9, 9, 301).view(-1, 1)
    p = families.ContinuousBernoulli((1,))(x)
    right.plot(x.sigmoid(), p.log_prob(torch.zeros(1)) - families.Bernoulli((1,))(x).log_prob(torch.zeros(1)))
    right.set_xlabel("y = sigmoid(logit)")
    return figure


def discretized_logistic() -> Figure:
    """The probabilities of 17 grey levels, of one component and of a mixture of two."""
    figure, panels = axes(2, ["P(t|z), one component", "P(t|z), two components"])
    levels = torch.arange(17) / 16
    cases = [
        (families.DiscretizedLogistic((1,), levels=17), [[0.55, h_of(0.15)], [1.05, h_of(0.15)]]),
        (families.DiscretizedLogistic((1,), levels=17, components=2), [[-0.05, 0.7, h_of(0.05), h_of(0.15), 0.3, 0.0]]),
    ]
    for panel, (family, numbers) in zip(panels, cases, strict=True):
        for offset, (line, values) in enumerate(zip(densities(family, numbers, levels), numbers, strict=True)):
            label = f"mean {values[0]}" if len(values) == 2 else "means −0.05 and 0.7"
            panel.bar(16 * levels + 0.4 * offset, line, 0.4, label=label)
        panel.set_xlabel("grey level k,  t = k/16")
        panel.legend()
    return figure


def _counts(cases) -> Figure:
    figure, ax = axes(1, ["P(t|z)"])
    t = torch.arange(31.0)
    for label, family, numbers in cases:
        ax.plot(t, densities(family, [numbers], t)[0], ".-", label=label)
    ax.set_xlabel("count t")
    ax.legend()
    return figure


def poisson() -> Figure:
    """Three means."""
    return _counts([(f"mean {m}", families.Poisson((1,)), [float(np.log(m))]) for m in (1, 4, 12)])


def negative_binomial() -> Figure:
    """One mean, three dispersions."""
    family = families.NegativeBinomial((1,), init_dispersion=1.0)
    return _counts(
        [("Poisson, mean 8", families.Poisson((1,)), [float(np.log(8))])]
        + [(f"mean 8, α = {a}", family, [float(np.log(8)), float(np.log(a))]) for a in (0.1, 0.4, 1.0)]
    )


def categorical() -> Figure:
    """The probabilities of four classes for three vectors of logits."""
    figure, ax = axes(1, ["P(t|z) = softmax(logits)[t]"])
    family = families.Categorical((1,), categories=4)
    for place, logits in enumerate([[0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 2.0, 0.0], [5.0, 0.0, 0.0, 1.0]]):
        heights = densities(family, [logits], torch.arange(4.0))[0]
        ax.bar(np.arange(4) + 0.27 * (place - 1), heights, 0.27, label=f"logits {', '.join(f'{x:g}' for x in logits)}")
    ax.set_xticks(range(4))
    ax.set_xlabel("class t")
    ax.legend()
    return figure


def columns() -> Figure:
    """Columns of three kinds: the data, and draws from a model that was trained on them for 800 steps."""
    rows, names = _people(600), ["a", "b", "c"]
    family = families.Columns((3,), ["real", "count", "category"], [0, 0, 3], min_std=0.1, init_std=1.0)
    makers = {"encoder": partial(OneHotColumns, network=MLP, categories=[0, 0, 3]), "decoder": MLP}
    posterior = families.DiagonalGaussian((2,), init_std=1.0)
    vae = VAE.build((3,), posterior, family, StandardNormal((2,)), makers, standardize=True)
    kept = torch.tensor([True, False, False])
    std, mean = torch.std_mean(rows, 0)
    for units in (vae.encoder.input_units, vae.decoder.output_units):
        units.start_at(mean.where(kept, 0), std.where(kept, 1))
    optimizer, objective = torch.optim.Adam(vae.parameters(), 3e-3), ELBO()
    for _ in range(800):
        optimizer.zero_grad()
        objective(vae, rows, rows).loss.mean().backward()
        optimizer.step()
    with torch.no_grad():
        draws = vae.sample(4_000)
    figure, (left, middle, right) = axes(3, ["real: gaussian", "count: negative_binomial", "category"], (6.6, 2.6))
    for values, look in ((rows, {"color": "0.7"}), (draws, {"histtype": "step", "lw": 1.6})):
        label = "data" if values is rows else "draws"
        left.hist(values[:, 0].numpy(), np.linspace(140, 210, 29), density=True, label=label, **look)
        middle.hist(values[:, 1].numpy(), np.arange(13) - 0.5, density=True, **look)
        right.hist(values[:, 2].numpy(), np.arange(4) - 0.5, density=True, **look)
    left.legend()
    left.set_xlabel("height, cm")
    middle.set_xlabel("kids")
    right.set_xticks(range(3), names)
    right.set_xlabel("city")
    return figure


def _people(n: int) -> torch.Tensor:
    """Rows of a made-up table, (n, 3): two groups that differ in height, kids and city."""
    group = torch.arange(n) % 2
    height = torch.where(group == 0, 165.0, 183.0) + 5 * torch.randn(n)
    kids = torch.poisson(torch.where(group == 0, 1.0, 4.0))
    city = torch.where(group == 0, torch.randint(2, (n,)), 2 - (torch.rand(n) < 0.2).long())
    return torch.stack([height, kids, city.float()], dim=-1)
