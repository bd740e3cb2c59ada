"""KL(q ‖ p) in nats for the Gaussian pairs that torch does not register: diagonal and full, both ways round.

With the Cholesky factors Σ = C Cᵀ, the tutorial's eq. 19 reads, for q = N(μ₁, Σ₁) and p = N(μ₂, Σ₂) over d dimensions,

    KL = ½ [‖C₂⁻¹ C₁‖²_F + ‖C₂⁻¹ (μ₁−μ₂)‖² − d] + Σ_i log(C₂ᵢᵢ / C₁ᵢᵢ)

A diagonal covariance has C = diag σ. Importing this module registers both pairs with
`torch.distributions.kl_divergence`.
"""

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal, kl_divergence, register_kl

from vaelab.families.normals import FullNormal
from vaelab.precision import least_single
from vaelab.torch_private import kl_of_multivariate_normals


def closed_form_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q ‖ p) in nats, in the batch shape of q; None if the pair has no closed form.

    >>> q, p = (Independent(Normal(torch.zeros(7, 3), std), 1) for std in (1.0, 2.0))
    >>> closed_form_kl(q, p).shape
    torch.Size([7])
    >>> print(closed_form_kl(q, Independent(torch.distributions.StudentT(4.0, torch.zeros(7, 3)), 1)))
    None
    """
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return None


@register_kl(Independent, MultivariateNormal)
def _kl_diagonal_full(q: Independent, p: MultivariateNormal) -> Tensor:
    std = _std(q)  # σ₁, (…, p)
    factor = least_single(p.scale_tril)  # torch cannot solve triangular systems in half precision
    identity = torch.eye(std.shape[-1], dtype=factor.dtype, device=std.device)
    inverse = torch.linalg.solve_triangular(factor, identity, upper=False).to(std.dtype)  # C₂⁻¹, once for every q
    squared_scale = (inverse.square() @ std.square().unsqueeze(-1)).sum((-2, -1))  # ‖C₂⁻¹ diag σ₁‖²_F
    whitened_shift = (inverse @ (q.mean - p.loc).unsqueeze(-1)).squeeze(-1)
    log_det_ratio = _diagonal(p).log().sum(-1) - std.log().sum(-1)
    return _kl_by_factors(squared_scale, whitened_shift, log_det_ratio)


@register_kl(MultivariateNormal, Independent)
def _kl_full_diagonal(q: MultivariateNormal, p: Independent) -> Tensor:
    std = _std(p)  # σ₂, (…, p)
    squared_scale = (q.scale_tril / std.unsqueeze(-1)).square().sum((-2, -1))
    whitened_shift = (q.loc - p.mean) / std
    log_det_ratio = std.log().sum(-1) - _diagonal(q).log().sum(-1)
    return _kl_by_factors(squared_scale, whitened_shift, log_det_ratio)


@register_kl(FullNormal, FullNormal)
def _kl_full_full(q: FullNormal, p: FullNormal) -> Tensor:
    """torch's own closed form. It solves a triangular system: in float32 if the numbers are in half precision."""
    return kl_of_multivariate_normals(q.least_single(), p.least_single()).to(q.loc.dtype)


def _kl_by_factors(squared_scale: Tensor, whitened_shift: Tensor, log_det_ratio: Tensor) -> Tensor:
    """½ [‖C₂⁻¹C₁‖²_F + ‖C₂⁻¹(μ₁−μ₂)‖² − d] + log(|C₂|/|C₁|)."""
    return 0.5 * (squared_scale + whitened_shift.square().sum(-1) - whitened_shift.shape[-1]) + log_det_ratio


def _std(diagonal: Independent) -> Tensor:
    if not isinstance(diagonal.base_dist, Normal) or len(diagonal.event_shape) != 1:
        raise NotImplementedError(f"no closed-form KL between {diagonal} and a full-covariance Gaussian")
    return diagonal.base_dist.scale


def _diagonal(full: MultivariateNormal) -> Tensor:
    return full.scale_tril.diagonal(dim1=-2, dim2=-1)
