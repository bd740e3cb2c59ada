"""A mixture of Gaussians, for a posterior with several modes."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, MixtureSameFamily, Normal

from vaelab.checks import check_whole
from vaelab.families.learned_scale import INIT_STD, MIN_STD, LearnedScale
from vaelab.families.normals import DiagonalNormal
from vaelab.families.relaxed_draws import gumbel_noise


class StratifiedMixture(MixtureSameFamily):
    """torch's mixture, which also draws from each component in turn, with a pathwise gradient for all numbers."""

    def stratified_rsample(self, samples: int) -> tuple[Tensor, Tensor]:
        """L draws from each of the K components -> z (K·L, …, *event_shape) and log π_k − log L, (K·L, …).

        E_q[f(z)] = Σ_k π_k E_k[f(z)] is estimated by Σ exp(log_share)·f(z). The gradient reaches the weights π through
        the shares and the components through z, as in Roeder et al. 2017, arxiv.org/abs/1703.09194, §4.

        >>> from vaelab.families import GaussianMixture
        >>> z, log_share = GaussianMixture((3,), components=2)(torch.randn(7, 14)).stratified_rsample(5)
        >>> z.shape, log_share.shape, bool((log_share.exp().sum(0) - 1).abs().max() < 1e-5)
        (torch.Size([10, 7, 3]), torch.Size([10, 7]), True)
        """
        component = -1 - len(self.event_shape)
        z = self.component_distribution.rsample(torch.Size((samples,))).movedim(component, 0)  # (K, L, …)
        log_share = self.mixture_distribution.logits.movedim(-1, 0).unsqueeze(1) - math.log(samples)  # (K, 1, …)
        return z.flatten(0, 1), log_share.expand(z.shape[: 2 + len(self.batch_shape)]).flatten(0, 1)

    @torch.no_grad()
    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """(*sample_shape, …, *event_shape), without a gradient."""
        z = self.component_distribution.sample(torch.Size(sample_shape))  # (…, K, *event_shape)
        logits = self.mixture_distribution.logits
        scores = logits + gumbel_noise(torch.Size(sample_shape) + logits.shape, logits)
        event = len(self.event_shape)
        chosen = scores.argmax(-1).view(*scores.shape[:-1], *[1] * (1 + event))
        return z.take_along_dim(chosen, -1 - event).squeeze(-1 - event)


class GaussianMixture(LearnedScale):
    """q(z|x) = Σ_k π_k N(z; μ_k, diag σ_k²), with the weights, means and variances from the network.

    Its density has several modes, which one Gaussian cannot follow. There is no closed-form KL, so
    conf/posterior/mixture.yaml sets `kl: monte_carlo`. Training draws from each component (`stratified_rsample`).

    >>> q = GaussianMixture((3,), components=2, init_std=1.0)(torch.randn(7, 14))
    >>> q.batch_shape, q.event_shape
    (torch.Size([7]), torch.Size([3]))

    Args:
        event_shape: the shape of one draw, p numbers.
        components: K.
        min_std: the floor of each σ.
        init_std: about where each σ starts.

    Raises:
        ValueError: K is not a whole number of at least 1, `min_std` is negative or `init_std` is not positive.
    """

    pure = True

    def __init__(
        self,
        event_shape: Sequence[int],
        components: int = 3,
        min_std: float = MIN_STD,
        init_std: float = INIT_STD,
    ) -> None:
        super().__init__(event_shape, min_std, init_std)
        self.components = check_whole("components", components, 1)
        self.num_parameters = components * (1 + 2 * self.event_size)

    def forward(self, parameters: Tensor) -> Distribution:
        """(…, K + 2·K·p) numbers: log π up to a constant, the means and h -> the mixture, batch_shape (…)."""
        each = self.components * self.event_size
        logits, loc, h = parameters.split([self.components, each, each], dim=-1)
        loc, h = (part.unflatten(-1, (self.components, *self.event_shape)) for part in (loc, h))
        normal = Normal(loc, self._std(h), validate_args=False)
        parts = DiagonalNormal(normal, len(self.event_shape), validate_args=False)
        return StratifiedMixture(Categorical(logits=logits, validate_args=False), parts, validate_args=False)

    def at_mean(self, mean: Tensor) -> Tensor:
        """The data's mean, event_shape -> the numbers at which each component has it, with equal weights."""
        zeros = mean.new_zeros(self.num_parameters)
        zeros[self.components : self.components * (1 + self.event_size)] = mean.flatten().repeat(self.components)
        return zeros
