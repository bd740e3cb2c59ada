"""Every likelihood, posterior, prior, network and objective, once. Add a row for yours: the contract tests run over it.

A row says how to build the part with odd sizes, and what is known about it from elsewhere: scipy's distribution, a
formula in numpy, or the function of the importance weights that an objective estimates.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from scipy import special, stats
from torch import Tensor, nn

from vaelab import VAE, families, networks, objectives, priors

P = 3  # latents
SCALES = {"min_std": 0.2, "init_std": 0.7}


def std(h):
    """σ = √(min_std² + init_std²·exp(h)) of `SCALES`, in numpy."""
    return np.sqrt(0.2**2 + 0.7**2 * np.exp(h))


@dataclass(frozen=True)
class FamilyRow:
    """A family as a likelihood or a posterior.

    Attributes:
        name: shown in the tests.
        make: event_shape -> the family.
        truth: the family and the numbers of one distribution (num_parameters,) -> scipy's, over the flattened event;
            None if no library has it. Then quadrature alone checks the density.
        shapes: event shapes that the tests use.
    """

    name: str
    make: Callable[[Sequence[int]], families.Family]
    truth: Callable[[Any, np.ndarray], Any] | None = None
    shapes: tuple[tuple[int, ...], ...] = ((5,), (3, 5))

    def build(self, event_shape: Sequence[int]) -> families.Family:
        """The family in float64; parameters that all examples share differ for each dimension."""
        family = self.make(event_shape).double()
        for parameter in family.parameters():
            spread = torch.linspace(0.4, 1.3, parameter.numel(), dtype=torch.float64)
            parameter.data = spread.view(parameter.shape) if self.truth else torch.randn_like(parameter) / 2
        return family

    def numbers(self, family: families.Family, *leading: int) -> Tensor:
        """Random numbers of distributions, (*leading, num_parameters), the same each time."""
        generator = torch.Generator().manual_seed(1)
        return torch.randn(*leading, family.num_parameters, generator=generator, dtype=torch.float64)


def _full(family, numbers):
    k = family.event_size
    factor = np.diag(std(numbers[k : 2 * k]))
    factor[np.tril_indices(k, -1)] = 0.7 / np.sqrt(k) * numbers[2 * k :]
    return stats.multivariate_normal(numbers[:k], factor @ factor.T)


GAUSSIANS = [
    FamilyRow("identity", families.IdentityGaussian, lambda family, n: stats.norm(n, 1)),
    FamilyRow("fixed", partial(families.IdentityGaussian, std=0.3), lambda family, n: stats.norm(n, 0.3)),
    FamilyRow("isotropic", partial(families.IsotropicGaussian, **SCALES), lambda family, n: stats.norm(n, std(0.4))),
    FamilyRow(
        "shared",
        partial(families.SharedDiagonalGaussian, **SCALES),
        lambda family, n: stats.norm(n, std(np.linspace(0.4, 1.3, len(n)))),
    ),
    diagonal := FamilyRow(
        "diagonal",
        partial(families.DiagonalGaussian, **SCALES),
        lambda family, n: stats.norm(*(half if i == 0 else std(half) for i, half in enumerate(np.split(n, 2)))),
    ),
    full := FamilyRow("full", partial(families.FullGaussian, **SCALES), _full),
]

LIKELIHOODS = [
    *GAUSSIANS,
    laplace := FamilyRow(
        "laplace",
        partial(families.Laplace, **SCALES),
        lambda family, n: stats.laplace(n[: len(n) // 2], std(n[len(n) // 2 :]) / np.sqrt(2)),
    ),
    bernoulli := FamilyRow("bernoulli", families.Bernoulli, lambda family, n: stats.bernoulli(special.expit(n))),
]

FLOW = {"context": 4, "transforms": 1, "hidden": [6], "bins": 4}
POSTERIORS = [
    diagonal,
    full,
    FamilyRow("spline", partial(families.Flow, kind="spline", **FLOW), shapes=((1,), (2,), (5,))),
    FamilyRow("affine", partial(families.Flow, kind="affine", **FLOW), shapes=((1,), (2,), (5,))),
]
FAMILIES = [*LIKELIHOODS, *(row for row in POSTERIORS if row not in LIKELIHOODS)]


@dataclass(frozen=True)
class PriorRow:
    """A prior.

    Attributes:
        name: shown in the tests.
        make: shape of x and shape of z -> the prior.
        parts: the model -> what its prior is a mixture of, as pairs of a weight and scipy's distribution.
    """

    name: str
    make: Callable[[Sequence[int], Sequence[int]], nn.Module]
    parts: Callable[[VAE], list[tuple[float, Any]]]


PRIORS = [
    standard := PriorRow(
        "standard",
        lambda x, z: priors.StandardNormal(z),
        lambda vae: [(1, stats.multivariate_normal(np.zeros(P), np.eye(P)))],
    ),
    learned_diagonal := PriorRow(
        "learned_diagonal",
        lambda x, z: priors.LearnedPrior(families.DiagonalGaussian(z, **SCALES)),
        lambda vae: [(1, diagonal.truth(vae.prior.family, vae.prior.numbers.detach().numpy()))],
    ),
    learned_full := PriorRow(
        "learned_full",
        lambda x, z: priors.LearnedPrior(families.FullGaussian(z, **SCALES)),
        lambda vae: [(1, full.truth(vae.prior.family, vae.prior.numbers.detach().numpy()))],
    ),
    vamp := PriorRow(
        "vamp",
        lambda x, z: priors.VampPrior(x, components=4),
        lambda vae: [
            (1 / 4, diagonal.truth(None, numbers))
            for numbers in vae.encoder.network(vae.prior.pseudo_inputs).detach().numpy()
        ],
    ),
]

# Constructors: (input_shape, output_size, condition_size=0) -> a network.
NETWORKS = {
    "mlp": partial(networks.MLP, hidden=[7]),
    "deep": partial(networks.MLP, hidden=[7, 6], activation="silu"),
    "linear": partial(networks.MLP, hidden=[]),
}


@dataclass(frozen=True)
class ObjectiveRow:
    """An objective.

    Attributes:
        name: shown in the tests.
        objective: with odd settings.
        bound: log-weights of the K draws of one example, (K, …) -> (…): a function whose expectation is that of
            `Terms.bound`.
        draws: K.
        closed_form: whether it needs the KL of posterior and prior in closed form.
        beta: the loss is −bound + (beta − 1)·kl + penalty.
        penalty: q(z|x) of one example, p(z), and KL(q ‖ p) -> what the loss adds, if all examples of a batch are this
            one and z has one dimension.
        few: a function of fewer log-weights, whose expectation is also that of `Terms.bound`, and their number; None if
            there is none. It keeps the integral small.
        of_encoder: the same for the bound that the encoder's gradient follows, if that is another one.
    """

    name: str
    objective: Callable[..., objectives.Terms]
    bound: Callable[[Tensor], Tensor]
    draws: int
    closed_form: bool = False
    beta: float = 1.0
    penalty: Callable[[Any, Any, Tensor], Any] = lambda q, p, kl: 0.0
    few: tuple[Callable[[Tensor], Tensor], int] | None = None
    of_encoder: tuple[Callable[[Tensor], Tensor], int] | None = None


def mmd2_gaussian(q: Any, p: Any, h: float) -> Tensor:
    """MMD² of two Gaussians in one dimension, with a Gaussian kernel of bandwidth h, in closed form."""

    def mean_kernel(mean, variance):
        return h / (h**2 + variance).sqrt() * (-(mean**2) / (2 * (h**2 + variance))).exp()

    within = mean_kernel(0 * q.mean, 2 * q.variance) + mean_kernel(0 * p.mean, 2 * p.variance)
    return (within - 2 * mean_kernel(q.mean - p.mean, q.variance + p.variance)).squeeze()


def mean(log_w: Tensor) -> Tensor:
    """The ELBO's estimate."""
    return log_w.mean(0)


