"""The data module for points of sin(x+y), the tutorial's data."""

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
LARGEST = 1e4  # up to here, sin(x+y) in float32 is accurate to 1e-3


class Sine(DataModule):
    """Points (x, y), uniform on a square, and s = sin(x+y) + noise (the tutorial's §6).

    The encoder's input is (x, y), and the target is s. With `surface`, the point (x, y, s) reconstructs itself. Each
    split has its own generator, seeded by `seed`, so its points stay the same if you change the size of another split.

    Args:
        train_size, val_size, test_size: points per split.
        domain: [low, high], the range of both x and y.
        noise_std: the standard deviation of the Gaussian noise on s.
        surface: True if the point (x, y, s) reconstructs itself.
        batch_size: points per training batch.
        eval_batch_size: points per validation and test batch.
        seed: the seed of all splits.
        support: the data that the likelihood scores; it must be `real`.
        condition: must be None, because these data have no labels.

    Raises:
        ValueError: a size, the domain or the noise is out of range, or the likelihood does not score real numbers.
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
                f"the model must score real data, because sin(x+y) is real-valued, but scores {support} data; use a "
                "Gaussian model such as model=gaussian, or other data"
            )
        self.train_size = check_whole("data.train_size", train_size, 1)
        self.val_size = check_whole("data.val_size", val_size, 1)
        self.test_size = check_whole("data.test_size", test_size, 1)
        self.sizes = [self.train_size, self.val_size, self.test_size]
        if not isinstance(domain, Sequence) or len(domain) != 2:
            raise ValueError(f"data.domain must be two numbers, but is {domain}; use a range such as [-3.14,3.14]")
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
        """Draws the three splits. They are the same at every call."""
        self.train, self.val, self.test = (self._draw(index, size) for index, size in enumerate(self.sizes))

    def _draw(self, split: int, size: int) -> Tensor | tuple[Tensor, Tensor]:
        """Draws x (n, 2) and the target (n, 1), or the points (n, 3)."""
        generator = torch.Generator().manual_seed(len(self.sizes) * self.seed + split)
        xy = self.low + (self.high - self.low) * torch.rand(size, 2, generator=generator)
        s = _sine(xy).unsqueeze(-1) + self.noise_std * torch.randn(size, 1, generator=generator)
        return torch.cat([xy, s], dim=-1) if self.surface_points else (xy, s)

    def checksum(self, split: str) -> str:
        """CRC-32 of the points (x, y) only. They determine s, but its last bit may differ between processors."""
        x, _ = self.examples(split)
        return f"{crc32([x[:, :2]]):08x}"

    def entropy(self) -> float | None:
        """The entropy of the target, nats, accurate to about 1e-8; None if it is −∞ or float32 cannot hold such data.

        For s, it is the entropy of the exact density; on [−π, π] without noise that is log(π/2). For the point
        (x, y, s), it is 2·log(high − low) + ½·log(2πe·σ²); without noise it is −∞, because the point then lies on a
        surface. Noise below half a float32 step (3e-8 for |s| up to 1) counts as no noise, because rounding removes it
        from the data.
        """
        if not self._has_density:
            return None
        if not self.surface_points:
            return self.density.entropy()
        return 2 * math.log(self.high - self.low) + 0.5 * math.log(2 * math.pi * math.e * self.noise_std**2)

    @property
    def read_report(self) -> str:
        """See `DataModule.read_report`."""
        train, val, test = (f"{size:,}" for size in self.sizes)
        return f"drew {train} points (x, y, {S}) to train, {val} to validate and {test} to test, by seed {self.seed}"

    def log_prob(self, target: Tensor) -> Tensor | None:
        """The exact log-density of targets (n, *target_shape) -> (n,) in float64, nats; None if `entropy` is None.

        With noise, it takes about 20 µs per target. Without noise, float32 rounds every s within 3e-8 of ±1 to ±1, so a
        target of ±1 has the mean log-density of these s.
        """
        if not self._has_density:
            return None
        target = target.detach().cpu()
        if not self.surface_points:
            return torch.from_numpy(self.density.log_prob(target.reshape(-1).double().numpy()))
        xy, s = target[:, :2], target[:, 2]
        noise = (s - _sine(xy)).double() / self.noise_std
        log_normal = -0.5 * noise**2 - math.log(self.noise_std * math.sqrt(2 * math.pi))
        rounding = 2.0**-22 * max(abs(self.low), abs(self.high))  # float32 may round a point this far outside
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
        """The names of the target's dimensions."""
        return (*XY, S) if self.surface_points else (S,)

    @property
    def x_names(self) -> tuple[str, ...]:
        """The names of the dimensions of x."""
        return (*XY, S) if self.surface_points else XY

    def surface(self, n: int) -> tuple[Tensor, Tensor]:
        """x on an n × n grid of the domain (n·n, *x_shape), and sin(x+y) there (n, n). Row i has the i-th x.

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
