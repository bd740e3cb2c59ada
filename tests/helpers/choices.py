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
from scipy import linalg, special, stats
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
        unit: the least size of an event; sizes are multiples of it.
    """

    name: str
    make: Callable[[Sequence[int]], families.Family]
    truth: Callable[[Any, np.ndarray], Any] | None = None
    shapes: tuple[tuple[int, ...], ...] = ((5,), (3, 5))
    unit: int = 1

    @property
    def support(self) -> str:
        return self.make((self.unit,)).support

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
    optimal := FamilyRow(
        "optimal",
        lambda event_shape: families.IsotropicGaussian(event_shape, **SCALES, optimal=True).eval(),
        lambda family, n: stats.norm(n, std(0)),
    ),
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


class OverLevels:
    """Independent numbers with the same few values (m,) and their probabilities, (k, m), after scipy's interface."""

    def __init__(self, values, probabilities):
        self.values, self.p = values, probabilities

    def logpmf(self, t):
        return np.log(self.p[np.arange(len(t)), np.abs(self.values - t[:, None]).argmin(1)])

    def cdf(self, t):
        return (self.p * (self.values <= t[..., None] + 1e-9)).sum(-1)

    def mean(self):
        return self.p @ self.values

    def var(self):
        return self.p @ self.values**2 - self.mean() ** 2

    def entropy(self):
        return -special.xlogy(self.p, self.p).sum(-1)


class Tilted:
    """p(t) ∝ exp(l·t) on [0, 1]: scipy's truncated exponential, mirrored if l > 0."""

    def __init__(self, logits):
        self.up, self.known = logits > 0, stats.truncexpon(np.abs(logits), scale=1 / np.abs(logits))
        self.logits, self.entropy = logits.astype(np.longdouble), self.known.entropy

    def logpdf(self, t):
        return self.known.logpdf(np.where(self.up, 1 - t, t))

    def mean(self):
        return (0.5 + 0.5 / np.tanh(self.logits / 2) - 1 / self.logits).astype(float)  # scipy's loses digits

    def var(self):
        return (self.logits**-2 - 0.25 * np.sinh(self.logits / 2) ** -2).astype(float)


def _low_rank(family, numbers):
    k = family.event_size
    w = 0.7 / np.sqrt(2) * numbers[2 * k :].reshape(2, k)
    return stats.multivariate_normal(numbers[:k], w.T @ w + np.diag(std(numbers[k : 2 * k]) ** 2))


def _discretized(family, numbers):
    loc, h, *logits = numbers.reshape(-1, family.components, family.event_size)  # (n, k) each
    edges = np.array([-np.inf, 0.125, 0.375, 0.625, 0.875, np.inf])[:, None, None]  # between 0, ¼, ½, ¾ and 1
    parts = np.diff(special.expit((edges - loc) / (std(h) * np.sqrt(3) / np.pi)), axis=0)  # (5, n, k)
    weights = special.softmax(logits[0], axis=0) if logits else 1
    return OverLevels(np.arange(5) / 4, (weights * parts).sum(1).T)


def _student(family, numbers):
    df = 2.01 + np.exp(0.4) if family.df == "learned" else family.df
    loc, h = np.split(numbers, 2)
    return stats.t(df, loc, std(h) * np.sqrt((df - 2) / df))


