"""The final numbers of a run."""

from pathlib import Path

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from vaelab.checkpoint import read_checkpoint


def score_best(trainer: Trainer, module: LightningModule, data: LightningDataModule) -> dict[str, float]:
    """Scores the test split, once, with the best weights of a fitted trainer.

    Returns:
        `val/*` as the best checkpoint recorded them and `test/*` of its weights, in nats per example. Where nothing was
        saved (`fast_dev_run`, no validation), both are of the weights as they are.
    """
    validated = {tag: value.item() for tag, value in trainer.callback_metrics.items() if tag.startswith("val/")}
    checkpoints = (callback for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint))
    best = next((callback.best_model_path for callback in checkpoints if callback.monitor == "val/elbo"), "")
    if best:
        validated = read_checkpoint(Path(best))["metrics"]
    (tested,) = trainer.test(module, data, ckpt_path=best or None, verbose=False)
    return {**validated, **tested}
