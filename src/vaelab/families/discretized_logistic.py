"""The discretised logistic family and its mixture: probabilities of the grey levels of an image."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, MixtureSameFamily
from torch.distributions.constraints import Constraint
from torch.nn.functional import logsigmoid

from vaelab.checks import check_whole
from vaelab.families.family import Support
from vaelab.families.joint import joint
from vaelab.families.learned_scale import INIT_STD, LearnedScale
from vaelab.precision import least_single

LEVELS, MOST = 256, 2**16
PER_STD = math.sqrt(3) / math.pi  # the scale of a logistic distribution with σ = 1


class LogisticLevels(Distribution):
    """P(t = k/(g−1)) for k = 0, …, g−1, elementwise: a logistic distribution, rounded to the nearest grey level.

    With the distribution function F(a) = sigmoid((a − μ) / s), P = F(t + h) − F(t − h), where h = 1 / (2(g−1)). The
    lowest level also takes everything below it, and the highest everything above. In logarithms,

        log(sigmoid(b) − sigmoid(a)) = log sigmoid(b) + log sigmoid(−a) + log(1 − exp(a − b))

    is exact far out in the tails, and b − a = 2h/s does not depend on t.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}

    def __init__(self, loc: Tensor, scale: Tensor, levels: int) -> None:
        self.loc, self.scale, self.levels = loc, scale, levels
        super().__init__(loc.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """(…) -> (…), nats: a log-probability."""
        half = 0.5 / (self.levels - 1)
        lowest, highest = value < half, value > 1 - half
        below = logsigmoid((value + half - self.loc) / self.scale).where(~highest, 0)
        above = logsigmoid((self.loc - value + half) / self.scale).where(~lowest, 0)
        width = (-torch.expm1(-2 * half / self.scale)).log().where(~(lowest | highest), 0)
        return below + above + width

    def _moments(self) -> tuple[Tensor, Tensor, Tensor]:
        """A level c near the mean, and E[k − c] and E[(k − c)²]: around 0, float32 would lose a small variance.

        With d = j − c and T_j = P(k ≥ j) for j > c, else −P(k < j), they are Σ_j T_j and Σ_j (2d − 1)·T_j, over
        j = 1, …, g−1. One j at a time saves memory.
        """
        top = self.levels - 1
        centre = (self.loc.detach() * top).round().clamp(0, top)
        first, second = torch.zeros_like(self.loc), torch.zeros_like(self.loc)
        for j in range(1, self.levels):
            above, distance = (self.loc - (j - 0.5) / top) / self.scale, j - centre
            tail = _sigmoid(above).where(distance > 0, -_sigmoid(-above))
            first, second = first + tail, second + (2 * distance - 1) * tail
        return centre, first, second

    @property
    def mean(self) -> Tensor:
        """(…): the mean of t, not of the logistic distribution."""
        centre, first, _ = self._moments()
        return (centre + first) / (self.levels - 1)

    @property
    def variance(self) -> Tensor:
        """(…): the variance of t."""
        _, first, second = self._moments()
        return (second - first.square()).clamp_min(0) / (self.levels - 1) ** 2

    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """(*sample_shape, …): grey levels k/(g−1)."""
        with torch.no_grad():
            shape, top = torch.Size(sample_shape) + self.batch_shape, self.levels - 1
            u = torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device)
            return ((self.loc + self.scale * u.logit()) * top).round().clamp(0, top) / top


def _sigmoid(x: Tensor) -> Tensor:
    """sigmoid(x), with a small relative error far below 0 in onnxruntime too, whose own has a small absolute one."""
    return x.clamp(max=0).exp() / (1 + (-x.abs()).exp())


class DiscretizedLogistic(LearnedScale):
    """P(t|z) over grey levels t = k/(g−1), with a mean and a scale for every pixel and example, or a mixture of them.

    It scores 8-bit images as they are: log P is a log-probability. The channels of a colour image are independent given
    z. Source: Salimans et al. 2017, arxiv.org/abs/1701.05517, §2.1.

    >>> p = DiscretizedLogistic((3, 5), levels=4)(torch.zeros(7, 30))
    >>> round(sum(p.log_prob(torch.full((3, 5), k / 3)).div(15).exp()[0].item() for k in range(4)), 3)
    1.0

    Args:
        event_shape: the shape of one image.
        levels: g, the number of grey levels; None stands for 256, as in 8-bit images.
        components: the number of logistic distributions that are mixed in each pixel.
        min_std: the floor of a component's σ, before it is rounded. log P is at most 0 with any floor.
        init_std: about where σ starts.

    Raises:
        ValueError: `levels` is below 2 or above 65,536, `components` is below 1, `min_std` is negative or `init_std` is
            not positive.
    """

    pure = True
    support: ClassVar[Support] = "levels"

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int | None = None,
        components: int = 1,
        min_std: float = 0.001,
        init_std: float = INIT_STD,
    ) -> None:
        super().__init__(event_shape, min_std, init_std)
        self.levels = check_whole("model.levels", LEVELS if levels is None else levels, 2)
        if self.levels > MOST:
            raise ValueError(f"model.levels must be at most {MOST:,}, but is {levels:,}; use model=gaussian")
        self.components = check_whole("model.components", components, 1)
        self.num_parameters = (2 if components == 1 else 3 * components) * self.event_size

    def forward(self, parameters: Tensor) -> Distribution:
        """(…, 2k) or (…, 3nk) numbers: n times the means, h, and with n > 1 the logits -> batch_shape (…)."""
        # In float16 the gradient of a small scale would overflow.
        numbers = (
            least_single(parameters).unflatten(-1, (-1, *self.event_shape)).movedim(-1 - len(self.event_shape), -1)
        )
        if self.components == 1:
            loc, h = numbers.unbind(-1)
            return joint(LogisticLevels(loc, PER_STD * self._std(h), self.levels), loc, self.event_shape)
        loc, h, logits = numbers.chunk(3, dim=-1)  # (…, *event_shape, n) each
        parts = LogisticLevels(loc, PER_STD * self._std(h), self.levels)
        weights = Categorical(logits=logits, validate_args=False)
        return joint(MixtureSameFamily(weights, parts, validate_args=False), loc, self.event_shape)

    def at_mean(self, mean: Tensor) -> Tensor:
        """The data's mean, event_shape -> numbers with that mean and the σ of h = 0; components lie around the mean."""
        n = self.components
        around = torch.linspace(-1, 1, n).to(mean) * self.init_std if n > 1 else mean.new_zeros(1)
        loc = mean.flatten() + around.unsqueeze(-1)  # (n, k)
        return torch.cat([loc.flatten(), mean.new_zeros(self.num_parameters - loc.numel())])
