"""A network and a family, joined into a conditional distribution: the encoder or the decoder."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.families import Family, with_moments


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
    """

    pure = True

    def __init__(self, network: nn.Module, family: Family) -> None:
        super().__init__()
        self.network = network
        self.family = family

    def forward(self, given: Tensor, condition: Tensor | None = None) -> Distribution:
        """(…, *input), and (…, c) for a conditional network -> a distribution with batch_shape (…).

        You can always ask it for `mean` and `stddev`: `EstimatedMoments` estimates them if there is no closed form.
        """
        numbers = self.network(given) if condition is None else self.network(given, condition)
        return with_moments(self.family(numbers))

    @torch.no_grad()
    def start_at(self, mean: Tensor) -> None:
        """Sets the bias of the network's output such that training starts at the data's mean.

        For a Bernoulli, the bias is the logit of each pixel's mean (Burda et al. 2016, arxiv.org/abs/1509.00519, §5).
        Nothing changes for other families, or for a network without `bias`.

        Args:
            mean: the mean of the training targets, in the family's event_shape.
        """
        numbers = self.family.at_mean(mean)
        if numbers is not None and isinstance(bias := getattr(self.network, "bias", None), Tensor):
            bias.copy_(numbers)
