"""Gaussian families. A variance is σ², and every learned variance has a floor; see `LearnedScale`."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal

from vaelab.checks import check_flag, check_number
from vaelab.families.family import Family, Support
from vaelab.families.learned_scale import INIT_STD, MIN_STD, LearnedScale
from vaelab.families.maximum_likelihood import covariance, moments, unit_factor
from vaelab.families.normals import DiagonalNormal, FullNormal, OptimalNormal
from vaelab.families.reshaped import Reshaped


class IdentityGaussian(Family):
    """N(t; μ, std²·I) with a fixed std; std = 1 is the tutorial's identity covariance (§3.3, eq. 20).

    >>> p = IdentityGaussian((3, 5), std=0.3)(torch.zeros(7, 15))
    >>> p.batch_shape, p.event_shape, round(p.stddev.max().item(), 3)
    (torch.Size([7]), torch.Size([3, 5]), 0.3)

    Raises:
        ValueError: `std` is not a positive number.
    """

    pure = True
    support: ClassVar[Support] = "real"

    def __init__(self, event_shape: Sequence[int], std: float = 1.0) -> None:
        super().__init__(event_shape)
        self.std = check_number("std", std, 0, above=True)
        self.num_parameters = self.event_size

    def forward(self, parameters: Tensor) -> Distribution:
        """(…, k) means -> N(μ, std²·I), batch_shape (…)."""
        loc = parameters.unflatten(-1, self.event_shape)
        return _diagonal_normal(loc, torch.full_like(loc, self.std), self.event_shape)

    def at_mean(self, mean: Tensor) -> Tensor:
        """The data's mean, event_shape -> the mean of the distribution, (k,)."""
        return mean.flatten()

    def fit_(self, target: Tensor) -> Tensor:
        """See `Family.fit_`: the sample mean."""
        return moments(target.flatten(1))[0]


class IsotropicGaussian(LearnedScale):
    """N(t; μ, σ²·I) with one σ² for all dimensions and examples (the tutorial's eq. 29 as printed).

    With a linear mean this is probabilistic PCA (Tipping & Bishop 1999).

    >>> p = IsotropicGaussian((3, 5), init_std=0.2)(torch.zeros(7, 15))
    >>> p.batch_shape, p.event_shape, round(p.stddev.max().item(), 3)
    (torch.Size([7]), torch.Size([3, 5]), 0.2)

    Args:
        event_shape: the shape of one draw, k numbers.
        min_std: the floor of σ.
        init_std: about where σ starts.
        optimal: False learns σ by gradient; True sets it to its optimum (Rybkin et al. 2021, arxiv.org/abs/2006.13202).
            In training mode, σ² is then the mean squared error of the scored batch. In evaluation mode, it is the
            number from `set_error`. A `VAEModule` sets the error on the training split before each validation.

    Raises:
        ValueError: `optimal` is not a bool, `min_std` is negative or `init_std` is not positive.
    """

    pure = True

    def __init__(
        self,
        event_shape: Sequence[int],
        min_std: float = MIN_STD,
        init_std: float = INIT_STD,
        optimal: bool = False,
    ) -> None:
        super().__init__(event_shape, min_std, init_std)
        self.optimal = self.couples_examples = check_flag("model.optimal", optimal)
        if optimal:
            self.register_buffer("h", torch.zeros(()))
        else:
            self.h = nn.Parameter(torch.zeros(()))
        self.num_parameters = self.event_size

    def forward(self, parameters: Tensor) -> Distribution:
        """(…, k) means -> N(μ, σ²·I), batch_shape (…)."""
        loc = parameters.unflatten(-1, self.event_shape)
        p = _diagonal_normal(loc, self._std(self.h).expand_as(loc), self.event_shape)
        return OptimalNormal(p, self.min_std) if self.couples_examples and self.training else p

    def check(self, vae: Any) -> None:
        """Raises a ValueError if σ is at its optimum in a posterior or a prior, whose draws are no fixed targets."""
        if self.optimal and self is not getattr(vae.decoder, "family", None):
            raise ValueError(
                "optimal must be false for the family of a posterior or a prior, because only a likelihood scores "
                "targets, but is true; use optimal=false"
            )

    @torch.no_grad()
    def set_error(self, error: Tensor) -> None:
        """Sets σ² to a mean squared error, (), or to its floor if that is larger."""
        # `data`, because a traced step doesn't read h in training mode, so it needn't be traced again.
        self.h.data.copy_(self._h(error))

    @torch.no_grad()
    def fit_(self, target: Tensor) -> Tensor:
        """See `Family.fit_`: the sample mean, and the mean of the variances."""
        mean, variance = moments(target.flatten(1))
        self.h.copy_(self._h(variance.mean()))
        return mean


