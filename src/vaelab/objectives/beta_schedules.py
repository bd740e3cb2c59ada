"""Schedules for the weight of the KL. With f(u) = min(1, u / warmup) and r the fraction of the run that is done:

constant   β
linear     β · f(r)                   (Bowman et al. 2016, arxiv.org/abs/1511.06349, §3.1, with a linear ramp)
cyclical   β · f(cycles · r mod 1)    (Fu et al. 2019, arxiv.org/abs/1903.10145, eqs. 6-7)

With a small weight at first, the decoder learns to use z before the KL pulls q(z|x) to the prior. A schedule changes
only the training loss. The reported ELBO has weight 1, and `val/loss` has the final β.
"""

from collections.abc import Callable


def constant(progress: float, warmup: float, cycles: int) -> float:
    """1, whatever the progress.

    >>> constant(0.1, warmup=0.5, cycles=4)
    1.0
    """
    return 1.0


def linear(progress: float, warmup: float, cycles: int) -> float:
    """Rises from 0 to 1 over the first part of the run.

    >>> linear(0.1, warmup=0.5, cycles=4)
    0.2
    """
    return min(1.0, progress / warmup)


def cyclical(progress: float, warmup: float, cycles: int) -> float:
    """Rises from 0 to 1 once in each cycle.

    >>> [cyclical(progress, warmup=0.5, cycles=2) for progress in (0.25, 0.4, 0.5, 0.625, 1.0)]
    [1.0, 1.0, 0.0, 0.5, 1.0]
    """
    return 1.0 if progress >= 1 else linear(progress * cycles % 1, warmup, cycles)


SCHEDULES: dict[str, Callable[[float, float, int], float]] = {
    "constant": constant,
    "linear": linear,
    "cyclical": cyclical,
}
