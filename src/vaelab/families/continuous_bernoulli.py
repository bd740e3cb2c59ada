"""The continuous Bernoulli family, for grey pixels from 0 to 1."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from vaelab.checks import check_number
from vaelab.families.family import Family, Support
from vaelab.families.joint import joint
from vaelab.families.maximum_likelihood import moments

NEAR = 0.5  # |l| below which a series replaces a difference of nearly equal numbers
# Coefficients of the series around l = 0, in powers of l². The next terms are below 4e-16 for |l| < NEAR.
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)  # the numbers B_2n
MEAN = tuple(b / math.factorial(2 * n) for n, b in enumerate(BERNOULLI, 1))  # · l
LOG_NORMALIZER = tuple(c / (2 * n) for n, c in enumerate(MEAN, 1))  # · l²
VARIANCE = tuple(c * (2 * n - 1) for n, c in enumerate(MEAN, 1))


class TiltedUniform(Distribution):
    """p(t) ∝ exp(l·t) on [0, 1], elementwise: the continuous Bernoulli with logits l.

    log p(t) = l·(t − ½) − log(sinh(l/2) / (l/2)), so the sign of l only mirrors it. Near l = 0, all of its formulas
    divide two small numbers. There, a series takes their place: both are computed, and none of them reads a value.
    torch's class has a series too, but where it ends, the float32 gradient is off by up to 0.003, and |l| ends at 16.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        self.near = logits.abs() < NEAR
        self.size = logits.abs().where(~self.near, 1)  # |l|, and away from 0 for the closed forms
        self.square = logits.where(self.near, 0).square()  # l², for the series
        super().__init__(logits.shape, validate_args=False)

    def _log_normalizer(self) -> Tensor:
        """log(sinh(l/2) / (l/2))."""
        far = self.size / 2 + (-torch.expm1(-self.size)).log() - self.size.log()
        return (self.square * _series(LOG_NORMALIZER, self.square)).where(self.near, far)

    def log_prob(self, value: Tensor) -> Tensor:
        """(…) -> (…), nats."""
        return self.logits * (value - 0.5) - self._log_normalizer()

    @property
    def mean(self) -> Tensor:
        """½ + coth(l/2)/2 − 1/l."""
        far = (0.5 / (self.size / 2).tanh() - 1 / self.size) * self.logits.sign()
        return 0.5 + (self.logits * _series(MEAN, self.square)).where(self.near, far)

    @property
    def variance(self) -> Tensor:
        """1/l² − 1/(4 sinh²(l/2))."""
        e = (-self.size).exp()
        far = 1 / self.size.square() - e / (1 - e).square()
        return _series(VARIANCE, self.square).where(self.near, far)

    def entropy(self) -> Tensor:
        """(…), nats."""
        return self._log_normalizer() - self.logits * (self.mean - 0.5)

    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """(*sample_shape, …), by the inverse of the distribution function."""
        with torch.no_grad():
            size = self.logits.abs().clamp_min(1e-6)
            u = torch.rand(torch.Size(sample_shape) + self.batch_shape, dtype=size.dtype, device=size.device)
            t = (-torch.log1p(u * torch.expm1(-size)) / size).clamp(0, 1)  # it falls from 0 to 1
            return t.where(self.logits < 0, 1 - t)


def _series(coefficients: Sequence[float], square: Tensor) -> Tensor:
    """Σ c_n · (l²)ⁿ."""
    total = torch.full_like(square, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = coefficient + square * total
    return total


class ContinuousBernoulli(Family):
    """p(t|z) = Π C(y_m) y_m^t_m (1−y_m)^(1−t_m) over t in [0, 1], y = sigmoid(l), log C(y) = log(l / (2y − 1)).

    Without C, it is no density, and the score then depends on how far the pixels are from ½. log p(t|z) has no upper
    limit if t is exactly 0 or 1, as most pixels of a digit are. So l = max_logit·tanh(raw / max_logit).
    Source: Loaiza-Ganem & Cunningham 2019, arxiv.org/abs/1907.06845.

    >>> p = ContinuousBernoulli((5,))(torch.zeros(7, 5))  # uniform
    >>> p.mean.unique(), p.log_prob(torch.rand(5)).unique()
    (tensor([0.5000]), tensor([0.]))

    Args:
        event_shape: the shape of one draw.
        max_logit: the largest |l|. At that limit, σ is 1 / max_logit and log p(0) or log p(1) is log max_logit.

    Raises:
        ValueError: `max_logit` is not a positive number.
    """

    pure = True
    support: ClassVar[Support] = "unit_interval"

    def __init__(self, event_shape: Sequence[int], max_logit: float = 100.0) -> None:
        super().__init__(event_shape)
        self.max_logit = check_number("max_logit", max_logit, 0, above=True)
        self.num_parameters = self.event_size

    def forward(self, parameters: Tensor) -> Distribution:
        """(…, k) raw logits -> the distribution with batch_shape (…)."""
        logits = self.max_logit * (parameters / self.max_logit).tanh().unflatten(-1, self.event_shape)
        return joint(TiltedUniform(logits), logits, self.event_shape)

    def at_mean(self, mean: Tensor) -> Tensor:
        """The data's mean, event_shape -> the raw logits (k,) of a distribution with that mean."""
        wanted, high = mean.flatten().double(), torch.full((mean.numel(),), 0.999 * self.max_logit).double()
        low = -high
        for _ in range(60):  # halves an interval in which the mean grows with l
            middle = (low + high) / 2
            below = TiltedUniform(middle).mean < wanted
            low, high = middle.where(below, low), high.where(below, middle)
        return (self.max_logit * (high / self.max_logit).atanh()).to(mean.dtype)

    def fit_(self, target: Tensor) -> Tensor:
        """See `Family.fit_`: the logits at which the mean is the sample mean, as in every exponential family."""
        return self.at_mean(moments(target.flatten(1))[0])
