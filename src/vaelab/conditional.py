"""A network whose output parametrises a family: the encoder and the decoder alike."""

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
