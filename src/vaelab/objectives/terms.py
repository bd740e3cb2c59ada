"""What an objective returns."""

from typing import NamedTuple

from torch import Tensor


class Terms(NamedTuple):
    """Per-example terms, each (B,), in nats; a name here is the name of the curve (`train/elbo`, `val/kl`).

    Attributes:
        elbo: the evidence lower bound, always with β = 1, whatever the objective.
        log_likelihood: E_q[log p(t|z)], minus the distortion.
        kl: KL(q(z|x) ‖ p(z)) or its estimate, the rate.
        bound: the objective's lower bound on log p(t), without weights and penalties: IW_K for `IWAE`, else the ELBO.
        loss: what the optimiser minimises, such as β·kl − log_likelihood.
    """

    elbo: Tensor
    log_likelihood: Tensor
    kl: Tensor
    bound: Tensor
    loss: Tensor
