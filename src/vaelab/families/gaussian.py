"""Gaussian families. A variance is σ², and every learned variance has a floor.

    log N(t; μ, Σ) = −k/2·log 2π − ½ log|Σ| − ½ (t−μ)ᵀ Σ⁻¹ (t−μ)      in nats, with its constant

On a finite data set without noise, log p(t|z) grows without bound as a learned variance shrinks. Hence the floor:

    σ² = min_std² + init_std²·exp(h)

Here h is linear in the last hidden layer and near 0 when training starts. log σ² is linear in h far above the floor,
and flat at the floor. A decoder that starts with σ as wide as the data may learn to ignore z (posterior collapse). A
smaller init_std avoids that.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from vaelab.checks import check_number
from vaelab.families.family import Family, Support
from vaelab.families.reshaped import Reshaped
from vaelab.precision import floating, least_single
from vaelab.torch_private import batch_mahalanobis, unbroadcasted_factor

MIN_STD, INIT_STD = 0.01, 0.2  # suit a likelihood; conf/posterior and conf/prior start at 1, as wide as N(0, I)


class DiagonalNormal(Independent):
    """N(t; μ, diag σ²) over a whole event: torch's independent normals, with half as many passes over memory.

    log N = −½ Σ ((t−μ)/σ)² − Σ log σ − k/2·log 2π
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """(…, *event_shape) -> (…), nats."""
        event = tuple(range(-len(self.event_shape), 0))
        loc, scale = self.base_dist.loc, self.base_dist.scale
        squares = ((floating(value, loc) - loc) / scale).square().sum(event)
        return -0.5 * squares - (scale.log() + 0.5 * math.log(2 * math.pi)).sum(event)


class FullNormal(MultivariateNormal):
    """N(t; μ, C Cᵀ): torch's normal, with half as many passes over memory if each t has its own C.

    torch cannot solve triangular systems in half precision, so these are solved in float32.

    Attributes:
        reads_above: True if something reads the gradient of C above its diagonal. It is then set to 0, as in torch.
    """

    reads_above = True

    def log_prob(self, value: Tensor) -> Tensor:
        """(…, k) -> (…), nats."""
        factor, difference = unbroadcasted_factor(self), floating(value, self.loc) - self.loc
        dtype = torch.promote_types(factor.dtype, difference.dtype)
        factor, difference = (least_single(tensor.to(dtype)) for tensor in (factor, difference))
        if difference.shape[:-1] == factor.shape[:-2]:
            squares = _Whitened.apply(factor, difference, self.reads_above).square().sum(-1)
        else:
            squares = batch_mahalanobis(factor, difference)
        log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return (-0.5 * squares - log_det - 0.5 * difference.shape[-1] * math.log(2 * math.pi)).to(dtype)

    def least_single(self) -> "FullNormal":
        """The same distribution, in float32 if its numbers are in half precision."""
        factor = least_single(unbroadcasted_factor(self))
        return FullNormal(least_single(self.loc), scale_tril=factor, validate_args=False)


class _Whitened(torch.autograd.Function):
    """C (…, k, k), b (…, k) -> y = C⁻¹b. The gradient of b is v = C⁻ᵀ ∂/∂y, and the gradient of C is −v yᵀ.

    torch clears C's gradient above the diagonal and flips its sign after the product. Each is a pass over (…, k, k).
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(scale_tril: Tensor, b: Tensor, reads_above: bool) -> Tensor:
        return torch.linalg.solve_triangular(scale_tril, b.unsqueeze(-1), upper=False).squeeze(-1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, bool], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], output)
        ctx.save_for_forward(inputs[0], output)
        ctx.reads_above = inputs[2]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        scale_tril, y = ctx.saved_tensors
        v = torch.linalg.solve_triangular(scale_tril.mT, gradient.unsqueeze(-1), upper=True)
        outer = -v * y.unsqueeze(-2)
        return outer.tril() if ctx.reads_above else outer, v.squeeze(-1), None

    @staticmethod
    def jvp(ctx: Any, scale_tangent: Tensor, b_tangent: Tensor, _: None) -> Tensor:
        scale_tril, y = ctx.saved_tensors
        change = b_tangent.unsqueeze(-1) - scale_tangent.tril() @ y.unsqueeze(-1)
        return torch.linalg.solve_triangular(scale_tril, change, upper=False).squeeze(-1)


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


class LearnedScale(Family):
    """A Gaussian family with a learned, floored σ.

    Args:
        event_shape: the shape of one draw, k numbers.
        min_std: the floor of σ.
        init_std: about where σ starts: it is √(min_std² + init_std²) at h = 0.

    Raises:
        ValueError: `min_std` is negative or `init_std` is not positive.
    """

    support: ClassVar[Support] = "real"

    def __init__(self, event_shape: Sequence[int], min_std: float = MIN_STD, init_std: float = INIT_STD) -> None:
        super().__init__(event_shape)
        self.min_std = check_number("min_std", min_std, 0)
        self.init_std = check_number("init_std", init_std, 0, above=True)

    def _std(self, h: Tensor) -> Tensor:
        """σ = √(min_std² + init_std²·exp(h)), elementwise."""
        return (self.min_std**2 + self.init_std**2 * h.exp()).sqrt()


class IsotropicGaussian(LearnedScale):
    """N(t; μ, σ²·I) with one learned σ² for all dimensions and examples (the tutorial's eq. 29 as printed).

    With a linear mean this is probabilistic PCA (Tipping & Bishop 1999).

    >>> p = IsotropicGaussian((3, 5), init_std=0.2)(torch.zeros(7, 15))
    >>> p.batch_shape, p.event_shape, round(p.stddev.max().item(), 3)
    (torch.Size([7]), torch.Size([3, 5]), 0.2)
    """

    pure = True

    def __init__(self, event_shape: Sequence[int], min_std: float = MIN_STD, init_std: float = INIT_STD) -> None:
        super().__init__(event_shape, min_std, init_std)
        self.h = nn.Parameter(torch.zeros(()))
        self.num_parameters = self.event_size

    def forward(self, parameters: Tensor) -> Distribution:
        """(…, k) means -> N(μ, σ²·I), batch_shape (…)."""
        loc = parameters.unflatten(-1, self.event_shape)
        return _diagonal_normal(loc, self._std(self.h).expand_as(loc), self.event_shape)


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


def _diagonal_normal(loc: Tensor, scale: Tensor, event_shape: torch.Size) -> Distribution:
    return DiagonalNormal(Normal(loc, scale, validate_args=False), len(event_shape), validate_args=False)