def _negative_binomial(family, numbers):
    mean, r = np.exp(numbers[: len(numbers) // 2]), 1 / (0.02 + 0.3 * np.exp(numbers[len(numbers) // 2 :]))
    return stats.nbinom(r, r / (r + mean))


PIXELS = [
    continuous_bernoulli := FamilyRow(
        "continuous_bernoulli",
        partial(families.ContinuousBernoulli, max_logit=3.0),
        lambda family, n: Tilted(3 * np.tanh(n / 3)),
    ),
    discretized_logistic := FamilyRow(
        "discretized_logistic", partial(families.DiscretizedLogistic, levels=5, **SCALES), _discretized
    ),
    FamilyRow(
        "discretized_mixture", partial(families.DiscretizedLogistic, levels=5, components=2, **SCALES), _discretized
    ),
]
COUNTS = [
    poisson := FamilyRow("poisson", families.Poisson, lambda family, n: stats.poisson(np.exp(n))),
    negative_binomial := FamilyRow(
        "negative_binomial",
        partial(families.NegativeBinomial, min_dispersion=0.02, init_dispersion=0.3),
        _negative_binomial,
    ),
    categorical := FamilyRow(
        "categorical",
        partial(families.Categorical, categories=3),
        lambda family, n: OverLevels(np.arange(3), special.softmax(n.reshape(3, -1), axis=0).T),
    ),
]


def mixed(event_shape):
    """A family for a column of each kind in turn."""
    columns = int(np.prod([size for size in event_shape if type(size) is int]))
    kinds = [KINDS[m % len(KINDS)] for m in range(columns)]
    return families.Columns(event_shape, kinds, [3 * (kind == "category") for kind in kinds], **SCALES)


KINDS = ("category", "real", "count", "binary")

LIKELIHOODS = [
    *GAUSSIANS,
    columns := FamilyRow("columns", mixed),
    *PIXELS,
    *COUNTS,
    low_rank := FamilyRow("low_rank", partial(families.LowRankGaussian, rank=2, **SCALES), _low_rank),
    student_t := FamilyRow("student_t", partial(families.StudentT, df=7.0, **SCALES), _student),
    FamilyRow("student_t_learned", partial(families.StudentT, df="learned", **SCALES), _student),
    laplace := FamilyRow(
        "laplace",
        partial(families.Laplace, **SCALES),
        lambda family, n: stats.laplace(n[: len(n) // 2], std(n[len(n) // 2 :]) / np.sqrt(2)),
    ),
    bernoulli := FamilyRow("bernoulli", families.Bernoulli, lambda family, n: stats.bernoulli(special.expit(n))),
]


class OneHotTruth:
    """scipy's multinomial distributions of one draw each: the truth for joined one-hot vectors."""

    def __init__(self, logits: np.ndarray) -> None:
        self.parts = [stats.multinomial(1, probs) for probs in special.softmax(logits.reshape(-1, CLASSES), axis=-1)]
        self.mean = np.concatenate([part.mean() for part in self.parts])
        self.cov = linalg.block_diag(*[part.cov() for part in self.parts])

    def logpmf(self, z):
        z = z.reshape(*z.shape[:-1], -1, CLASSES)
        return sum(part.logpmf(z[..., index, :]) for index, part in enumerate(self.parts))

    def entropy(self):
        return sum(part.entropy() for part in self.parts)


def one_hot_of(event_shape: Sequence[int]) -> families.Family:
    return families.OneHotCategorical(event_shape[0] // CLASSES, CLASSES)


def every_z(family: families.Family) -> Tensor:
    """All values of discrete latents, (n, p), float64."""
    if isinstance(family, families.Bernoulli):
        return torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * family.event_size).view(
            -1, family.event_size
        )
    codes = torch.cartesian_prod(*[torch.arange(family.categories)] * family.latent_dim).view(-1, family.latent_dim)
    return torch.eye(family.categories).double()[codes].flatten(-2)


CLASSES = 3  # of each categorical latent
FLOW = {"context": 4, "transforms": 1, "hidden": [6], "bins": 4}
POSTERIORS = [
    diagonal,
    full,
    FamilyRow("spline", partial(families.Flow, kind="spline", **FLOW), shapes=((1,), (2,), (5,))),
    FamilyRow("affine", partial(families.Flow, kind="affine", **FLOW), shapes=((1,), (2,), (5,))),
    FamilyRow("mixture", partial(families.GaussianMixture, components=2, **SCALES), shapes=((1,), (5,))),
    FamilyRow("two_layers", partial(families.TwoLayers, top=1, hidden=[6]), shapes=((5,), (2,)), unit=2),
    bernoulli,
    one_hot := FamilyRow(
        "categorical_latents",
        one_hot_of,
        lambda family, n: OneHotTruth(n),
        shapes=((CLASSES,), (2 * CLASSES,)),
        unit=CLASSES,
    ),
]
FAMILIES = [*LIKELIHOODS, *(row for row in POSTERIORS if row not in LIKELIHOODS)]


@dataclass(frozen=True)
class PriorRow:
    """A prior.

    Attributes:
        name: shown in the tests.
        make: shape of x and shape of z -> the prior.
        parts: the model -> what its prior is a mixture of, as pairs of a weight and scipy's distribution; None if it is
            no mixture that scipy has. Then quadrature alone checks the density. For p(z|c), it takes the condition
            too, (c,).
        support: the kind of its latents.
        condition_size: how many numbers the condition of a conditional prior has; 0 for p(z).
        fewest: how many latents it needs.
    """

    name: str
    make: Callable[[Sequence[int], Sequence[int]], nn.Module]
    parts: Callable[..., list[tuple[float, Any]]] | None = None
    support: str = "real"
    condition_size: int = 0
    fewest: int = 1


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
    PriorRow(
        "bernoulli",
        lambda x, z: priors.DiscretePrior(families.Bernoulli(z)),
        lambda vae: [(1, stats.bernoulli(np.full(vae.prior.family.event_shape, 0.5)))],
        "binary",
    ),
    learned_bernoulli := PriorRow(
        "learned_bernoulli",
        lambda x, z: priors.DiscretePrior(families.Bernoulli(z), learned=True),
        lambda vae: [(1, stats.bernoulli(special.expit(vae.prior.numbers.detach().numpy())))],
        "binary",
    ),
    PriorRow(
        "categorical",
        lambda x, z: priors.DiscretePrior(one_hot_of(z)),
        lambda vae: [(1, OneHotTruth(np.zeros(vae.prior.family.event_size)))],
        "category",
    ),
    learned_categorical := PriorRow(
        "learned_categorical",
        lambda x, z: priors.DiscretePrior(one_hot_of(z), learned=True),
        lambda vae: [(1, OneHotTruth(vae.prior.numbers.detach().numpy()))],
        "category",
    ),
    mixture := PriorRow(
        "mixture",
        lambda x, z: priors.MixturePrior(families.DiagonalGaussian(z, **SCALES), components=4),
        lambda vae: [
            (weight, diagonal.truth(None, numbers))
            for weight, numbers in zip(
                special.softmax(vae.prior.logits.detach().numpy()), vae.prior.numbers.detach().numpy(), strict=True
            )
        ],
    ),
    PriorRow("flow", lambda x, z: priors.FlowPrior(z, transforms=2, hidden=[6])),
    PriorRow("two_layers", lambda x, z: priors.TwoLayerPrior(z, top=1, hidden=[6]), fewest=2),
]

C = 2  # numbers in a condition


def _conditional(name: str, family: Any, row: FamilyRow) -> PriorRow:
    """A row for p(z|c) with a family."""

    def parts(vae: VAE, condition: Tensor) -> list[tuple[float, Any]]:
        return [(1, row.truth(vae.prior.family, vae.prior.network(condition).detach().numpy()))]

    def make(x: Sequence[int], z: Sequence[int]) -> nn.Module:
        return priors.ConditionalPrior(family(z, **SCALES), hidden=[5], condition_size=C)

    return PriorRow(name, make, parts, condition_size=C)


# Tested by test_conditional_prior.py, because the contract of PRIORS is about p(z).
CONDITIONAL_PRIORS = [
    _conditional("conditional", families.DiagonalGaussian, diagonal),
    _conditional("conditional_full", families.FullGaussian, full),
]

# Constructors: (input_shape, output_size, condition_size=0) -> a network; or one for encoders and one for decoders.
CONV: dict[str, Any] = {"channels": [3, 4], "hidden": [7]}
NETWORKS: dict[str, Any] = {
    "mlp": partial(networks.MLP, hidden=[7]),
    "deep": partial(networks.MLP, hidden=[7, 6], activation="silu"),
    "linear": partial(networks.MLP, hidden=[]),
    "gated": partial(networks.GatedMLP, hidden=[7, 6]),
    "conv": {
        "encoder": partial(networks.ConvEncoder, **CONV),
        "decoder": partial(networks.ConvDecoder, **CONV),
    },
    "residual": {
        "encoder": partial(networks.ConvEncoder, activation="silu", blocks=1, **CONV),
        "decoder": partial(networks.ConvDecoder, activation="silu", blocks=1, **CONV),
    },
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
    ObjectiveRow("gumbel", objectives.ELBO(gradient="gumbel_softmax"), mean, 1, closed_form=True, few=ONE),
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
    posterior: FamilyRow | None = None,
    prior: PriorRow | None = None,
    network: str = "mlp",
    x_shape: Sequence[int] = (2, 3),
    target_shape: Sequence[int] = (4, 1),
    latents: int = P,
    condition_size: int = 0,
) -> VAE:
    """A model in float64 with generic weights. Posterior and prior are by default the first that fit each other."""
    torch.manual_seed(0)
    posterior = posterior or next(row for row in POSTERIORS if row.support == (prior.support if prior else "real"))
    prior = prior or prior_of(posterior)
    families_of = posterior.build((latents,)).float(), likelihood.build(target_shape).float()
    chosen = prior.make(x_shape, (latents,))
    size = condition_size or prior.condition_size
    vae = VAE.build(x_shape, *families_of, chosen, NETWORKS[network], size).double()
    for parameter in (*vae.prior.parameters(), *vae.encoder.network.parameters(), *vae.decoder.network.parameters()):
        nn.init.normal_(parameter, std=0.5)
    return vae


def prior_of(posterior: FamilyRow) -> PriorRow:
    """The first prior of the posterior's kind."""
    return next(row for row in PRIORS if row.support == posterior.support)


def fit(posterior: FamilyRow, prior: PriorRow) -> bool:
    """True if both have z of the same kind. A VampPrior has that of its posterior."""
    return prior is vamp or posterior.support == prior.support


def has_integrals(posterior: FamilyRow, prior: PriorRow) -> bool:
    """True if z may have one dimension, or is discrete: integrals and sums over z are then cheap."""
    return prior.fewest == 1 and (posterior.unit == 1 or posterior.support != "real")


@cache
def has_closed_form(posterior: FamilyRow, prior: PriorRow) -> bool:
    """True if torch or vaelab has a closed form of KL(q ‖ p) for the two."""
    vae = build(LIKELIHOODS[0], posterior, prior)
    return families.closed_form_kl(vae.encode(torch.zeros(2, 3).double()), vae.prior()) is not None


@cache
def is_possible(posterior: FamilyRow, prior: PriorRow, objective: ObjectiveRow) -> bool:
    """False if z has different kinds, the objective refuses the posterior, or the KL lacks a closed form it needs."""
    if not fit(posterior, prior):
        return False
    if objective.closed_form and not has_closed_form(posterior, prior):
        return False
    check = getattr(objective.objective, "check", lambda vae: None)
    try:
        check(build(LIKELIHOODS[0], posterior, prior))
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
