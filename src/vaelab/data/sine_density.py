"""The exact density of s = sin(x+y) + noise, and its entropy. Models of these data are compared with them."""

import math

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

REACH = 72.0  # integrals reach this many squared standard deviations of noise: exp(−72/2) is 2e-16
STEPS = 2.0**-14  # a thousand steps of float32, relative to the larger end of an interval
ROWS = 2_048  # the number of points to integrate at once, which takes some megabytes
# In float32, a noise-free s within 2⁻²⁵ of 1 is 1. There cos θ is uniform on [0, 2⁻¹²], and the mean of log cos θ is:
LOG_COS_AT_ONE = math.log(2.0**-12) - 1.0
NODES, WEIGHTS = np.polynomial.legendre.leggauss(48)


class SineDensity:
    """The density p(s) of s = sin(u) + N(0, σ²), with u = x + y, and x and y uniform on [low, high].

        tri(u) = max(0, 1 − |u − low − high| / (high − low)) / (high − low)    the density of u
        g(θ) = Σ_k [tri(θ + 2πk) + tri(π − θ + 2πk)],  θ = arcsin(sin u) in [−π/2, π/2]
        p(s) = g(θ) / cos θ at sin θ = s without noise;  ∫ g(θ) N(s; sin θ, σ²) dθ with it

    g is linear between its kinks, so its values at the kinks determine it exactly. Gauss–Legendre quadrature between
    kinks gives each integral to about 1e-8, at any σ.

    Args:
        low, high: the range of x and of y.
        noise_std: σ. Below half a float32 step at the largest |s|, it counts as zero, because rounding removes it.
    """

    def __init__(self, low: float, high: float, noise_std: float) -> None:
        self.low, self.high = low, high
        self.kinks = np.array([2 * low, low + high, 2 * high])  # the kinks of tri
        self.heights = np.array([self._wrapped(kink) for kink in self.kinks])
        self.minimum = -1.0 if self._meets(-math.pi / 2) else min(math.sin(2 * low), math.sin(2 * high))
        self.maximum = 1.0 if self._meets(math.pi / 2) else max(math.sin(2 * low), math.sin(2 * high))
        self.sections = self._sections()
        self.scale = max(abs(self.minimum), abs(self.maximum))  # the largest |s| without noise
        self.noise_std = noise_std if noise_std > self.scale * 2.0**-25 else 0.0

    @property
    def resolves_points(self) -> bool:
        """True if float32 holds a thousand values of x or more. With fewer, the density is not uniform."""
        width = self.high - self.low
        return width > 1e-30 and width > STEPS * max(abs(self.low), abs(self.high))

    @property
    def resolves_target(self) -> bool:
        """True if float32 holds a thousand values of s or more."""
        return self.noise_std > 0 or (self.resolves_points and self.maximum - self.minimum > STEPS * self.scale)

    def entropy(self) -> float:
        """−∫ p log p ds, in nats."""
        return self._noisy_entropy() if self.noise_std else self._exact_entropy()

    def log_prob(self, s: Numbers) -> Numbers:
        """log p(s), nats: (n,) -> (n,). Without noise, ±1 stands for all s within 3e-8 of it, as in float32."""
        if not self.noise_std:
            return self._exact_log_prob(s)
        return np.concatenate([self._noisy_log_prob(rows) for rows in np.split(s, range(ROWS, len(s), ROWS))])

    def g(self, theta: Numbers) -> Numbers:
        """The density of θ = arcsin(sin u), for any shape of θ."""
        period = 2 * math.pi
        straight = np.interp(theta, self.kinks, self.heights, period=period)
        return straight + np.interp(math.pi - theta, self.kinks, self.heights, period=period)

    def _wrapped(self, phase: float) -> float:
        """Σ_k tri(phase + 2πk)."""
        first, last = (round((end - phase) / (2 * math.pi)) for end in (2 * self.low, 2 * self.high))
        u = phase + 2 * math.pi * np.arange(first - 1, last + 2)
        width = self.high - self.low
        return float(np.maximum(0, 1 - np.abs(u - self.low - self.high) / width).sum() / width)

    def _meets(self, phase: float) -> bool:
        """True if u takes the value phase + 2πk for some k."""
        k = math.ceil((2 * self.low - phase) / (2 * math.pi))
        return phase + 2 * math.pi * k <= 2 * self.high

    def _sections(self) -> Numbers:
        """The intervals of θ in which g is linear and not zero: (sections, 2)."""
        turned = (self.kinks + math.pi / 2) % (2 * math.pi) - math.pi / 2  # in [−π/2, 3π/2)
        theta = np.minimum(turned, math.pi - turned)
        edges = np.unique(np.concatenate([[-math.pi / 2, math.pi / 2], theta]))
        sections = np.stack([edges[:-1], edges[1:]], axis=-1)
        return sections[self.g(sections.mean(-1)) > 0]

    def _exact_log_prob(self, s: Numbers) -> Numbers:
        inside = np.clip(s, -1, 1)
        with np.errstate(divide="ignore"):
            log_cos = 0.5 * np.log((1 - inside) * (1 + inside))
            log_g = np.log(self.g(np.arcsin(inside)))
        log_prob = log_g - np.maximum(log_cos, LOG_COS_AT_ONE)
        return np.where((s < self.minimum) | (s > self.maximum), -np.inf, log_prob)

    def _exact_entropy(self) -> float:
        """−∫ g (log g − log cos) dθ. The nodes are dense at the ends of a section, because logs may diverge there."""
        t = (1 + NODES) / 2
        low, high = self.sections[:, :1], self.sections[:, 1:]
        theta = low + (high - low) * t**3 * (10 - 15 * t + 6 * t**2)  # (sections, nodes)
        weights = (high - low) * 30 * (t * (1 - t)) ** 2 * WEIGHTS / 2
        g = self.g(theta)
        log_g = np.log(np.where(g > 0, g, 1))
        cos = np.sin(np.minimum(math.pi / 2 - theta, math.pi / 2 + theta))
        return float(-(weights * g * (log_g - np.log(np.maximum(cos, 1e-300)))).sum())

    def _noisy_log_prob(self, s: Numbers) -> Numbers:
        """log ∫ g(θ) N(s; sin θ, σ²) dθ over the θ that matter. The sum is computed relative to its largest term."""
        sigma = self.noise_std
        v = np.clip(s, self.minimum, self.maximum)
        away = np.abs(s - v)
        half = REACH * sigma**2 / (np.sqrt(away**2 + REACH * sigma**2) + away)
        low, high = (np.arcsin(np.clip(end, -1, 1))[:, None] for end in (v - half, v + half))
        low, high = np.maximum(low, self.sections[:, 0]), np.minimum(high, self.sections[:, 1])  # (n, sections)
        width = np.maximum(high - low, 0)[..., None]
        theta = low[..., None] + width * (1 + NODES) / 2  # (n, sections, nodes)
        offset = v[:, None, None] - np.sin(theta)
        square = offset * (2 * (s - v)[:, None, None] + offset)  # (s − sin θ)² − (s − v)²
        density = (width * WEIGHTS / 2 * self.g(theta) * np.exp(-square / (2 * sigma**2))).sum((-1, -2))
        with np.errstate(divide="ignore"):
            log_density = np.log(density)
        return log_density - (away / sigma) ** 2 / 2 - math.log(sigma * math.sqrt(2 * math.pi))

    def _noisy_entropy(self) -> float:
        """−∫ p log p ds by Gauss–Legendre on panels that get wider away from each edge and kink of p."""
        sigma = self.noise_std
        low, high = self.minimum - 10 * sigma, self.maximum + 10 * sigma
        reach = max((high - low) / sigma, 10)
        growing = 4 * 1.5 ** np.arange(0, math.log(reach) / math.log(1.5))
        steps = sigma * np.concatenate([np.arange(0, 4, 0.5), growing])
        edges = np.clip(np.add.outer(np.sin(self.sections), np.concatenate([-steps, steps])), low, high)
        edges = np.unique(np.append(edges, [low, high]))
        width = np.diff(edges)[:, None]
        nodes, weights = np.polynomial.legendre.leggauss(12)
        s = (edges[:-1, None] + width * (1 + nodes) / 2).ravel()
        log_p = self.log_prob(s)
        return float(-((width * weights / 2).ravel() * np.exp(log_p) * np.where(log_p > -700, log_p, 0)).sum())
