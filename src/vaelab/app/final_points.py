"""Writes the final numbers of a run to its loggers."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from vaelab.app.errors import one_sentence
from vaelab.app.hparams import hparams_of, varying_keys
from vaelab.training import explain_write_errors
from vaelab.training.loggers import flush, write_final

log = logging.getLogger("vaelab")


def write_final_points(folder: Path, config: Mapping[str, Any], metrics: Mapping[str, float], trainer: Trainer) -> None:
    """Writes the final numbers beside the hyper-parameters, and waits until they are on the disk.

    This must come before metrics.json: a run that has that file counts as done, so nothing would write these points if
    it were killed in between. A failure is only a warning, because the run itself is fine.

    Args:
        folder: the run's folder.
        config: its config.
        metrics: tag -> final number; nothing is written if there is none.
        trainer: the trainer of the run.
    """
    try:
        with explain_write_errors():
            if metrics:
                typed, first = varying_keys(folder)
                write_final(trainer.loggers, hparams_of(config, typed), metrics, trainer.global_step, first)
            flush(trainer.loggers)
    except Exception as error:
        log.warning("the final numbers are missing in the loggers (%s)", one_sentence(error))
