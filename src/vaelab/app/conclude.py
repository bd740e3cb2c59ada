"""Shows the results of a run that is done."""

import logging
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import OmegaConf

from vaelab.app.errors import one_sentence
from vaelab.app.fit import Trained
from vaelab.app.score import OF_VERSION_0_1
from vaelab.objectives import Terms
from vaelab.runs.final_numbers import format_summary
from vaelab.training import explain_write_errors

HPARAMS = (  # columns of TensorBoard's hyper-parameters tab, in addition to the groups
    "latent_dim",
    "seed",
    "network.hidden",
    "network.activation",
    "objective.samples",
    "objective.beta",
    "optimizer.lr",
    "data.batch_size",
    "trainer.max_epochs",
)
log = logging.getLogger("vaelab")


def conclude(folder: Path, trained: Trained) -> float:
    """Prints the final numbers of a run and fills TensorBoard's hyper-parameters tab.

    Everything is on the disk by now, so a failure here is only a warning.

    Returns:
        The run's score; NaN if it has none.
    """
    config, metrics, notes, trainer = trained
    with suppress(KeyboardInterrupt):  # the run is done, so there is nothing to stop
        try:
            if metrics:
                with explain_write_errors():
                    fill_hparams(config, metrics, trainer)
        except Exception as error:
            log.warning("TensorBoard's hyper-parameters tab lacks this run (%s)", one_sentence(error))
        try:
            print(format_summary(folder, metrics, Terms._fields, notes), flush=True)
        except Exception as error:
            log.warning("%s holds the final numbers; they cannot be printed (%s)", folder / "metrics.json", error)
    return metrics.get(config.get("score") or OF_VERSION_0_1, math.nan)


def fill_hparams(config: dict[str, Any], metrics: dict[str, float], trainer: Trainer) -> None:
    """Fills TensorBoard's hyper-parameters tab. All runs write the same keys, so you can compare them."""
    hparams = dict(config["choices"])
    for key in HPARAMS:
        value = OmegaConf.select(OmegaConf.create(config), key)
        hparams[key] = float(value) if type(value) in (int, float) else str(value)
    final = {f"final/{tag}": value for tag, value in metrics.items()}
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(hparams, final, trainer.global_step)
            logger.finalize("success")  # a thread writes the file, and the end of the process would cut it off
