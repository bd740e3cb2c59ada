"""Rows with labels as conditions, and models for them: one with a flow posterior and a VampPrior, one conditional."""

from collections.abc import Iterator
from functools import partial

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.nn.functional import one_hot

from vaelab import VAE
from vaelab.families import DiagonalGaussian, Flow, Laplace, OneHotCategorical
from vaelab.networks import MLP
from vaelab.objectives import ELBO, IWAE
from vaelab.priors import DiscretePrior, StandardNormal, VampPrior

K, P, CLASSES = 5, 3, 4
Model = tuple[VAE, ELBO | IWAE]


def flow_model() -> Model:
    """A Laplace likelihood, a flow posterior and a VampPrior, trained by IWAE."""
    flow = Flow((P,), context=4, transforms=2, hidden=[7], bins=3)
    return VAE.build((K,), flow, Laplace((K,)), VampPrior((K,), 6), partial(MLP, hidden=[9])), IWAE(samples=2)


def conditional_model() -> Model:
    """A conditional VAE, trained by the ELBO."""
    families = DiagonalGaussian((P,)), DiagonalGaussian((K,))
    vae = VAE.build((K,), *families, StandardNormal((P,)), partial(MLP, hidden=[9]), condition_size=CLASSES)
    return vae, ELBO(samples=2)


def discrete_model() -> Model:
    """Categorical latents with a learned prior, trained by IWAE with Gumbel-softmax."""
    latents = OneHotCategorical(2, 3)
    prior = DiscretePrior(OneHotCategorical(2, 3), learned=True)
    vae = VAE.build((K,), latents, Laplace((K,)), prior, partial(MLP, hidden=[9]))
    return vae, IWAE(samples=2, gradient="gumbel_softmax")


class Loader:
    """Batches of a process: row i and every k-th row after it, or the first row if there is no row i."""

    def __init__(self, rows: tuple[Tensor, ...], batch_size: int, rank: int, world: int) -> None:
        self.rows, self.batch_size, self.rank, self.world = rows, batch_size, rank, world
        self.full = batch_size

    def __len__(self) -> int:
        return -(-len(self.rows[0]) // self.batch_size)

    def examples(self, index: int) -> int:
        """Rows of a batch, over all processes."""
        return min(self.batch_size, len(self.rows[0]) - index * self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        for batch in zip(*(each.split(self.batch_size) for each in self.rows), strict=True):
            own = slice(self.rank, None, self.world) if self.rank < len(batch[0]) else slice(1)
            yield tuple(each[own] for each in batch)


class LabelledRows(LightningDataModule):
    """Batches (x, target, condition), or (x, target) without conditions; the last batch of 78 rows has one row."""

    def __init__(self, conditional: bool, n: int = 78, batch_size: int = 11) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(5)
        x = torch.randn(n, K, generator=draws)
        condition = one_hot(torch.randint(CLASSES, (n,), generator=draws), CLASSES)
        self.rows = (x, x + 0.1, condition) if conditional else (x, x + 0.1)
        self.batch_size = batch_size

    def train_dataloader(self) -> Loader:
        """This process's part of each batch."""
        return Loader(self.rows, self.batch_size, self.trainer.global_rank, self.trainer.world_size)

    def val_dataloader(self) -> Loader:
        """The first 13 rows, in every process."""
        return Loader(tuple(each[:13] for each in self.rows), self.batch_size, 0, 1)
