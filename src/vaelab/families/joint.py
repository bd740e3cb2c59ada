"""Independent distributions over a whole event, for targets of every real dtype."""

from collections.abc import Sequence

from torch import Tensor
from torch.distributions import Distribution, Independent

from vaelab.precision import floating


class Joint(Independent):
    """torch's `Independent`. Its `log_prob` first converts targets to the dtype of the parameters.

    Attributes:
        like: a parameter of the distribution.
    """

    like: Tensor

    def log_prob(self, value: Tensor) -> Tensor:
        """(…, *event_shape) -> (…), nats."""
        return super().log_prob(floating(value, self.like))


def joint(base: Distribution, like: Tensor, event_shape: Sequence[int]) -> Joint:
    """Joins one distribution per number, batch_shape (…, *event_shape), into one over the event, batch_shape (…)."""
    made = Joint(base, len(event_shape), validate_args=False)
    made.like = like
    return made
