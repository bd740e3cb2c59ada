"""The baseline of a model: its likelihood family, fitted to the training data without a latent."""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.conditional import Conditional


class Baseline(nn.Module):
    """One distribution for all targets. A model that scores no higher has learned nothing from its latents.

    It has the decoder's family and floor of σ, and is fitted to the training targets by maximum likelihood.

    >>> from vaelab import Conditional, families, networks
    >>> decoder = Conditional(networks.MLP((3,), 2), families.DiagonalGaussian((1,)))
    >>> baseline = Baseline(decoder).fit_(torch.tensor([[1.0], [3.0]]))
    >>> baseline().mean.item(), round(baseline().stddev.item(), 3)
    (2.0, 1.0)

    Args:
        decoder: the decoder of the model; its family and its units are copied.
    """

    def __init__(self, decoder: Conditional) -> None:
        super().__init__()
        self.family = deepcopy(decoder.family).requires_grad_(False)
        self.family.couples_examples = False  # its σ is fitted to all of the training data
        self.units = deepcopy(decoder.output_units)
        self.register_buffer("numbers", torch.zeros(self.family.num_parameters))
        self.numbers: Tensor

    def __repr__(self) -> str:
        return f"Baseline({self.family!r})"

    @torch.no_grad()
    def fit_(self, target: Tensor) -> "Baseline":
        """Fits the distribution to targets (n, *t), in the data's units, by maximum likelihood. Returns itself."""
        family = deepcopy(self.family).double().requires_grad_(True)
        self.numbers.copy_(family.fit_((target if self.units is None else self.units(target)).detach()))
        self.family.load_state_dict(family.state_dict())
        return self

    def forward(self) -> Distribution:
        """The distribution of a target, batch_shape (), event_shape (*t)."""
        p: Distribution = self.family(self.numbers)
        return p if self.units is None else self.units.rescale(p)
