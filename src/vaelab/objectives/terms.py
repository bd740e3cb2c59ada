"""What an objective returns."""

from typing import NamedTuple

from torch import Tensor


class Terms(NamedTuple):
    """Per-example terms, each (B,), in nats; a name here is the name of the curve (`train/elbo`, `val/kl`).

    Attributes:
        elbo: the bound itself, always with β = 1.
        log_likelihood: E_q[log p(t|z)], minus the distortion.
        kl: KL(q(z|x) ‖ p(z)) or its estimate, the rate.
        loss: what the optimiser minimises, β·kl − log_likelihood.
    """

    elbo: Tensor
    log_likelihood: Tensor
    kl: Tensor
    loss: Tensor
