"""An importance-weighted bound for the decoder, and the mean of several smaller ones for the encoder."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.objectives.gradients import with_detached
from vaelab.objectives.importance import Draws, log_mean, weigh
from vaelab.objectives.miwae import MIWAE
from vaelab.objectives.terms import Terms
from vaelab.vae import VAE


@dataclass(frozen=True)
class PIWAE(MIWAE):
    """IW_{M·K} for decoder and prior, and the mean of M × IW_K for the encoder (Rainforth et al. 2018, §5).

    More draws improve the gradient of the decoder, but make that of the encoder noisier. Here the decoder learns from
    all draws together, and the encoder from small groups of them. The terms `bound` and `−loss` are IW_{M·K}. The
    arguments are those of `MIWAE`.

    >>> PIWAE(samples=8, groups=3).draws
    24
    """

    pure = True

    def __call__(self, vae: VAE, x: Tensor, target: Tensor, condition: Tensor | None = None) -> Terms:
        """x (B, *x), target (B, *t), condition (B, c) -> terms of (B,), nats."""
        q, cut_off = with_detached(vae, x, condition)
        draws = self.estimator.draw(q, self.draws)
        z = draws.z.detach().requires_grad_(draws.z.requires_grad)
        fixed = Draws(z, None, None if draws.log_share is None else draws.log_share.detach())
        weights = weigh(vae, cut_off, vae.prior_given(condition), fixed, target, condition)  # (M·K, B)
        bound = log_mean(weights.log_w, fixed.log_share)
        if torch.is_grad_enabled():
            of_encoder = self._estimate(self._seen_by_encoder(weights.log_w, q, z, draws), draws)
            bound = bound + of_encoder - of_encoder.detach()
        return self._terms(weights, fixed, bound)

    def _seen_by_encoder(self, log_w: Tensor, q: torch.distributions.Distribution, z: Tensor, draws: Draws) -> Tensor:
        """log w, whose gradient reaches the encoder alone: through a linear function of z, and through log q(z|x)."""
        seen = log_w.detach()
        if z.requires_grad:
            (slope,) = torch.autograd.grad(log_w.sum(), z, retain_graph=True)
            seen = seen + (slope * (draws.z - z.detach())).sum(-1)
        if self.gradient in ("pathwise", "gumbel_softmax"):
            log_qz = q.log_prob(z.detach())
            seen = seen - (log_qz - log_qz.detach())
        return seen
