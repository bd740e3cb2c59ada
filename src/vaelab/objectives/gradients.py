"""Monte Carlo estimates of E_q[f(z)] whose gradients reach φ, the parameters of q(z|x), in different ways.

The value is always the mean over L samples (the tutorial's eq. 23). The gradients differ:

    pathwise                 z = g_φ(ε, x), so ∇_φ f(z) flows through z
    score_function           (1/L) Σ_l f(z_l) ∇_φ log q(z_l|x)
    score_function_baseline  (1/L) Σ_l (f(z_l) − b_l) ∇_φ log q(z_l|x), b_l the mean of the other L − 1 values

Sources, in this order: the tutorial's eqs. 25-26 and Kingma & Welling 2014, §2.4; the tutorial's §4.2 and Williams
1992; Mnih & Rezende 2016, arxiv.org/abs/1602.06725, in the form with a plain mean.
"""

from typing import Protocol

from torch import Tensor
from torch.distributions import Distribution

from vaelab.objectives.importance import Draws, draw


class Estimator(Protocol):
    """One way to draw z and to average over it."""

    def sample(self, q: Distribution, samples: int) -> Tensor:
        """z ~ q -> (L, B, p)."""

    def draw(self, q: Distribution, samples: int) -> Draws:
        """z ~ q, and log q(z|x) for use in f."""

    def mean(self, values: Tensor, q: Distribution, z: Tensor) -> Tensor:
        """f(z_l), (L, B) -> their mean, (B,), which carries this estimator's gradient."""


class Pathwise:
    """The reparameterisation trick."""

    def sample(self, q: Distribution, samples: int) -> Tensor:
        return q.rsample((samples,))

    def draw(self, q: Distribution, samples: int) -> Draws:
        return draw(q, samples)

    def mean(self, values: Tensor, q: Distribution, z: Tensor) -> Tensor:
        return values.mean(0)


class ScoreFunction:
    """∇_φ E_q[f] = E_q[(f − b) ∇_φ log q(z|x)], with b = 0 or the leave-one-out mean."""

    def __init__(self, leave_one_out: bool) -> None:
        self.leave_one_out = leave_one_out

    def sample(self, q: Distribution, samples: int) -> Tensor:
        return q.sample((samples,))

    def draw(self, q: Distribution, samples: int) -> Draws:
        z = q.sample((samples,))
        return Draws(z, q.log_prob(z).detach())  # its gradient would only add noise: E_q[∇_φ log q] = 0

    def mean(self, values: Tensor, q: Distribution, z: Tensor) -> Tensor:
        baseline = (values.sum(0) - values) / (len(values) - 1) if self.leave_one_out else 0.0
        log_qz = q.log_prob(z)  # (L, B)
        score = (values - baseline).detach() * (log_qz - log_qz.detach())  # value 0, gradient (f − b) ∇ log q
        return (values + score).mean(0)


ESTIMATORS: dict[str, Estimator] = {
    "pathwise": Pathwise(),
    "score_function": ScoreFunction(leave_one_out=False),
    "score_function_baseline": ScoreFunction(leave_one_out=True),
}
