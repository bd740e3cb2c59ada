"""The Bernoulli family, for binary data."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, distributions
from torch.distributions import Distribution, Independent, register_kl
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from vaelab.families.family import Family, Support
from vaelab.families.maximum_likelihood import moments
from vaelab.families.relaxed_draws import logistic_noise, straight_through
from vaelab.precision import floating, least_single
from vaelab.torch_private import has_readable_values, is_transformed


def _targets(value: Tensor, logits: Tensor) -> Tensor:
    """The targets in the dtype of the logits. Integer targets must be 0 or 1.

    Training uses floating-point targets. They are not checked, so a training step pays nothing for this.
    """
    real = floating(value, logits)
    if value.is_floating_point() or value.dtype == torch.bool or not has_readable_values(value):
        return real
    if (wrong := value[(value != 0) & (value != 1)]).numel():
        raise ValueError(
            f"binary targets must be 0 or 1, but one is {wrong[0].item()}; divide grey values by 255 and binarise them"
        )
    return real


class LogitBernoulli(distributions.Bernoulli):
    """torch's Bernoulli with logits l, and log p(t) = t·log y + (1−t)·log(1−y), y = sigmoid(l)."""

    def log_prob(self, value: Tensor) -> Tensor:
        """log p of each value, in nats; broadcasts. It is a log-probability if the value is 0 or 1.

        Raises:
            ValueError: a value of an integer dtype is neither 0 nor 1.
        """
        value = _targets(value, self.logits)
        logits, value = torch.broadcast_tensors(self.logits.to(value.dtype), value)
        return -binary_cross_entropy_with_logits(logits, value, reduction="none")


class JointBernoulli(Independent):
    """Independent `LogitBernoulli`s over a whole event. Without gradients, `log_prob` takes half as long as torch's.

    Σ_m log p(t_m) = Σ_groups log Π_m sigmoid((2t_m−1)·l_m): one logarithm for up to 8 binary values. The sum is the
    same up to rounding. The terms are summed one by one if gradients are on, inside torch.func, in half precision, for
    values other than 0 and 1, and if a product would underflow.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """(…, *event_shape) -> (…), nats.

        Raises:
            ValueError: as for `LogitBernoulli`.
        """
        logits, value = self.base_dist.logits, _targets(value, self.base_dist.logits)
        if torch.is_grad_enabled() or is_transformed():
            return super().log_prob(value)
        half = logits.dtype not in (torch.float32, torch.float64)  # 1 − 10⁻³ is 1 in bfloat16
        if half or not torch.equal(value * value, value):
            return super().log_prob(value)
        signed = ((2 * value - 1) * logits).flatten(-len(self.event_shape))
        factors = next(n for n in range(8, 0, -1) if signed.shape[-1] % n == 0)
        products = signed.sigmoid_().unflatten(-1, (factors, -1)).prod(-2)
        if (products < torch.finfo(products.dtype).tiny).any():
            return super().log_prob(value)
        return products.log_().sum(-1)

    @property
    def mode(self) -> Tensor:
        """(…, *event_shape), 0 or 1. torch's is NaN if both are equally likely."""
        return (self.base_dist.logits > 0).to(self.base_dist.logits.dtype)

    def relaxed_rsample(self, sample_shape: Sequence[int], temperature: float) -> Tensor:
        """Straight-through draws: 0 or 1, with the gradient of sigmoid((logits + logistic noise) / temperature).

        Jang et al. 2017, arxiv.org/abs/1611.01144, §2.2; Maddison et al. 2017, arxiv.org/abs/1611.00712, appendix B.

        Args:
            sample_shape: the shape before the batch.
            temperature: τ > 0.
        """
        logits = self.base_dist.logits
        scores = logits + logistic_noise(torch.Size(sample_shape) + logits.shape, logits)
        draw = (scores > 0).to(scores.dtype)
        return straight_through(draw, (scores / temperature).sigmoid()).to(logits.dtype)


@register_kl(JointBernoulli, JointBernoulli)
def _kl_bernoulli(q: JointBernoulli, p: JointBernoulli) -> Tensor:
    """Σ_j y_j log(y_j / r_j) + (1−y_j) log((1−y_j) / (1−r_j)), finite for any logits."""
    one, other = (least_single(each.base_dist.logits) for each in (q, p))
    terms = one.sigmoid() * (logsigmoid(one) - logsigmoid(other))
    terms = terms + (-one).sigmoid() * (logsigmoid(-one) - logsigmoid(-other))
    return terms.sum(tuple(range(-len(q.event_shape), 0))).to(q.base_dist.logits.dtype)


class Bernoulli(Family):
    """p(t|z) = Π y_m^t_m (1−y_m)^(1−t_m) over binary t, with y = sigmoid(logits).

    log p(t|z) = Σ t_m log y_m + (1−t_m) log(1−y_m) is a log-probability, in nats, only if every t is 0 or 1. `log_prob`
    refuses all other integers. It doesn't check floating-point values, because that would cost time in every step, so
    it computes the formula for grey values too. The data modules, `VAEModule` and `vaelab.evaluation` refuse those.
    Kingma & Welling 2014, appendix C.1; the tutorial's §5.1, eqs. 27-28.

    >>> p = Bernoulli((5,))(torch.zeros(7, 5))  # logits
    >>> p.mean.unique(), p.log_prob(torch.ones(5)).shape
    (tensor([0.5000]), torch.Size([7]))
    """

    pure = True
    support: ClassVar[Support] = "binary"

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__(event_shape)
        self.num_parameters = self.event_size

    def forward(self, parameters: Tensor) -> Distribution:
        """(…, k) logits -> Bernoulli(sigmoid(logits)), batch_shape (…)."""
        logits = parameters.unflatten(-1, self.event_shape)
        bernoulli = LogitBernoulli(logits=logits, validate_args=False)
        return JointBernoulli(bernoulli, len(self.event_shape), validate_args=False)

    def at_mean(self, mean: Tensor) -> Tensor:
        """The data's mean, event_shape -> its logits (k,), with each pixel's mean clamped to 0.001 … 0.999."""
        return torch.logit(mean.flatten(), eps=1e-3)

    def fit_(self, target: Tensor) -> Tensor:
        """See `Family.fit_`: the logits of the sample means, with each mean kept from 0.001 to 0.999."""
        return self.at_mean(moments(target.flatten(1))[0])
