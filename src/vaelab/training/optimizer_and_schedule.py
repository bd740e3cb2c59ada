"""The optimiser and the schedule of a run, as Lightning wants them."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from vaelab.training.half_precision import check_eps


def optimizer_and_schedule(
    vae: nn.Module,
    make_optimizer: Callable[[Iterable[Parameter]], Optimizer],
    make_schedule: Callable[[Optimizer], LRScheduler] | None,
) -> Any:
    """What `LightningModule.configure_optimizers` returns.

    A schedule with a method `follow` is stepped with the optimiser, others once an epoch.

    Args:
        vae: the model whose parameters are trained.
        make_optimizer: parameters -> optimiser.
        make_schedule: optimiser -> learning-rate schedule; None keeps the rate.

    Raises:
        ValueError: the optimiser's eps is 0 in float16, the precision of the weights.
    """
    optimizer = make_optimizer(vae.parameters())
    check_eps(optimizer, vae.parameters())
    if make_schedule is None:
        return optimizer
    schedule = make_schedule(optimizer)
    interval = "step" if hasattr(schedule, "follow") else "epoch"
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": interval}}
