"""The final numbers of a run."""

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


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
        validated = torch.load(best, map_location="cpu", weights_only=True)["metrics"]
    (tested,) = trainer.test(module, data, ckpt_path=best or None, verbose=False)
    return {**validated, **tested}
