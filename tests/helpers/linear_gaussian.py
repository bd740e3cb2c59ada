"""The linear-Gaussian model, with everything in closed form: z ~ N(m₀, S₀), t|z ~ N(Wz + b, R), q = N(a, V).

    log p(t) = log N(t; Wm₀ + b, W S₀ Wᵀ + R)
    p(z|t) = N(m, Λ⁻¹),  Λ = S₀⁻¹ + WᵀR⁻¹W,  m = Λ⁻¹ (WᵀR⁻¹(t−b) + S₀⁻¹m₀)
    ELBO = log N(t; Wa + b, R) − ½ tr(R⁻¹ W V Wᵀ) − KL(N(a, V) ‖ N(m₀, S₀))

`linear_vae` builds that model as a VAE; the functions read its parameters and compute with dense inverses and
determinants, in float64 and nats, so that they share no code with what they check. All of them differentiate.
"""

import copy
import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from vaelab import VAE

P, K = 3, 5  # the dimensions of z and of t


class Gaussian(nn.Module):
    """() or x -> N(mean, C Cᵀ), whatever x is: a prior, or an encoder with its answer as leaf parameters.

    Args:
        mean: (…, d).
        scale: (…, d), or (…, d, d) where `full`: C = diag(scale), or C = tril(scale).
    """

    def __init__(self, mean: Tensor, scale: Tensor, full: bool) -> None:
        super().__init__()
        self.mean = nn.Parameter(mean)
        self.scale = nn.Parameter(scale)
        self.full = full

    @property
    def factor(self) -> Tensor:
        return self.scale.tril() if self.full else torch.diag_embed(self.scale)

    @property
    def covariance(self) -> Tensor:
        return self.factor @ self.factor.mT

    def forward(self, x: Tensor | None = None) -> Distribution:
        return self.around(self.mean)

    def with_detached(self, x: Tensor, condition: None = None) -> tuple[Distribution, Distribution]:
        with torch.no_grad():
            cut_off = self(x)
        return self(x), cut_off

    def around(self, mean: Tensor) -> Distribution:
        if self.full:
            return MultivariateNormal(mean, scale_tril=self.factor)
        return Independent(Normal(mean, self.scale), 1)


class LinearDecoder(nn.Module):
    """z -> N(Wz + b, R), with N(b, R) as `noise`."""

    def __init__(self, weight: Tensor, noise: Gaussian) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.noise = noise

    def forward(self, z: Tensor) -> Distribution:
        return self.noise.around((self.weight @ z.unsqueeze(-1)).squeeze(-1) + self.noise.mean)


def gaussian(mean: Tensor, covariance: Tensor, full: bool) -> Gaussian:
    """N(mean, covariance), or with only the diagonal of the covariance."""
    scale = torch.linalg.cholesky(covariance) if full else covariance.diagonal(dim1=-2, dim2=-1).sqrt()
    return Gaussian(mean, scale, full)


def random_gaussian(shape: tuple[int, ...], full: bool, generator: torch.Generator) -> Gaussian:
    """A generic N(mean, covariance), batch_shape shape[:-1], with standard deviations near 1."""
    mean, log_std = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    lower = torch.randn(*shape, shape[-1], generator=generator, dtype=torch.float64)
    std = (log_std / 4).exp()
    return Gaussian(mean, torch.diag_embed(std) + lower.tril(-1) / 2 if full else std, full)


def linear_vae(
    full_posterior: bool, full_noise: bool, full_prior: bool, batch: tuple[int, ...] = (), seed: int = 0
) -> VAE:
    """A linear-Gaussian VAE with generic numbers and one q(z|x) for each place in `batch`."""
    generator = torch.Generator().manual_seed(seed)
    noise = random_gaussian((K,), full_noise, generator)
    prior = random_gaussian((P,), full_prior, generator)
    weight = torch.randn(K, P, generator=generator, dtype=torch.float64) / 2
    return VAE(random_gaussian((*batch, P), full_posterior, generator), LinearDecoder(weight, noise), prior)


def with_encoder(vae: VAE, mean: Tensor, covariance: Tensor, full: bool) -> VAE:
    """The same model with q = N(mean, covariance), or with only the diagonal of the covariance."""
    return VAE(gaussian(mean.detach(), covariance.detach(), full), vae.decoder, vae.prior)


def replicate(vae: VAE, n: int) -> VAE:
    """n independent copies in one VAE, so that each example has parameters, and gradients, of its own.

    For a model with one q; the exact functions below read the original.
    """
    many = copy.deepcopy(vae)
    for parameter in many.parameters():
        parameter.data = parameter.data.expand(n, *parameter.shape).clone()
    return many


def log_normal(value: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """log N(value; mean, covariance), (…, d) -> (…)."""
    residual = (value - mean).unsqueeze(-1)
    square = (residual.mT @ covariance.inverse() @ residual).squeeze((-2, -1))
    return -0.5 * (value.shape[-1] * math.log(2 * math.pi) + covariance.logdet() + square)


def kl(mean1: Tensor, covariance1: Tensor, mean2: Tensor, covariance2: Tensor) -> Tensor:
    """KL(N(mean1, covariance1) ‖ N(mean2, covariance2)) (the tutorial's eq. 19)."""
    shift, precision2 = (mean1 - mean2).unsqueeze(-1), covariance2.inverse()
    trace = (precision2 @ covariance1).diagonal(dim1=-2, dim2=-1).sum(-1)
    square = (shift.mT @ precision2 @ shift).squeeze((-2, -1))
    return 0.5 * (covariance2.logdet() - covariance1.logdet() - mean1.shape[-1] + trace + square)


def log_marginal(vae: VAE, t: Tensor) -> Tensor:
    """log p(t), (…, k) -> (…)."""
    weight, noise, prior = vae.decoder.weight, vae.decoder.noise, vae.prior
    return log_normal(t, weight @ prior.mean + noise.mean, weight @ prior.covariance @ weight.mT + noise.covariance)


def posterior(vae: VAE, t: Tensor) -> tuple[Tensor, Tensor]:
    """p(z|t) -> its means (…, p) and its covariance (p, p)."""
    weight, noise, prior = vae.decoder.weight, vae.decoder.noise, vae.prior
    projection = weight.mT @ noise.covariance.inverse()  # WᵀR⁻¹
    prior_precision = prior.covariance.inverse()
    covariance = (prior_precision + projection @ weight).inverse()
    mean = ((t - noise.mean) @ projection.mT + prior_precision @ prior.mean) @ covariance
    return mean, covariance


def exact_log_likelihood(vae: VAE, t: Tensor) -> Tensor:
    """E_q[log p(t|z)], (…, k) -> (…)."""
    q, weight, noise = vae.encoder, vae.decoder.weight, vae.decoder.noise
    trace = noise.covariance.inverse() @ weight @ q.covariance @ weight.mT
    return log_normal(t, q.mean @ weight.mT + noise.mean, noise.covariance) - 0.5 * trace.diagonal(
        dim1=-2, dim2=-1
    ).sum(-1)


def exact_kl(vae: VAE) -> Tensor:
    """KL(q ‖ p(z)) -> (…)."""
    q, prior = vae.encoder, vae.prior
    return kl(q.mean, q.covariance, prior.mean, prior.covariance)


def exact_elbo(vae: VAE, t: Tensor) -> Tensor:
    """E_q[log p(t|z)] − KL(q ‖ p(z)), (…, k) -> (…)."""
    return exact_log_likelihood(vae, t) - exact_kl(vae)
