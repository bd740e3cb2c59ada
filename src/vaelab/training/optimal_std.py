"""Sets the σ of a likelihood with `optimal=true` from the training split, for scores, draws and pictures."""

from typing import Any

import torch

from vaelab.evaluation.evaluation_mode import ready_to_score
from vaelab.precision import double
from vaelab.seeded import seeded
from vaelab.vae import VAE

EXAMPLES = 10_000  # of the training split, evenly spread; with more, σ changes by less than 1 %
ROWS = 500  # examples that pass through the networks at once


class OptimalStd:
    """Sets σ at most once after each step, however many hooks of Lightning ask for it."""

    def __init__(self) -> None:
        self.step = -1  # after which σ was set last

    def set(self, module: Any) -> None:
        """Sets σ of a `VAEModule` in training, from the training split of its trainer's data."""
        if self.step != module.global_step:
            set_optimal_std(module.vae, getattr(module.trainer, "datamodule", None))
            self.step = module.global_step


@torch.no_grad()
def set_optimal_std(vae: VAE, data: Any) -> None:
    """Sets σ² to the mean of (t − μ(z))² over the training split, with one z ~ q(z|x) for each example.

    The draws are the same each time. Nothing happens if σ of the likelihood is learned or fixed.

    Args:
        vae: the model.
        data: its `vaelab.data.DataModule`, after `setup`.

    Raises:
        ValueError: the data are no such module.
    """
    family: Any = getattr(vae.decoder, "family", None)
    if not hasattr(family, "set_error") or not family.couples_examples:
        return
    if not hasattr(data, "examples"):
        raise ValueError(
            "model.optimal=true needs a vaelab.data.DataModule, because σ is computed from its training split; give "
            "one to Trainer.fit as datamodule, or use model.optimal=false"
        )
    x, target = data.examples("train")
    tensors = [x, x if target is None else target, *([data.conditions["train"]] if data.conditions else [])]
    rows = torch.linspace(0, len(x) - 1, min(len(x), EXAMPLES)).long()
    with ready_to_score(vae) as model, seeded(0):
        device = next(model.parameters()).device
        sums = [_squares(model, *(each[some].to(device) for each in tensors)) for some in rows.split(ROWS)]
    family.set_error(torch.stack(sums).sum() / (len(rows) * family.event_size))


def _squares(vae: Any, x: torch.Tensor, target: torch.Tensor, *condition: torch.Tensor) -> torch.Tensor:
    """The sum of squared errors, in the units of the family."""
    error = target - vae.decode(vae.encode(x, *condition).sample(), *condition).mean
    units = vae.decoder.output_units
    return double(error if units is None else error / units.scale).square().sum()
