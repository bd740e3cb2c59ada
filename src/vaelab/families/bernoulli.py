"""Binary data."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, distributions
from torch.distributions import Distribution, Independent
from torch.nn.functional import softplus

from vaelab.families.family import Family, Support


class LogitBernoulli(distributions.Bernoulli):
    """torch's Bernoulli by its logits l, with log p(t) = −log(1 + exp((1−2t)·l)): half of the passes over memory."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Of each value, 0 or 1, nats; broadcasts."""
        return -softplus((1 - 2 * value) * self.logits, threshold=40)  # beyond, softplus(l) is l in float64 too


class JointBernoulli(Independent):
    """Independent `LogitBernoulli`s over a whole event; without gradients, half of the time of the sum of their terms.

    Σ_m log p(t_m) = Σ_groups log Π_m sigmoid((2t_m−1)·l_m): one logarithm for up to 8 values, the same sum up to
    rounding. Where a product would underflow, for gradients and in half precision the terms are summed one by one.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """(…, *event_shape) -> (…), nats."""
        signed = (2 * value - 1) * self.base_dist.logits
        if torch.is_grad_enabled() or signed.dtype not in (torch.float32, torch.float64):  # 1 − 10⁻³ is 1 in bfloat16
            return super().log_prob(value)
        signed = signed.flatten(-len(self.event_shape))
        factors = next(n for n in range(8, 0, -1) if signed.shape[-1] % n == 0)
        products = signed.sigmoid_().unflatten(-1, (factors, -1)).prod(-2)
        if (products < torch.finfo(products.dtype).tiny).any():
            return super().log_prob(value)
        return products.log_().sum(-1)


class Bernoulli(Family):
    """p(t|z) = Π y_m^t_m (1−y_m)^(1−t_m) over binary t, with y = sigmoid(logits).

    log p(t|z) = Σ t_m log y_m + (1−t_m) log(1−y_m) is a log-probability, in nats, for t in {0, 1} alone; grey values
    are not refused here, since a check would cost every batch: the data modules serve binary data to this family.
    Kingma & Welling 2014, appendix C.1; the tutorial's §5.1, eqs. 27-28.
    """

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
        """The mean of the data, its event_shape -> its logits (k,), each pixel's mean between 0.001 and 0.999."""
        return torch.logit(mean.flatten(), eps=1e-3)
