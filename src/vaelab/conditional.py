"""A network and a family, joined into a conditional distribution: the encoder or the decoder."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.families import Family, with_moments
from vaelab.short_repr import call_of
from vaelab.standardization import Standardization
from vaelab.torch_private import detached


class Conditional(nn.Module):
    """A conditional distribution: q(z|x) as an encoder, p(t|z) as a decoder.

    In an encoder, z and x swap roles (the tutorial's §5.2.1).

    >>> from vaelab import Conditional, families, networks
    >>> encoder = Conditional(networks.MLP((5,), 6), families.DiagonalGaussian((3,)))
    >>> encoder(torch.zeros(7, 5)).event_shape
    torch.Size([3])

    Args:
        network: (…, *input) -> (…, family.num_parameters); a conditional network takes the condition too.
        family: (…, num_parameters) -> Distribution with batch_shape (…).
        input_units: standardises the network's input; None hands it to the network as it is.
        output_units: the units of the distribution, if the family describes standardised numbers; None changes nothing.
        condition_units: standardises the condition; None hands it to the network as it is.
    """

    pure = True

    def __init__(
        self,
        network: nn.Module,
        family: Family,
        input_units: Standardization | None = None,
        output_units: Standardization | None = None,
        condition_units: Standardization | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.family = family
        self.input_units = input_units
        self.output_units = output_units
        self.condition_units = condition_units

    def __repr__(self) -> str:
        return call_of(self)

    def forward(self, given: Tensor, condition: Tensor | None = None) -> Distribution:
        """(…, *input), and (…, c) for a conditional network -> a distribution with batch_shape (…).

        You can always ask it for `mean` and `stddev`: `EstimatedMoments` estimates them if there is no closed form.
        """
        return self._distribution(self.family, self._numbers(given, condition))

    def with_detached(self, given: Tensor, condition: Tensor | None = None) -> tuple[Distribution, Distribution]:
        """The distribution, and the same one with all of its parameters cut off from the gradient.

        A gradient then reaches log q̄(z) only through z, as sticking the landing (Roeder et al. 2017,
        arxiv.org/abs/1703.09194) and doubly reparameterised gradients need. The network runs once.

        >>> from vaelab import families, networks
        >>> encoder = Conditional(networks.MLP((5,), 6), families.DiagonalGaussian((3,)))
        >>> q, cut_off = encoder.with_detached(torch.zeros(7, 5))
        >>> q.mean.requires_grad, cut_off.mean.requires_grad
        (True, False)
        """
        numbers = self._numbers(given, condition)
        cut_off = self._distribution(detached(self.family), numbers.detach())
        return self._distribution(self.family, numbers), cut_off

    def _numbers(self, given: Tensor, condition: Tensor | None) -> Tensor:
        given = given if self.input_units is None else self.input_units(given)
        if condition is None:
            return self.network(given)
        return self.network(given, condition if self.condition_units is None else self.condition_units(condition))

    def _distribution(self, family: nn.Module, numbers: Tensor) -> Distribution:
        distribution = with_moments(family(numbers))
        return distribution if self.output_units is None else self.output_units.rescale(distribution)

    @torch.no_grad()
    def start_at(self, mean: Tensor) -> None:
        """Sets the bias of the network's output such that training starts at the data's mean.

        For a Bernoulli, the bias is the logit of each pixel's mean (Burda et al. 2016, arxiv.org/abs/1509.00519, §5),
        and for the Gaussian families it is the mean itself. Nothing changes for a family without `at_mean`, or for a
        network without `bias`.

        Args:
            mean: the mean of the training targets, in the family's event_shape and the data's units.
        """
        numbers = self.family.at_mean(mean if self.output_units is None else self.output_units(mean))
        if numbers is not None and isinstance(bias := getattr(self.network, "bias", None), Tensor):
            bias.copy_(numbers)