def log_mean_w(log_w: Tensor) -> Tensor:
    """The estimate of IW_K."""
    return log_w.logsumexp(0) - np.log(len(log_w))


def mean_of_two_groups(log_w: Tensor) -> Tensor:
    """The estimate of MIWAE(2, K/2), with neighbours in different groups."""
    return (log_mean_w(log_w[::2]) + log_mean_w(log_w[1::2])) / 2


ONE = (mean, 1)  # the ELBO needs one draw
OBJECTIVES = [
    ObjectiveRow("elbo", objectives.ELBO(), mean, 1, closed_form=True, few=ONE),
    ObjectiveRow("beta", objectives.ELBO(samples=3, beta=0.7), mean, 3, closed_form=True, beta=0.7, few=ONE),
    ObjectiveRow("score", objectives.ELBO(samples=2, gradient="score_function"), mean, 2, closed_form=True, few=ONE),
    ObjectiveRow("monte_carlo", objectives.ELBOMonteCarlo(samples=2), mean, 2, few=ONE),
    ObjectiveRow("stl", objectives.ELBOMonteCarlo(samples=2, gradient="stl"), mean, 2, few=ONE),
    ObjectiveRow(
        "baseline", objectives.ELBOMonteCarlo(samples=3, gradient="score_function_baseline"), mean, 3, few=ONE
    ),
    ObjectiveRow(
        "free_bits",
        objectives.ELBO(free_bits=0.9),
        *(mean, 1),
        closed_form=True,
        penalty=lambda q, p, kl: kl.clamp(min=0.9) - kl,
    ),
    ObjectiveRow(
        "capacity",
        objectives.ELBO(capacity=9.0, gamma=3.0),
        *(mean, 1),
        closed_form=True,
        penalty=lambda q, p, kl: 3 * (kl - 9).abs() - kl,
    ),
    ObjectiveRow("beta_tc", objectives.BetaTC(train_size=1_000, beta=3.0, batch_size=64), mean, 1, closed_form=True),
    ObjectiveRow(
        "info",
        objectives.InfoVAE(samples=2, alpha=0.4, lam=2.6, bandwidth=0.8, batch_size=64),
        *(mean, 2),
        closed_form=True,
        beta=0.6,
        penalty=lambda q, p, kl: 2 * mmd2_gaussian(q, p, 0.8),
        few=ONE,
    ),
    ObjectiveRow("iwae", objectives.IWAE(samples=2), log_mean_w, 2),
    ObjectiveRow("dreg", objectives.IWAE(samples=2, gradient="dreg"), log_mean_w, 2),
    ObjectiveRow("vimco", objectives.IWAE(samples=2, gradient="vimco"), log_mean_w, 2),
    ObjectiveRow(
        "miwae", objectives.MIWAE(samples=2, groups=2, gradient="dreg"), mean_of_two_groups, 4, few=(log_mean_w, 2)
    ),
    ObjectiveRow(
        "ciwae", objectives.CIWAE(samples=2, beta=0.3), lambda log_w: 0.3 * mean(log_w) + 0.7 * log_mean_w(log_w), 2
    ),
    ObjectiveRow("piwae", objectives.PIWAE(samples=1, groups=2), log_mean_w, 2, of_encoder=ONE),
    ObjectiveRow("renyi", objectives.Renyi(samples=2, alpha=0.6), lambda log_w: log_mean_w(0.4 * log_w) / 0.4, 2),
]


