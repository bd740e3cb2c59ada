"""KL(q ‖ p) in nats for the Gaussian pairs that torch does not register: diagonal against full, both ways.

By the Cholesky factors Σ = C Cᵀ the tutorial's eq. 19 reads, for q = N(μ₁, Σ₁) and p = N(μ₂, Σ₂) over p dimensions,

    KL = ½ [‖C₂⁻¹ C₁‖²_F + ‖C₂⁻¹ (μ₁−μ₂)‖² − p] + Σ_i log(C₂ᵢᵢ / C₁ᵢᵢ)

and a diagonal covariance has C = diag σ. Importing this module teaches `torch.distributions.kl_divergence` both pairs.
"""

import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal, register_kl


@register_kl(Independent, MultivariateNormal)
def _kl_diagonal_full(q: Independent, p: MultivariateNormal) -> Tensor:
    std = _std(q)  # σ₁, (…, p)
    whitened_scale = torch.linalg.solve_triangular(p.scale_tril, torch.diag_embed(std), upper=False)
    whitened_shift = torch.linalg.solve_triangular(p.scale_tril, (q.mean - p.loc).unsqueeze(-1), upper=False)
    log_det_ratio = _diagonal(p).log().sum(-1) - std.log().sum(-1)
    return _kl_by_factors(whitened_scale, whitened_shift.squeeze(-1), log_det_ratio)


@register_kl(MultivariateNormal, Independent)
def _kl_full_diagonal(q: MultivariateNormal, p: Independent) -> Tensor:
    std = _std(p)  # σ₂, (…, p)
    whitened_scale = q.scale_tril / std.unsqueeze(-1)
    whitened_shift = (q.loc - p.mean) / std
    log_det_ratio = std.log().sum(-1) - _diagonal(q).log().sum(-1)
    return _kl_by_factors(whitened_scale, whitened_shift, log_det_ratio)


def _kl_by_factors(whitened_scale: Tensor, whitened_shift: Tensor, log_det_ratio: Tensor) -> Tensor:
    """½ [‖C₂⁻¹C₁‖²_F + ‖C₂⁻¹(μ₁−μ₂)‖² − p] + log(|C₂|/|C₁|)."""
    squares = whitened_scale.square().sum((-2, -1)) + whitened_shift.square().sum(-1)
    return 0.5 * (squares - whitened_shift.shape[-1]) + log_det_ratio


def _std(diagonal: Independent) -> Tensor:
    if not isinstance(diagonal.base_dist, Normal) or len(diagonal.event_shape) != 1:
        raise NotImplementedError(f"no closed-form KL between {diagonal} and a full-covariance Gaussian")
    return diagonal.base_dist.scale


def _diagonal(full: MultivariateNormal) -> Tensor:
    return full.scale_tril.diagonal(dim1=-2, dim2=-1)
