"""Shows the results of a run that is done."""

import logging
import math
from contextlib import suppress
from pathlib import Path

from vaelab.app.errors import one_sentence
from vaelab.app.fit import Trained
from vaelab.app.score import OF_VERSION_0_1
from vaelab.objectives import Terms
from vaelab.runs.final_numbers import format_summary
from vaelab.training import explain_write_errors
from vaelab.training.loggers import close

log = logging.getLogger("vaelab")


def conclude(folder: Path, trained: Trained) -> float:
    """Prints the final numbers of a run, and closes its loggers.

    Everything is on the disk by now, so a failure here is only a warning.

    Returns:
        The run's score; NaN if it has none.
    """
    config, metrics, notes, trainer = trained
    with suppress(KeyboardInterrupt):  # the run is done, so there is nothing to stop
        try:
            with explain_write_errors():
                close(trainer.loggers, "success")  # threads write the files, and the process would end before them
        except Exception as error:
            log.warning("the loggers cannot be closed (%s)", one_sentence(error))
        try:
            print(format_summary(folder, metrics, Terms._fields, notes), flush=True)
        except Exception as error:
            log.warning("%s holds the final numbers; they cannot be printed (%s)", folder / "metrics.json", error)
    return metrics.get(config.get("score") or OF_VERSION_0_1, math.nan)
