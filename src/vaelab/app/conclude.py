"""Shows the results of a run that is done."""

import logging
import math
from contextlib import suppress
from pathlib import Path

from vaelab.app.errors import one_sentence
from vaelab.app.fit import Trained
from vaelab.app.hparams import hparams_of, varying_keys
from vaelab.app.score import OF_VERSION_0_1
from vaelab.objectives import Terms
from vaelab.runs.final_numbers import format_summary
from vaelab.training import explain_write_errors
from vaelab.training.loggers import close, write_final

log = logging.getLogger("vaelab")


def conclude(folder: Path, trained: Trained) -> float:
    """Prints the final numbers of a run, and writes them to the loggers beside the hyper-parameters.

    Everything is on the disk by now, so a failure here is only a warning.

    Returns:
        The run's score; NaN if it has none.
    """
    config, metrics, notes, trainer = trained
    with suppress(KeyboardInterrupt):  # the run is done, so there is nothing to stop
        try:
            with explain_write_errors():
                if metrics:
                    typed, first = varying_keys(folder)
                    write_final(trainer.loggers, hparams_of(config, typed), metrics, trainer.global_step, first)
                close(trainer.loggers, "success")  # threads write the files, and the process would end before them
        except Exception as error:
            log.warning("the final numbers are missing in the loggers (%s)", one_sentence(error))
        try:
            print(format_summary(folder, metrics, Terms._fields, notes), flush=True)
        except Exception as error:
            log.warning("%s holds the final numbers; they cannot be printed (%s)", folder / "metrics.json", error)
    return metrics.get(config.get("score") or OF_VERSION_0_1, math.nan)
