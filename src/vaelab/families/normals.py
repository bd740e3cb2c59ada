"""Normal distributions over whole events: torch's, with fewer passes over memory.

log N(t; μ, Σ) = −k/2·log 2π − ½ log|Σ| − ½ (t−μ)ᵀ Σ⁻¹ (t−μ)      in nats, with its constant
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal
from torch.distributions.constraints import Constraint

from vaelab.precision import floating, least_single
from vaelab.torch_private import batch_mahalanobis, unbroadcasted_factor


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

    def rescaled(self, loc: Tensor, scale: Tensor) -> "DiagonalNormal":
        """The distribution of loc + scale·t, with loc and scale in the event's shape."""
        normal = Normal(loc + scale * self.base_dist.loc, scale * self.base_dist.scale, validate_args=False)
        return DiagonalNormal(normal, len(self.event_shape), validate_args=False)


class OptimalNormal(Distribution):
    """N(t; μ, σ²·I) with the σ² that maximises the mean of log p over the values that are scored together.

    That is their mean squared error, or the floor. No gradient passes through σ², because it would be 0 at the optimum.

    Args:
        normal: the distribution for everything else, such as draws.
        min_std: the floor of σ.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}

    def __init__(self, normal: DiagonalNormal, min_std: float) -> None:
        self.normal, self.min_std = normal, min_std
        self.has_rsample = True
        super().__init__(normal.batch_shape, normal.event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """(…, *event_shape)."""
        return self.normal.mean

    @property
    def variance(self) -> Tensor:
        """(…, *event_shape), as in evaluation mode."""
        return self.normal.variance

    def rsample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """(*sample_shape, …, *event_shape), as in evaluation mode."""
        return self.normal.rsample(torch.Size(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """(…, *event_shape) -> (…), nats."""
        squares = (floating(value, self.normal.mean) - self.normal.mean).square()
        variance = squares.mean().detach().clamp_min(self.min_std**2)
        constant = self.event_shape.numel() / 2 * (2 * math.pi * variance).log()
        return -0.5 * squares.flatten(-len(self.event_shape)).sum(-1) / variance - constant


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

    def rescaled(self, loc: Tensor, scale: Tensor) -> "FullNormal":
        """The distribution of loc + scale·t, with loc and scale of the shape (k,)."""
        factor = scale.unsqueeze(-1) * self.scale_tril
        made = FullNormal(loc + scale * self.loc, scale_tril=factor, validate_args=False)
        made.reads_above = self.reads_above
        return made

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