def build(
    likelihood: FamilyRow,
    posterior: FamilyRow = diagonal,
    prior: PriorRow = PRIORS[0],
    network: str = "mlp",
    x_shape: Sequence[int] = (2, 3),
    target_shape: Sequence[int] = (4, 1),
    latents: int = P,
    condition_size: int = 0,
) -> VAE:
    """A model in float64 with generic weights."""
    torch.manual_seed(0)
    families_of = posterior.build((latents,)).float(), likelihood.build(target_shape).float()
    chosen = prior.make(x_shape, (latents,))
    vae = VAE.build(x_shape, *families_of, chosen, NETWORKS[network], condition_size).double()
    for parameter in (*vae.prior.parameters(), *vae.encoder.network.parameters(), *vae.decoder.network.parameters()):
        nn.init.normal_(parameter, std=0.5)
    return vae


@cache
def has_closed_form(posterior: FamilyRow, prior: PriorRow) -> bool:
    """True if torch or vaelab has a closed form of KL(q ‖ p) for the two."""
    vae = build(LIKELIHOODS[0], posterior, prior)
    return families.closed_form_kl(vae.encode(torch.zeros(2, 3).double()), vae.prior()) is not None


@cache
def is_possible(posterior: FamilyRow, prior: PriorRow, objective: ObjectiveRow) -> bool:
    """False if the objective refuses the posterior, or needs a closed form of the KL that the two don't have."""
    if objective.closed_form and not has_closed_form(posterior, prior):
        return False
    try:
        objective.objective.check(build(LIKELIHOODS[0], posterior, prior))
    except ValueError:
        return False
    return True


def pairwise() -> list[Any]:
    """Combinations of a likelihood, a posterior, a prior and an objective.

    Each two of posterior, prior and objective that fit together meet, and so do each likelihood and objective.
    """
    lists = LIKELIHOODS, POSTERIORS, PRIORS, OBJECTIVES
    fitting = [row for row in itertools.product(*lists) if is_possible(*row[1:])]
    left = {pair for row in fitting for pair in _pairs(row)}
    chosen = []
    while left:
        best = max(fitting, key=lambda row: len(left & _pairs(row)))
        left -= _pairs(best)
        chosen.append(best)
    return chosen


def _pairs(row: Sequence[Any]) -> set[Any]:
    likelihood, posterior, prior, objective = row
    meet = (likelihood, objective), (posterior, prior), (posterior, objective), (prior, objective)
    return {(place, one.name, other.name) for place, (one, other) in enumerate(meet)}


def named(rows: Sequence[Any]) -> dict[str, Any]:
    """For `pytest.mark.parametrize(argument, **named(rows))`."""
    names = [row.name if hasattr(row, "name") else "-".join(each.name for each in row) for row in rows]
    return {"argvalues": rows, "ids": names}
