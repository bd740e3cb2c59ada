"""Estimators of the gradient for φ, the parameters of q(z|x). `objective.gradient` chooses one by name.

A bound is a function b of the log-weights of one example's draws: their mean for the ELBO, log (1/K) Σ_k w_k for IW_K.
All estimators give the same value. With a_k = ∂b/∂log w_k, their gradients for φ are

    pathwise                 Σ_k a_k (∂_z log w_k · ∂_φ z_k − ∂_φ log q(z_k|x)), with z = g_φ(ε, x)
    stl                      Σ_k a_k ∂_z log w_k · ∂_φ z_k: the same without the score ∂_φ log q
    dreg                     Σ_k c_k ∂_z log w_k · ∂_φ z_k, with c_k = a_k − ∂a_k/∂log w_k; for IW_K, c_k = a_k²
    score_function           Σ_k (b − a_k) ∂_φ log q(z_k|x)
    score_function_baseline  Σ_k (b − b_k − a_k) ∂_φ log q(z_k|x), with b_k the bound of the other K − 1 draws
    vimco                    the same, with b_k the bound if log w_k is replaced by the mean of the others
    gumbel_softmax           pathwise through a relaxed draw; the value is that of the discrete draw

The score has mean zero. So for the ELBO, the score functions leave out a_k, and weigh draw k by its own f(z_k) − b_k.

Sources, in this order: Kingma & Welling 2014, §2.4; Roeder et al. 2017, arxiv.org/abs/1703.09194; Tucker et al.
2019, arxiv.org/abs/1810.04152; Williams 1992; Mnih & Rezende 2016, arxiv.org/abs/1602.06725, for both baselines;
Jang et al. 2017, arxiv.org/abs/1611.01144, §2.2. docs/options/gradients.md derives c_k.
"""

from collections.abc import Callable
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaelab.checks import check_choice, check_number
from vaelab.objectives.example_distributions import posterior_of
from vaelab.objectives.importance import Draws, draw, mean
from vaelab.seeded import seeded
from vaelab.vae import VAE

GradientName = Literal[
    "pathwise", "stl", "dreg", "score_function", "score_function_baseline", "vimco", "gumbel_softmax"
]
Bound = Callable[[Tensor, Tensor | None], Tensor]  # log w and log_share, (K, …) -> b (…)
PathScale = Callable[[Tensor], Tensor]  # log w (K, …) -> c/a (K, …)


class Estimator(Protocol):
    """A way to draw z, and to compute an average or a bound over the draws with a gradient for φ."""

    def posterior(self, vae: VAE, x: Tensor, condition: Tensor | None) -> tuple[Distribution, Distribution]:
        """Returns q(z|x), from which z is drawn, and the same distribution as log w contains it."""

    def draw(self, q: Distribution, samples: int) -> Draws:
        """z ~ q, (L, B, p)."""

    def mean(self, values: Tensor, draws: Draws) -> Tensor:
        """f(z_l), (L, B) -> their mean, (B,), with the gradient of E_q[f]."""

    def bound(self, bound: Bound, path_scale: PathScale, log_w: Tensor, draws: Draws) -> Tensor:
        """Log-weights (K, …) -> b(log w), (…), with the gradient of its expectation."""


class Pathwise:
    """The reparameterisation trick."""

    name = "pathwise"

    def posterior(self, vae: VAE, x: Tensor, condition: Tensor | None) -> tuple[Distribution, Distribution]:
        q = vae.encode(x, condition)
        return q, q

    def draw(self, q: Distribution, samples: int) -> Draws:
        stratified: Any = getattr(q, "stratified_rsample", None)
        if stratified is not None:
            z, log_share = stratified(samples)
            return Draws(z, None, log_share)
        if not q.has_rsample:
            raise ValueError(
                f"objective.gradient must be a score function or gumbel_softmax for {_name(q)}, whose draws have no "
                f"derivative, but is {self.name}; use objective.gradient=gumbel_softmax, or score_function_baseline "
                "with objective.samples=2"
            )
        return draw(q, samples)

    def mean(self, values: Tensor, draws: Draws) -> Tensor:
        return mean(values, draws.log_share)

    def bound(self, bound: Bound, path_scale: PathScale, log_w: Tensor, draws: Draws) -> Tensor:
        return bound(log_w, _shaped(draws.log_share, log_w))


class StickingTheLanding(Pathwise):
    """Drops the score of q. That is unbiased for the ELBO, and biased for other bounds."""

    name = "stl"

    def posterior(self, vae: VAE, x: Tensor, condition: Tensor | None) -> tuple[Distribution, Distribution]:
        return with_detached(vae, x, condition)

    def draw(self, q: Distribution, samples: int) -> Draws:
        return super().draw(q, samples)._replace(log_qz=None)  # it has the score


class DoublyReparameterized(StickingTheLanding):
    """Writes the score's part as a second pathwise gradient: scales the gradient that reaches z by c/a."""

    name = "dreg"

    def draw(self, q: Distribution, samples: int) -> Draws:
        if hasattr(q, "stratified_rsample"):
            raise ValueError(
                f"objective.gradient must be pathwise or stl for the stratified draws of {_name(q)}, but is dreg; use "
                "objective.gradient=pathwise"
            )
        return super().draw(q, samples)

    def bound(self, bound: Bound, path_scale: PathScale, log_w: Tensor, draws: Draws) -> Tensor:
        if draws.z.requires_grad:
            scale = _shaped(path_scale(log_w.detach()), draws.z[..., 0]).unsqueeze(-1)  # (K, B, 1)
            draws.z.register_hook(lambda slope: slope * scale.to(slope.dtype))
        return bound(log_w, None)


