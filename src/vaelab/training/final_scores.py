"""Computes the final numbers of a run."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from vaelab.checkpoint import read_checkpoint
from vaelab.errors import one_sentence
from vaelab.training.loggers import without_points

log = logging.getLogger(__name__)

EARLY = 0.9  # best weights from a later share of the run's steps look like the last ones


class Scores(NamedTuple):
    """The final numbers of a run.

    Attributes:
        metrics: `val/*` and `test/*`, in nats per example for the objective's terms.
        notes: a sentence for each number that is missing, and one if no best weights were kept, or early ones.
    """

    metrics: dict[str, float]
    notes: list[str]


def score_best(trainer: Trainer, module: LightningModule, data: LightningDataModule) -> Scores:
    """Scores the test split once, with the best weights of a fitted trainer.

    `val/*` was recorded in the best checkpoint, and `test/*` is computed with its weights. If there is no best
    checkpoint (`fast_dev_run`, no validation), both belong to the last weights. Training is over and saved, so an error
    in the test is only a warning.
    """
    if not trainer.global_step:
        return Scores({}, [f"nothing was trained: {_why_untrained(trainer)}"])
    best = _best(trainer)
    validated = {tag: value.item() for tag, value in trainer.callback_metrics.items() if tag.startswith("val/")}
    notes = []
    if best:
        checkpoint = read_checkpoint(best)
        validated = checkpoint["metrics"]
        notes = _best_was_early(checkpoint["global_step"], trainer.global_step)
    if not validated:
        notes = [f"not validated: {_why_unvalidated(trainer, data)}"]
    tested, untested = _test(trainer, module, data, best)
    if untested:
        notes.append(f"not tested: {untested}")
    return Scores({**validated, **tested}, [*notes, *_what_was_not_kept(trainer, best)])


def _best(trainer: Trainer) -> Path | None:
    """The checkpoint that `load_run` will load, if the run has chosen one."""
    paths = (Path(getattr(callback, "best_model_path", "")) for callback in trainer.checkpoint_callbacks)
    return next((path for path in paths if path.name == "best.ckpt" and path.is_file()), None)


def _test(
    trainer: Trainer, module: LightningModule, data: LightningDataModule, best: Path | None
) -> tuple[dict[str, float], str]:
    """Computes `test/*`. Returns them, and the reason if a setting or the data leave them empty."""
    if not trainer.limit_test_batches:
        return {}, "trainer.limit_test_batches=0"
    if not hasattr(data, "test"):
        return {}, "the data have no test split"
    try:
        with without_points(trainer.loggers):
            results = trainer.test(module, data, ckpt_path=best, verbose=False)
    except (Exception, SystemExit) as error:  # a callback may call sys.exit
        if trainer.world_size > 1:  # the other processes wait for this one
            raise
        log.warning("not tested: %s; the run is done, and vaelab evaluate can still score it", one_sentence(error))
        return {}, ""
    return {tag: value for each in results for tag, value in each.items()}, "" if results else "the test split is empty"


def _why_untrained(trainer: Trainer) -> str:
    for flag in ("max_epochs", "max_steps", "limit_train_batches"):
        if getattr(trainer, flag) == 0:
            return f"trainer.{flag}=0"
    return "trainer.max_time or a callback ended the run before its first step"


def _why_unvalidated(trainer: Any, data: LightningDataModule) -> str:
    if not trainer.limit_val_batches:
        return "trainer.limit_val_batches=0"
    if not hasattr(data, "val"):
        return "the data have no validation split"
    return (
        f"the run ended after {trainer.global_step} steps, before a validation was due "
        f"(trainer.check_val_every_n_epoch={trainer.check_val_every_n_epoch}, "
        f"trainer.val_check_interval={trainer.val_check_interval})"
    )


def _best_was_early(step: int, steps: int) -> list[str]:
    """Says so if the last weights, which the pictures show, are much younger than the best ones, which are scored."""
    if step >= EARLY * steps:
        return []
    return [f"these numbers belong to best.ckpt, from step {step:,} of {steps:,}; the pictures show the last weights"]


def _what_was_not_kept(trainer: Any, best: Path | None) -> list[str]:
    if trainer.fast_dev_run:
        return ["nothing was saved: trainer.fast_dev_run only tries a few minibatches"]
    if best:
        return []
    if any(isinstance(callback, Checkpoint) for callback in trainer.callbacks):
        return ["these numbers belong to the last weights, because there is no checkpoints/best.ckpt"]
    return ["no checkpoint was kept, because callbacks.best and callbacks.last are off"]
