"""Points of sin(x+y): the tutorial's data."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vaelab.checks import check_flag, check_number, check_seed, check_whole
from vaelab.data.checksum import crc32
from vaelab.data.condition import check_no_condition
from vaelab.data.data_module import DataModule
from vaelab.data.sine_density import SineDensity

XY, S = ("x", "y"), "sin(x+y)"
LARGEST = 1e4  # sin(x+y) in float32 is good to 1e-3 up to here


class Sine(DataModule):
    """Points (x, y), uniform on a square, and s = sin(x+y) + noise (the tutorial's §6).

    The encoder sees (x, y) and the decoder is scored on s; with `surface` the point (x, y, s) reconstructs itself.
    Each split has a generator of its own, seeded by `seed`, so that its points stay when another split's size changes.

    Args:
        train_size, val_size, test_size: points per split.
        domain: [low, high], the range of both x and y.
        noise_std: standard deviation of the Gaussian noise on s.
        surface: whether the point (x, y, s) reconstructs itself.
        batch_size: points per training batch.
        eval_batch_size: points per validation and test batch.
        seed: decides every split.
        support: what the likelihood scores; it must be `real`.
        condition: must be None, because these data have no labels.

    Raises:
        ValueError: a size, the domain or the noise makes no sense, or the likelihood does not score real numbers.
    """

    def __init__(
        self,
        train_size: int = 10_000,
        val_size: int = 2_000,
        test_size: int = 2_000,
        domain: Sequence[float] = (-math.pi, math.pi),
        noise_std: float = 0.0,
        surface: bool = False,
        batch_size: int = 100,
        eval_batch_size: int = 2_000,
        seed: int = 0,
        support: str = "real",
        condition: str | None = None,
    ) -> None:
        super().__init__()
        check_no_condition(condition, "points of sin(x+y)")
        if support != "real":
            raise ValueError(
                f"the model scores {support} data, but sin(x+y) is real-valued; use a Gaussian model such as "
                "model=gaussian, or data=mnist"
            )
        self.train_size = check_whole("data.train_size", train_size, 1)
        self.val_size = check_whole("data.val_size", val_size, 1)
        self.test_size = check_whole("data.test_size", test_size, 1)
        self.sizes = [self.train_size, self.val_size, self.test_size]
        if not isinstance(domain, Sequence) or len(domain) != 2:
            raise ValueError(f"data.domain must be two numbers such as [-3.14,3.14], but is {domain}")
        self.domain = low, high = tuple(domain)
        self.low = check_number("the lower end of data.domain", low, -LARGEST, maximum=LARGEST)
        self.high = check_number("the upper end of data.domain", high, low, above=True, maximum=LARGEST)
        self.noise_std = check_number("data.noise_std", noise_std, 0)
        self.surface_points = self._surface = check_flag("data.surface", surface)  # `surface` is a method
        self.batch_size = check_whole("data.batch_size", batch_size, 1)
        self.eval_batch_size = check_whole("data.eval_batch_size", eval_batch_size, 1)
        self.seed = check_seed("data.seed", seed)
        self.x_shape = (3,) if surface else (2,)
        self.target_shape = (3,) if surface else (1,)
        self.density = SineDensity(self.low, self.high, self.noise_std)

    def setup(self, stage: str | None = None) -> None:
        """Draws the three splits; the same at every call."""
        self.train, self.val, self.test = (self._draw(index, size) for index, size in enumerate(self.sizes))

    def _draw(self, split: int, size: int) -> Tensor | tuple[Tensor, Tensor]:
        """-> x (n, 2) and target (n, 1), or the points (n, 3)."""
        generator = torch.Generator().manual_seed(len(self.sizes) * self.seed + split)
        xy = self.low + (self.high - self.low) * torch.rand(size, 2, generator=generator)
        s = _sine(xy).unsqueeze(-1) + self.noise_std * torch.randn(size, 1, generator=generator)
        return torch.cat([xy, s], dim=-1) if self.surface_points else (xy, s)

    def checksum(self, split: str) -> str:
        """CRC-32 of the points (x, y) alone: they decide s, whose last bit may differ from processor to processor."""
        x, _ = self.examples(split)
        return f"{crc32([x[:, :2]]):08x}"

    def entropy(self) -> float | None:
        """Entropy of the target, nats, to about 1e-8; None if it is −∞ or float32 cannot hold such data.

        For s alone it is that of its exact density, and log(π/2) on [−π, π] without noise. For the point (x, y, s) it
        is 2·log(high − low) + ½·log(2πe·σ²), and −∞ without noise, because the point then lies on a surface. Noise
        below half the step of float32 (3e-8 for |s| up to 1) counts as none, because it does not survive in the data.
        """
        if not self._has_density:
            return None
        if not self.surface_points:
            return self.density.entropy()
        return 2 * math.log(self.high - self.low) + 0.5 * math.log(2 * math.pi * math.e * self.noise_std**2)

    def log_prob(self, target: Tensor) -> Tensor | None:
        """Exact log-density of targets (n, *target_shape) -> (n,) in float64, nats; None if `entropy` is None.

        Takes about 20 µs per target with noise. Without noise a target of ±1, which float32 gives to every s within
        3e-8 of it, has the mean log-density of those s.
        """
        if not self._has_density:
            return None
        target = target.detach().cpu()
        if not self.surface_points:
            return torch.from_numpy(self.density.log_prob(target.reshape(-1).double().numpy()))
        xy, s = target[:, :2], target[:, 2]
        noise = (s - _sine(xy)).double() / self.noise_std
        log_normal = -0.5 * noise**2 - math.log(self.noise_std * math.sqrt(2 * math.pi))
        rounding = 2.0**-22 * max(abs(self.low), abs(self.high))  # float32 puts a point this far outside
        inside = ((xy >= self.low - rounding) & (xy <= self.high + rounding)).all(-1)
        return (log_normal - 2 * math.log(self.high - self.low)).where(inside, -math.inf)

    @property
    def _has_density(self) -> bool:
        if self.surface_points:
            return self.density.noise_std > 0 and self.density.resolves_points
        return self.density.resolves_target

    def labels(self, split: str) -> tuple[str, Tensor]:
        """The noise-free sin(x+y) of each example (n,), in the order of `batches`."""
        x, _ = self.examples(split)
        return "sin(x+y)", _sine(x[:, :2])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the target's dimensions."""
        return (*XY, S) if self.surface_points else (S,)

    @property
    def x_names(self) -> tuple[str, ...]:
        """Names of the dimensions of x."""
        return (*XY, S) if self.surface_points else XY

    def surface(self, n: int) -> tuple[Tensor, Tensor]:
        """x on an n by n grid of the domain (n·n, *x_shape), and sin(x+y) there (n, n): row i has the i-th x.

        If the point reconstructs itself, its third coordinate is the noise-free sin(x+y).
        """
        line = torch.linspace(self.low, self.high, check_whole("n", n, 2))
        xy = torch.cartesian_prod(line, line)
        s = _sine(xy)
        return torch.cat([xy, s.unsqueeze(-1)], dim=-1) if self.surface_points else xy, s.view(n, n)

    def describe(self, x_shape: Sequence[int] | None = None) -> dict[str, str]:
        """See `DataModule.describe`."""
        noise = f"noise {self.noise_std!r}" if self.noise_std else "no noise"
        return {
            **super().describe(x_shape),
            "per": f"point (x, y, {S})" if self.surface_points else f"number {S}",
            "data": f"{S} on [{_in_words(self.low)}, {_in_words(self.high)}]², {noise}",
            "splits": f"{self.sizes[1]} points to validate and {self.sizes[2]} to test, drawn by seed {self.seed}",
        }


def _sine(xy: Tensor) -> Tensor:
    """sin(x+y): (n, 2) -> (n,)."""
    return xy.sum(-1).sin()


def _in_words(number: float) -> str:
    known = {math.pi: "π", -math.pi: "-π", 2 * math.pi: "2π", -2 * math.pi: "-2π"}
    return known.get(number) or f"{number!r}".removesuffix(".0")
