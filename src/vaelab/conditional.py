"""A network whose output parametrises a family: the encoder and the decoder alike."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.families import Family


class Conditional(nn.Module):
    """A conditional distribution: q(z|x) as an encoder, p(t|z) as a decoder.

    When it is used as an encoder, z and x are swapped (the tutorial's §5.2.1).

    Args:
        network: (…, *condition) -> (…, family.num_parameters).
        family: (…, num_parameters) -> Distribution with batch_shape (…).
    """

    def __init__(self, network: nn.Module, family: Family) -> None:
        super().__init__()
        self.network = network
        self.family = family

    def forward(self, condition: Tensor) -> Distribution:
        """(…, *condition) -> a distribution with batch_shape (…)."""
        return self.family(self.network(condition))

    @torch.no_grad()
    def start_at(self, mean: Tensor) -> None:
        """Starts training where the data as a whole are: sets the bias of the network's output to the data's mean.

        That is the logit of each pixel's mean for a Bernoulli (Burda et al. 2016, arxiv.org/abs/1509.00519, §5); other
        families, and a network without `bias`, stay as they are.

        Args:
            mean: of the training targets, the family's event_shape.
        """
        numbers = self.family.at_mean(mean)
        if numbers is not None and isinstance(bias := getattr(self.network, "bias", None), Tensor):
            bias.copy_(numbers)