class ScoreFunction:
    """Needs no derivative of a draw or of f, so it works for every q, discrete ones too.

    Args:
        baseline: log w of the other K − 1 draws, (K − 1, K, …) -> the log-weights whose bound is b_k; None means b = 0.
    """

    def __init__(self, baseline: Callable[[Tensor], Tensor] | None) -> None:
        self.baseline = baseline

    def posterior(self, vae: VAE, x: Tensor, condition: Tensor | None) -> tuple[Distribution, Distribution]:
        q = vae.encode(x, condition)
        return q, q

    def draw(self, q: Distribution, samples: int) -> Draws:
        z = q.sample(torch.Size((samples,)))
        log_qz = q.log_prob(z)
        return Draws(z, log_qz.detach(), score=log_qz - log_qz.detach())

    def mean(self, values: Tensor, draws: Draws) -> Tensor:
        baseline = 0.0 if self.baseline is None else (values.sum(0) - values) / (len(values) - 1)  # of the others
        return (values + (values - baseline).detach() * _shaped(draws.score, values)).mean(0)

    def bound(self, bound: Bound, path_scale: PathScale, log_w: Tensor, draws: Draws) -> Tensor:
        score = _shaped(draws.score, log_w)
        value = bound(log_w - score, None)  # −a_k ∂ log q
        baseline = 0.0 if self.baseline is None else bound(self.baseline(_others(log_w)), None)
        return value + ((value - baseline).detach() * score).sum(0)


class GumbelSoftmax(Pathwise):
    """The straight-through gradient of a relaxed draw: biased, with less variance than a score function's."""

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature

    def draw(self, q: Distribution, samples: int) -> Draws:
        relaxed: Any = getattr(q, "relaxed_rsample", None)
        if relaxed is None:
            raise ValueError(
                f"objective.gradient=gumbel_softmax needs a discrete posterior, but {_name(q)} has no relaxed draws; "
                "use objective.gradient=pathwise, or posterior=bernoulli or categorical"
            )
        return Draws(relaxed(torch.Size((samples,)), self.temperature), None)


def leave_out(others: Tensor) -> Tensor:
    """The others as they are, so b_k is the bound of K − 1 draws."""
    return others


def replace_by_mean(others: Tensor) -> Tensor:
    """The others and their mean: the geometric mean of their weights stands for the weight of draw k."""
    return torch.cat([others, others.mean(0, keepdim=True)])


ESTIMATORS: dict[str, Callable[[float], Estimator]] = {
    "pathwise": lambda temperature: Pathwise(),
    "stl": lambda temperature: StickingTheLanding(),
    "dreg": lambda temperature: DoublyReparameterized(),
    "score_function": lambda temperature: ScoreFunction(None),
    "score_function_baseline": lambda temperature: ScoreFunction(leave_out),
    "vimco": lambda temperature: ScoreFunction(replace_by_mean),
    "gumbel_softmax": GumbelSoftmax,
}


def check_gradient(name: str, temperature: float, samples: int, without: tuple[str, ...] = ()) -> None:
    """Checks the keys that choose an estimator.

    Raises:
        ValueError: the name is unknown or in `without`, the estimator needs more samples, or the temperature is not
            positive.
    """
    check_choice("objective.gradient", name, [each for each in ESTIMATORS if each not in without])
    check_number("objective.temperature", temperature, 0, above=True)
    if name in ("score_function_baseline", "vimco") and samples < 2:
        raise ValueError(
            f"objective.samples must be at least 2 for objective.gradient={name}, but is {samples}, and the baseline "
            "averages the other samples; use objective.samples=2 or more"
        )


@torch.no_grad()
def check_draws(estimator: Estimator, vae: VAE) -> None:
    """Raises a ValueError if an estimator cannot draw from the posterior of a model."""
    q = posterior_of(vae)
    if q is not None:
        with seeded(0):
            estimator.draw(q, 1)


def with_detached(vae: VAE, x: Tensor, condition: Tensor | None) -> tuple[Distribution, Distribution]:
    """q(z|x), and the same distribution with all of its parameters cut off from the gradient."""
    make: Any = getattr(vae.encoder, "with_detached", None)
    if make is None:
        raise ValueError(
            "the encoder must have a method with_detached, as vaelab.Conditional has it, but "
            f"{type(vae.encoder).__name__} has none; add it, or use objective=iwae with objective.gradient=pathwise"
        )
    found: tuple[Distribution, Distribution] = make(x, condition)
    return found


def _others(values: Tensor) -> Tensor:
    """(K, …) -> (K − 1, K, …): for each draw, the values of all others, without a gradient."""
    places = torch.arange(len(values), device=values.device)
    return values.detach()[(places[1:].unsqueeze(1) + places) % len(values)]


def _shaped(tensor: Any, like: Tensor) -> Any:
    """A tensor of (M·K, B) in the shape of another one, such as (K, M, B); None stays None."""
    return tensor if tensor is None else tensor.reshape(like.shape)


def _name(q: Distribution) -> str:
    return type(q).__name__