class SharedDiagonalGaussian(LearnedScale):
    """N(t; μ, diag ξ) with one learned variance per dimension, the same for all examples.

    With a linear mean this is factor analysis (Rubin & Thayer 1982).

    >>> p = SharedDiagonalGaussian((3, 5), init_std=0.2)(torch.zeros(7, 15))
    >>> p.batch_shape, p.event_shape, round(p.stddev.max().item(), 3)
    (torch.Size([7]), torch.Size([3, 5]), 0.2)
    """

    pure = True

    def __init__(self, event_shape: Sequence[int], min_std: float = MIN_STD, init_std: float = INIT_STD) -> None:
        super().__init__(event_shape, min_std, init_std)
        self.h = nn.Parameter(torch.zeros(self.event_shape))
        self.num_parameters = self.event_size

    def forward(self, parameters: Tensor) -> Distribution:
        """(…, k) means -> N(μ, diag ξ), batch_shape (…)."""
        loc = parameters.unflatten(-1, self.event_shape)
        return _diagonal_normal(loc, self._std(self.h).expand_as(loc), self.event_shape)

    @torch.no_grad()
    def fit_(self, target: Tensor) -> Tensor:
        """See `Family.fit_`: the sample mean and the sample variances."""
        mean, variance = moments(target.flatten(1))
        self.h.copy_(self._h(variance).unflatten(-1, self.event_shape))
        return mean


class DiagonalGaussian(LearnedScale):
    """N(t; μ, diag ξ) with a variance per dimension and example, for an encoder's q(z|x) or a decoder's p(t|z).

    Kingma & Welling 2014, arxiv.org/abs/1312.6114, appendix C.2; the tutorial's §3.4, eqs. 21-22 and 29-32.

    >>> p = DiagonalGaussian((3, 5), init_std=0.2)(torch.zeros(7, 30))
    >>> p.batch_shape, p.event_shape, round(p.stddev.max().item(), 3)
    (torch.Size([7]), torch.Size([3, 5]), 0.2)
    """

    pure = True

    def __init__(self, event_shape: Sequence[int], min_std: float = MIN_STD, init_std: float = INIT_STD) -> None:
        super().__init__(event_shape, min_std, init_std)
        self.num_parameters = 2 * self.event_size

    def forward(self, parameters: Tensor) -> Distribution:
        """(…, 2k) numbers: the means and h -> N(μ, diag ξ), batch_shape (…)."""
        loc, h = (half.unflatten(-1, self.event_shape) for half in parameters.chunk(2, dim=-1))
        return _diagonal_normal(loc, self._std(h), self.event_shape)

    def fit_(self, target: Tensor) -> Tensor:
        """See `Family.fit_`: the sample mean and the sample variances."""
        mean, variance = moments(target.flatten(1))
        return torch.cat([mean, self._h(variance)])


class FullGaussian(LearnedScale):
    """N(t; μ, C Cᵀ): the network outputs the Cholesky factor C itself, so nothing is factorised or inverted.

    C is lower triangular with a floored σ on its diagonal. The entries below the diagonal are init_std·c/√k, which
    keeps C well conditioned at any k when training starts. With c = 0 this is `DiagonalGaussian`. The log-determinant
    is log|Σ| = 2 Σ log C_mm, and the quadratic form ‖C⁻¹(t−μ)‖² is a triangular solve. See the tutorial's §5.2.2.

    >>> p = FullGaussian((3, 5), init_std=0.2)(torch.zeros(7, 30 + 105))
    >>> p.batch_shape, p.event_shape, round(p.stddev.max().item(), 3)
    (torch.Size([7]), torch.Size([3, 5]), 0.2)
    """

    pure = True

    def __init__(self, event_shape: Sequence[int], min_std: float = MIN_STD, init_std: float = INIT_STD) -> None:
        super().__init__(event_shape, min_std, init_std)
        k = self.event_size
        self.sizes = (k, k, k * (k - 1) // 2)
        self.num_parameters = sum(self.sizes)
        rows, columns = torch.cat([torch.arange(k).expand(2, k), torch.tril_indices(k, k, offset=-1)], dim=1)
        # Positions in the flattened C: first the diagonal, then the entries below it.
        self.register_buffer("places", rows * k + columns, persistent=False)
        self.places: Tensor

    def forward(self, parameters: Tensor) -> Distribution:
        """(…, 2k + k(k−1)/2) numbers: the means, h, and c -> N(μ, C Cᵀ), batch_shape (…)."""
        k = self.event_size
        loc, h, c = parameters.split(self.sizes, dim=-1)
        entries = torch.cat([self._std(h), self.init_std / math.sqrt(k) * c], dim=-1)
        flat = entries.new_zeros(*entries.shape[:-1], k * k).index_copy_(-1, self.places, entries)
        normal = FullNormal(loc, scale_tril=flat.unflatten(-1, (k, k)), validate_args=False)
        normal.reads_above = False  # index_copy_ passes on no gradient from there
        return normal if len(self.event_shape) == 1 else Reshaped(normal, self.event_shape)

    def fit_(self, target: Tensor) -> Tensor:
        """See `Family.fit_`: the sample mean and the sample covariance.

        log N(t; μ, C Cᵀ) is a sum of regressions, of each number on the ones before it. Each has its own optimum, and
        the floor holds for the standard deviation of its residual.
        """
        mean, _ = moments(target.flatten(1))
        unit, variance = unit_factor(covariance(target.flatten(1), mean))
        h = self._h(variance)
        rows, columns = torch.tril_indices(self.event_size, self.event_size, offset=-1)
        below = (unit * self._std(h))[rows, columns] * math.sqrt(self.event_size) / self.init_std
        return torch.cat([mean, h, below])


def _diagonal_normal(loc: Tensor, scale: Tensor, event_shape: torch.Size) -> DiagonalNormal:
    return DiagonalNormal(Normal(loc, scale, validate_args=False), len(event_shape), validate_args=False)
