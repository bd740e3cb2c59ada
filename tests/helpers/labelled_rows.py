"""Rows with labels as conditions, and models for them: one with a flow posterior and a VampPrior, one conditional."""

from functools import partial

import torch
from lightning.pytorch import LightningDataModule
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader, TensorDataset

from vaelab import VAE
from vaelab.families import DiagonalGaussian, Flow, Laplace
from vaelab.networks import MLP
from vaelab.objectives import ELBO, IWAE
from vaelab.priors import StandardNormal, VampPrior

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


class LabelledRows(LightningDataModule):
    """Batches (x, target, condition), or (x, target) without conditions; the last batch of 78 rows has one row."""

    def __init__(self, conditional: bool, n: int = 78, batch_size: int = 11) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(5)
        x = torch.randn(n, K, generator=draws)
        condition = one_hot(torch.randint(CLASSES, (n,), generator=draws), CLASSES)
        self.rows = (x, x + 0.1, condition) if conditional else (x, x + 0.1)
        self.batch_size = batch_size

    def train_dataloader(self) -> DataLoader:
        """All rows."""
        return DataLoader(TensorDataset(*self.rows), self.batch_size)

    def val_dataloader(self) -> DataLoader:
        """The first 13 rows."""
        return DataLoader(TensorDataset(*(each[:13] for each in self.rows)), self.batch_size)
