"""Binary data."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, distributions
from torch.distributions import Distribution, Independent

from vaelab.families.family import Family, Support


class Bernoulli(Family):
    """p(t|z) = Π y_m^t_m (1−y_m)^(1−t_m) over binary t, with y = sigmoid(logits).

    log p(t|z) = Σ t_m log y_m + (1−t_m) log(1−y_m) is a log-probability, in nats, for t in {0, 1} alone; grey values
    are not refused here, since a check would cost every batch: the data modules serve binary data to this family.
    Kingma & Welling 2014, appendix C.1; the tutorial's §5.1, eqs. 27-28.
    """

    support: ClassVar[Support] = "binary"

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__(event_shape)
        self.num_parameters = self.event_size

    def forward(self, parameters: Tensor) -> Distribution:
        """(…, k) logits -> Bernoulli(sigmoid(logits)), batch_shape (…)."""
        logits = parameters.unflatten(-1, self.event_shape)
        bernoulli = distributions.Bernoulli(logits=logits, validate_args=False)
        return Independent(bernoulli, len(self.event_shape), validate_args=False)
