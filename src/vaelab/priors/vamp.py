"""The VampPrior: a mixture of the model's own posteriors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, MixtureSameFamily

from vaelab.checks import check_whole
from vaelab.families import with_moments
from vaelab.short_repr import call_of


class VampPrior(nn.Module):
    """p(z) = (1/K) Σ_k q(z|u_k), with K learned pseudo-inputs u_k, or q(z|u_k, c_k) in a conditional model.

    Tomczak & Welling 2018, arxiv.org/abs/1705.07120, eq. 9.

    It uses the model's encoder without owning it: `VAE` passes the encoder in, and the state_dict holds it only once.
    There is no closed-form KL, so conf/prior/vamp.yaml sets `kl: monte_carlo`. The pseudo-inputs start at examples of
    the data (`start_from`), or else at draws from N(0, 0.1²). They are not bounded. If the encoder standardises its
    input, they are stored standardised. In a conditional model, each pseudo-input has a pseudo-condition c_k, which
    starts at the condition of the same example. The prior is then p(z), the same for every condition.

    >>> from functools import partial
    >>> from vaelab import VAE, families, networks
    >>> prior = VampPrior((5,), components=4)
    >>> vae = VAE.build((5,), families.DiagonalGaussian((3,)), families.DiagonalGaussian((5,)), prior, networks.MLP)
    >>> vae.prior().sample((7,)).shape
    torch.Size([7, 3])

    Args:
        x_shape: the shape of the encoder's input.
        components: K, the number of pseudo-inputs.
        pseudo_condition_size: how many numbers a condition of the encoder has; 0 for a model without conditions.

    Raises:
        ValueError: K is not a whole number of at least 1.
    """

    pure = True

    def __init__(self, x_shape: Sequence[int], components: int = 50, pseudo_condition_size: int = 0) -> None:
        super().__init__()
        self.x_shape = tuple(x_shape)
        self.components = check_whole("prior.components", components, 1)
        self.pseudo_condition_size = check_whole("pseudo_condition_size", pseudo_condition_size, 0)
        self.pseudo_inputs = nn.Parameter(0.1 * torch.randn(components, *x_shape))
        if pseudo_condition_size:
            even = torch.full((components, pseudo_condition_size), 1 / pseudo_condition_size)
            self.pseudo_conditions = nn.Parameter(even)
        self._encoder: list[nn.Module] = []  # in a list, so torch does not count its weights as this module's own

    def uses(self, encoder: nn.Module) -> None:
        """Sets the encoder: the one of the model that this prior belongs to."""
        self._encoder = [encoder]

    @torch.no_grad()
    def start_from(self, examples: Tensor, conditions: Tensor | None = None) -> None:
        """Sets the pseudo-inputs to the first K of the examples (n, *x_shape), repeated if n < K.

        The pseudo-conditions of a conditional model become the conditions (n, c) of these examples.
        """
        rows = torch.arange(self.components) % len(examples)
        units = self._units
        self.pseudo_inputs.copy_((examples if units is None else units(examples))[rows].to(self.pseudo_inputs))
        if self.pseudo_condition_size and conditions is not None:
            self.pseudo_conditions.copy_(conditions[rows].to(self.pseudo_conditions))

    @property
    def _units(self) -> Any:
        """The standardisation of the encoder's input; None if there is none."""
        return getattr(self._encoder[0], "input_units", None) if self._encoder else None

    @property
    def support(self) -> str:
        """The kind of z: that of the model's posterior."""
        return str(getattr(getattr(self._encoder[0], "family", None), "support", "real")) if self._encoder else "real"

    def __repr__(self) -> str:
        return call_of(self)

    def forward(self) -> Distribution:
        """The mixture, batch_shape (), event_shape (p,).

        Raises:
            ValueError: the prior belongs to no model.
        """
        if not self._encoder:
            raise ValueError("a VampPrior must have an encoder, but has none; build a VAE with it first")
        units = self._units
        inputs = self.pseudo_inputs if units is None else units.undo(self.pseudo_inputs)
        conditions = (self.pseudo_conditions,) if self.pseudo_condition_size else ()
        q: Any = self._encoder[0](inputs, *conditions)
        weights = Categorical(logits=self.pseudo_inputs.new_zeros(self.components), validate_args=False)
        return with_moments(MixtureSameFamily(weights, q, validate_args=False))
