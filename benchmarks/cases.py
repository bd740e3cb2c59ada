"""The models and data to train: overrides for `python train.py`, and sizes for the other loops."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from vaelab.app.compose import compose
from vaelab.app.fit import build

ROWS = 8_192  # of the data on which `growth` measures a step
MNIST = ("model=bernoulli", "data=mnist")


@dataclass(frozen=True)
class Case:
    """One network, data set and batch size.

    Attributes:
        name: its name in the tables.
        overrides: for `train.py`, without the folder of the data.
        epochs: how many make one turn, which must be long enough to time.
    """

    name: str
    overrides: tuple[str, ...]
    epochs: int = 1

    @cached_property
    def config(self) -> Any:
        """The composed config."""
        return compose([*self.overrides, "~callbacks", "~logger"])  # they need a run's folder

    def build(self) -> tuple[Any, Any]:
        """-> the VAEModule and the data module of `train.py`, set up."""
        return build(self.config)

    @property
    def draws(self) -> int | None:
        """K of an importance-weighted bound; None for the ELBO, which draws z once."""
        objective = self.config.objective
        return int(objective.samples) if objective._target_.endswith("IWAE") else None

    def layers(self, x_size: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """(inputs, outputs) of each layer of the encoder and of the decoder, for x and target of `x_size` numbers."""
        hidden, latent_dim = self.config.network.hidden, self.config.latent_dim
        outputs = x_size if is_binary(self.config) else 2 * x_size
        return list(pairwise((x_size, *hidden, 2 * latent_dim))), list(pairwise((latent_dim, *hidden, outputs)))

    def multiply_adds(self, x_size: int) -> int:
        """Multiply-adds of the matrix products in one step.

        Each weight takes one forward and two backward for each draw of z, except in the encoder's first layer, whose
        input needs no gradient.
        """
        encoder, decoder = (sum(map(prod, each)) for each in self.layers(x_size))
        first = prod(self.layers(x_size)[0][0])
        return self.config.data.batch_size * (3 * (encoder + (self.draws or 1) * decoder) - first)


def is_binary(config: Any) -> bool:
    """True for a Bernoulli likelihood; the other one measured is a Gaussian."""
    return config.model._target_.endswith("Bernoulli")


SINE = Case(
    "sine", ("model=gaussian", "data=sine_surface", "network.hidden=[32]", "latent_dim=2", "data.batch_size=100"), 10
)


def cases(root: str | None) -> dict[str, Case]:
    """sin(x+y) 3-32-2, MNIST 784-500-20, and Burda et al.'s 784-200-200-50, also with IW_5.

    Args:
        root: the folder of the MNIST files; None for the default one.
    """
    place = () if root is None else (f"data.root={root}",)
    mnist = Case("mnist", (*MNIST, *place, "network.hidden=[500]", "latent_dim=20", "data.batch_size=128"))
    burda = Case("burda", (*MNIST, *place, "network.hidden=[200,200]", "latent_dim=50", "data.batch_size=100"))
    iwae = Case("burda_iwae", (*burda.overrides, "objective=iwae", "objective.samples=5"))
    return {case.name: case for case in (SINE, mnist, burda, iwae)}


def growth(folder: Path) -> dict[str, Sequence[tuple[int, Case]]]:
    """-> (size, case) pairs for each key that grows; writes the rows of data for all keys but the last."""
    rows = np.random.default_rng(0).integers(2, size=(ROWS + 200, 784), dtype=np.uint8)
    np.save(folder / "rows.npy", rows)
    data = ("model=bernoulli", "data=array", f"data.path={folder / 'rows.npy'}", "data.val_size=100")
    sizes = {
        "data.batch_size": (16, 32, 64, 128, 256, 512, 1024),
        "network.hidden": (25, 50, 100, 200, 400, 800),
        "latent_dim": (2, 10, 50, 200),
    }
    start = {"data.batch_size": 128, "network.hidden": 200, "latent_dim": 20}

    def case(key: str, size: int) -> Case:
        choices = start | {key: size}
        choices["network.hidden"] = f"[{choices['network.hidden']}]"
        return Case("growth", (*data, "data.test_size=100", *(f"{name}={value}" for name, value in choices.items())))

    grown = {key: [(size, case(key, size)) for size in values] for key, values in sizes.items()}
    grown["data.train_size"] = [
        (size, Case("growth", (*SINE.overrides, f"data.train_size={size}"), max(1, 20_000 // size)))
        for size in (1_000, 10_000, 100_000, 300_000)
    ]
    return grown
