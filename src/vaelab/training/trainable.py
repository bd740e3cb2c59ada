"""Checks that an objective can train a model, before it does."""

from typing import Any

from vaelab.build import check_parts
from vaelab.vae import VAE


def check_trainable(vae: VAE, objective: Any, processes: int) -> None:
    """Checks that an objective can train a model in so many processes.

    Raises:
        ValueError: they do not fit together; or the loss of an example depends on its whole minibatch, of which each of
            several processes would see only a part.
    """
    check_parts(vae, objective)
    if processes == 1:
        return
    if getattr(objective, "couples_examples", False):
        raise ValueError(
            f"trainer.devices must be 1 for this objective ({type(objective).__name__}), because each example's loss "
            f"depends on the whole minibatch, but is {processes}; use trainer=default"
        )
    if getattr(getattr(vae.decoder, "family", None), "couples_examples", False):
        raise ValueError(
            "trainer.devices must be 1 with model.optimal=true, because the variance is that of the whole minibatch, "
            f"but is {processes}; use trainer=default or model.optimal=false"
        )
