"""sin(x+y): the tutorial's data set."""

import math
from collections.abc import Sequence

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from vaelab.checks import check_flag, check_number, check_seed, check_whole
from vaelab.data.batches import Batches

LARGEST = 1e4  # sin(x+y) in float32 is good to 1e-3 up to here


class Sine(LightningDataModule):
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
        support: what the likelihood scores; only `real` fits.

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
    ) -> None:
        super().__init__()
        if support != "real":
            raise ValueError(
                f"the model scores {support} data, but sin(x+y) is real-valued; use a Gaussian model such as "
                "model=gaussian, or data=mnist"
            )
        self.sizes = [
            check_whole("data.train_size", train_size, 1),
            check_whole("data.val_size", val_size, 1),
            check_whole("data.test_size", test_size, 1),
        ]
        if not isinstance(domain, Sequence) or len(domain) != 2:
            raise ValueError(f"data.domain={domain} does not fit, because it must be two numbers such as [-3.14,3.14]")
        low, high = domain
        self.low = check_number("the lower end of data.domain", low, -LARGEST, maximum=LARGEST)
        self.high = check_number("the upper end of data.domain", high, low, above=True, maximum=LARGEST)
        self.noise_std = check_number("data.noise_std", noise_std, 0)
        self.surface = check_flag("data.surface", surface)
        self.batch_size = check_whole("data.batch_size", batch_size, 1)
        self.eval_batch_size = check_whole("data.eval_batch_size", eval_batch_size, 1)
        self.seed = check_seed("data.seed", seed)
        self.x_shape = (3,) if surface else (2,)
        self.target_shape = (3,) if surface else (1,)

    def setup(self, stage: str | None = None) -> None:
        """Draws the three splits; the same at every call."""
        self.train, self.val, self.test = (self._draw(index, size) for index, size in enumerate(self.sizes))

    def _draw(self, split: int, size: int) -> tuple[Tensor, Tensor | None]:
        """-> x (n, 2) and target (n, 1), or the points (n, 3) and None."""
        generator = torch.Generator().manual_seed(len(self.sizes) * self.seed + split)
        xy = self.low + (self.high - self.low) * torch.rand(size, 2, generator=generator)
        s = xy.sum(-1, keepdim=True).sin() + self.noise_std * torch.randn(size, 1, generator=generator)
        return (torch.cat([xy, s], dim=-1), None) if self.surface else (xy, s)

    def train_dataloader(self) -> Batches:
        """Shuffled (x, target) batches."""
        return Batches(*self.train, self.batch_size, shuffle=True)

    def val_dataloader(self) -> Batches:
        """(x, target) batches in a fixed order."""
        return Batches(*self.val, self.eval_batch_size)

    def test_dataloader(self) -> Batches:
        """(x, target) batches in a fixed order."""
        return Batches(*self.test, self.eval_batch_size)
