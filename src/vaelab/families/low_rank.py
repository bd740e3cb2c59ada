"""The Gaussian family with a covariance of low rank plus a diagonal, which is usable on images."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from vaelab.checks import check_whole
from vaelab.families.family import Support
from vaelab.families.learned_scale import INIT_STD, MIN_STD, LearnedScale
from vaelab.families.maximum_likelihood import covariance, moments, numerical_optimum
from vaelab.families.reshaped import Reshaped
from vaelab.precision import floating, widest


class LowRankNormal(Distribution):
    """N(t; μ, W Wᵀ + diag σ²), W (…, k, r). The largest matrix that is factorised is r × r (Woodbury):

    with A = W/σ, y = (t−μ)/σ, C Cᵀ = I + AᵀA and m = (I + AᵀA)⁻¹Aᵀy, log|Σ| = 2Σ log C_ii + 2Σ log σ, and the quadratic
    form is ‖y − Am‖² + ‖m‖². The usual ‖y‖² − yᵀAm is the same, but it loses digits if W ≫ σ. In float32, I would be
    lost beside AᵀA if the columns of W are also nearly parallel, so all of this is computed in float64.

    torch's `LowRankMultivariateNormal` cannot factorise in half precision, and looks at values while it does.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}
    has_rsample = True

    def __init__(self, loc: Tensor, factor: Tensor, std: Tensor) -> None:
        self.loc, self.factor, self.std = loc, factor, std
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """(…, k)."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """(…, k): the diagonal of the covariance."""
        return self.factor.square().sum(-1) + self.std.square()

    def _whitened(self) -> tuple[Tensor, Tensor]:
        """A (…, k, r) and C (…, r, r)."""
        a = widest(self.factor / self.std.unsqueeze(-1))
        identity = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
        return a, torch.linalg.cholesky_ex(identity + a.mT @ a).L

    def _log_det(self, c: Tensor) -> Tensor:
        return 2 * c.diagonal(dim1=-2, dim2=-1).log().sum(-1) + 2 * self.std.log().sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """(…, k) -> (…), nats."""
        difference = floating(value, self.loc) - self.loc
        y = widest(difference / self.std)
        a, c = self._whitened()
        half = torch.linalg.solve_triangular(c, a.mT @ y.unsqueeze(-1), upper=False)  # C⁻¹Aᵀy
        m = torch.linalg.solve_triangular(c.mT, half, upper=True)
        squares = (y - (a @ m).squeeze(-1)).square().sum(-1) + m.square().sum((-2, -1))
        return (-0.5 * (squares + self._log_det(c) + y.shape[-1] * math.log(2 * math.pi))).to(difference.dtype)

    def entropy(self) -> Tensor:
        """(…), nats."""
        _, c = self._whitened()
        return 0.5 * (self._log_det(c) + self.loc.shape[-1] * (1 + math.log(2 * math.pi))).to(self.loc.dtype)

    def rsample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """(*sample_shape, …, k): μ + σ⊙ε + W η."""
        shape = torch.Size(sample_shape) + self.loc.shape
        own = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        shared = torch.randn(*shape[:-1], self.factor.shape[-1], dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + self.std * own + (self.factor @ shared.unsqueeze(-1)).squeeze(-1)


class LowRankGaussian(LearnedScale):
    """N(t; μ, W Wᵀ + diag σ²): all numbers of one t are correlated through r shared directions, the columns of W.

    The network gives μ, h and w for each example. W = init_std·w/√r, so Σ starts near a diagonal one.
    Source: the covariance of factor analysis (Rubin & Thayer 1982, doi.org/10.1007/BF02293851), here for each example.

    >>> p = LowRankGaussian((3, 5), rank=2)(torch.zeros(7, 60))
    >>> p.batch_shape, p.event_shape, round(p.stddev.max().item(), 3)
    (torch.Size([7]), torch.Size([3, 5]), 0.2)

    Args:
        event_shape: the shape of one draw, k numbers.
        rank: r.
        min_std: the floor of σ.
        init_std: about where σ starts.

    Raises:
        ValueError: `rank` is below 1, `min_std` is negative or `init_std` is not positive.
    """

    pure = True
    support: ClassVar[Support] = "real"

    def __init__(
        self, event_shape: Sequence[int], rank: int = 8, min_std: float = MIN_STD, init_std: float = INIT_STD
    ) -> None:
        super().__init__(event_shape, min_std, init_std)
        self.rank = check_whole("rank", rank, 1)
        self.num_parameters = (2 + rank) * self.event_size

    def forward(self, parameters: Tensor) -> Distribution:
        """(…, (2+r)k) numbers: the means, h, and the columns of w -> N(μ, W Wᵀ + diag σ²), batch_shape (…)."""
        loc, h, *w = parameters.unflatten(-1, (2 + self.rank, self.event_size)).unbind(-2)
        factor = self.init_std / math.sqrt(self.rank) * torch.stack(w, dim=-1)
        normal = LowRankNormal(loc, factor, self._std(h))
        return normal if len(self.event_shape) == 1 else Reshaped(normal, self.event_shape)

    def fit_(self, target: Tensor) -> Tensor:
        """See `Family.fit_`: factor analysis. It is a numerical optimum, from probabilistic PCA."""
        rows = target.flatten(1)
        mean, _ = moments(rows)
        rank = min(self.rank, self.event_size)
        eigenvalues, vectors = torch.linalg.eigh(covariance(rows, mean))
        noise = eigenvalues[:-rank].mean() if rank < self.event_size else eigenvalues[0]
        w = (eigenvalues[-rank:] - noise).clamp_min(1e-6).sqrt() * vectors[:, -rank:]
        start = torch.zeros(2 + self.rank, self.event_size, dtype=w.dtype)
        start[0], start[1] = mean, self._h(noise)
        start[2 : 2 + rank] = w.T * math.sqrt(self.rank) / self.init_std
        return numerical_optimum(self, start.flatten(), target)
