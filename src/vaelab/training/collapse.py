"""Finds posterior collapse: latents that the model does not use, during training and at the end.

A latent is off if the mean KL(q(z_j|x) ‖ p(z_j)) over validation examples is below `OFF` = 0.01 nats. The KL does not
depend on the scale of z, so this suits any prior. A model is collapsed if its whole KL is below 0.1 nats: z then says
next to nothing about x. See Lucas et al. 2019, arxiv.org/abs/1911.02469.
"""

import logging
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from vaelab.evaluation.evaluation_mode import ready_to_score
from vaelab.evaluation.latents import kl_per_dimension
from vaelab.figures.kl_bars import OFF
from vaelab.precision import device_of
from vaelab.training.examples_shown import gather
from vaelab.training.pictures_of import posterior
from vaelab.training.schedule_length import has_final_beta

COLLAPSED = 0.1  # nats: the whole KL of a model that is collapsed
VALIDATIONS = 5  # in a row with such a KL, before a warning
EARLIEST = 0.25  # of the run: a KL often starts near 0, and rises once the decoder has learned to use z
FEWEST_STEPS = 500  # before a warning, for the same reason
EXAMPLES = 1_000  # the first validation examples, for the KL of each latent

log = logging.getLogger(__name__)


class LatentUse(NamedTuple):
    """How a model uses its latents.

    Attributes:
        kl: the KL of q(z|x), nats per validation example.
        per_latent: the KL of each latent, from the marginals of q and p, taken as Gaussians.
    """

    kl: float
    per_latent: list[float]

    @property
    def off(self) -> list[int]:
        """The latents that are off, counted from 1."""
        return [number for number, kl in enumerate(self.per_latent, 1) if kl < OFF]

    @property
    def is_collapsed(self) -> bool:
        """True if z says next to nothing about x."""
        return self.kl < COLLAPSED


@torch.no_grad()
def latent_use(trainer: Trainer, module: Any, kl: float) -> LatentUse:
    """Measures the KL of each latent on the first validation examples; `kl` is that of the whole validation split."""
    examples = gather(trainer, EXAMPLES)
    with ready_to_score(module.vae) as vae:
        device = device_of(vae)  # after the test, Lightning has moved the model back to the CPU
        condition = None if examples.condition is None else examples.condition.to(device)
        q, shown = posterior(vae, examples._replace(x=examples.x.to(device), condition=condition, surface=None))
        found = kl_per_dimension(q, vae.prior_given(shown.condition)).mean(0)
    return LatentUse(kl, found.tolist())


class CollapseWatch(Callback):
    """Warns once if a model ignores its latents although the weight of the KL has reached its final value.

    It only reads the `val/kl` of each validation, so it costs no time.

    >>> watch = CollapseWatch(cure="objective.beta_schedule=linear may help")

    Then pass it to Lightning: `Trainer(callbacks=[watch])`.

    Args:
        cure: what to try, as a sentence.
    """

    def __init__(self, cure: str) -> None:
        self.cure = cure
        self.low = 0  # validations in a row with a KL near 0
        self.warned = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Counts validations with a KL near 0."""
        module: Any = pl_module
        kl = trainer.callback_metrics.get("val/kl")
        if self.warned or kl is None or trainer.sanity_checking or not trainer.is_global_zero:
            return
        self.low = self.low + 1 if kl < COLLAPSED and has_final_beta(pl_module) else 0
        done = module.fraction_done() if getattr(module, "fraction_done", None) else None
        late = module.global_step >= FEWEST_STEPS and (done is None or done >= EARLIEST)
        if self.low >= VALIDATIONS and late:
            self.warned = True
            log.warning(
                "the model ignores its latents so far (posterior collapse): val/kl is %.2g nats, and was below %g in "
                "the last %d validations. %s",
                *(kl, COLLAPSED, self.low, self.cure),
            )
