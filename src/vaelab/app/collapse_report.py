"""What a run says about its latents at its end, and which command may cure a collapse."""

import logging
import shlex
from collections.abc import Mapping, Sequence
from math import ceil, inf
from typing import Any

from hydra.core.hydra_config import HydraConfig

from vaelab.errors import one_sentence
from vaelab.figures.kl_bars import OFF
from vaelab.training.collapse import COLLAPSED, FEWEST_STEPS, LatentUse, latent_use
from vaelab.typed_command import typed_command

NAMED = 8  # at most this many latents are named
SMALL_STD, LONG_WARMUP = 0.05, 0.5
NARROW = 0.1  # a start of q(z|x) well inside N(0, I)
ENOUGH_STEPS = 2_000  # for a small model to find a use for its latents
log = logging.getLogger(__name__)


def collapse_notes(trainer: Any, module: Any, config: Mapping[str, Any], metrics: Mapping[str, float]) -> list[str]:
    """A sentence about the latents that are off, with the command of a cure if the model ignores all or most.

    Nothing if no latent is off, or if there was no validation.
    """
    if trainer.fast_dev_run or not trainer.is_global_zero or "val/kl" not in metrics:
        return []
    try:
        use = latent_use(trainer, module, metrics["val/kl"])
    except Exception as error:  # the run is trained, and this is only a remark about it
        log.warning("the latents that are off are not listed (%s)", one_sentence(error))
        return []
    return describe(use, cure(config, trainer.global_step))


def describe(use: LatentUse, cure: str) -> list[str]:
    """The sentences about a model's use of its latents.

    >>> describe(LatentUse(1.5, [1.5, 0.001]), "Try this.")
    ['1 of 2 latents is off (latent 2; KL below 0.01 nats): the data may need only 1']
    """
    off, p = len(use.off), len(use.per_latent)
    if use.is_collapsed:
        below = f"KL {use.kl:.2g} nats, below {COLLAPSED:g}"
        return [f"posterior collapse: the model ignores its latents ({below}). {cure}"]
    if not off:
        return []
    some = ", ".join(map(str, use.off))
    named = f"latent {some}; " if off == 1 else f"latents {some}; " if off <= NAMED else ""
    fact = f"{off} of {p} latents {'is' if off == 1 else 'are'} off ({named}KL below {OFF:g} nats): "
    return [f"{fact}the data may need only {p - off}"]


def cure(config: Mapping[str, Any], steps: float = inf) -> str:
    """A sentence with the likely cause of a collapse after some optimiser steps, and the command of its cure."""
    cause, override = too_short(config, int(steps)) if steps < FEWEST_STEPS else cause_and_cure(config)
    return f"A likely cause: {cause}. To cure it: {command_with(override)} (docs/collapse.md)"


def too_short(config: Mapping[str, Any], steps: int) -> tuple[str, str]:
    """The cause and the override for a run of so few steps that its KL says nothing about its settings.

    >>> too_short({"trainer": {"max_epochs": 3, "max_steps": -1}}, steps=30)
    ('training took only 30 steps', 'trainer.max_epochs=200')
    """
    epochs, trainer = config["trainer"].get("max_epochs"), config["trainer"]
    if epochs is None or epochs < 1 or trainer.get("max_steps", -1) > 0:
        override = f"trainer.max_steps={ENOUGH_STEPS}"
    else:
        override = f"trainer.max_epochs={ceil(epochs * ENOUGH_STEPS / max(1, steps))}"
    return f"training took only {steps} {'step' if steps == 1 else 'steps'}", override


def cause_and_cure(config: Mapping[str, Any]) -> tuple[str, str]:
    """The likely cause of a collapse with these settings, and the override that cures it."""
    objective, model = config["objective"], config["model"]
    if objective.get("beta", 1) > 1:
        return f"objective.beta={objective['beta']:g} makes it costly to use z", "objective.beta=1"
    if str(objective.get("gradient", "pathwise")).startswith("score_function"):
        discrete = str(config.get("posterior", {}).get("_target_")).endswith((".Bernoulli", ".OneHotCategorical"))
        cure = "gumbel_softmax" if discrete else "pathwise"
        return "the gradient of the encoder is noisy", f"objective.gradient={cure}"
    if "lam" in objective and config.get("posterior", {}).get("init_std", 0) > NARROW:
        return "q(z|x) starts as wide as the prior, where the MMD is already 0", f"posterior.init_std={NARROW:g}"
    if "std" in model:
        return f"with model.std={model['std']:g} the likelihood counts what z could explain as noise", "model=gaussian"
    if objective.get("beta_schedule") == "constant":
        return "the KL had its full weight before the decoder had learned to use z", "objective.beta_schedule=linear"
    if objective.get("beta_schedule") == "linear" and objective.get("warmup", 1) < LONG_WARMUP:
        return "the weight of the KL rose early", f"objective.warmup={LONG_WARMUP:g}"
    if model.get("init_std", 0) > SMALL_STD:
        return "the likelihood starts wide, so z has little to add", f"model.init_std={SMALL_STD:g}"
    return "the learning rate is high, or the data need no latent", f"optimizer.lr={_tenth(config)}"


def _tenth(config: Mapping[str, Any]) -> str:
    rate = config["optimizer"].get("lr")
    return f"{rate / 10:g}" if isinstance(rate, float | int) else "1e-3"


def command_with(override: str) -> str:
    """The command that the user typed, with one override added, and without those that set the same key."""
    given = typed_overrides()
    if given is None:
        return f"… {override}"
    key, _, _ = override.partition("=")
    replaced = (f"{key}=", f"{key}.", "trainer.enable_progress_bar=", "hydra.")
    kept = [each for each in given if not each.lstrip("+~").startswith(replaced)]
    return shlex.join([*typed_command().split(), *kept, override])


def typed_overrides() -> Sequence[str] | None:
    """The overrides of this run; None if it resumes, and keeps those of its beginning."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else None
