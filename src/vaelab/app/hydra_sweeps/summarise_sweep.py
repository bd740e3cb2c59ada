"""Ends a sweep with a summary: hydra.callbacks.summary."""

import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class SummariseSweep(Callback):
    """Compares the cells of a sweep, and ends the process with an exit code that counts failures.

    The exit code is 0 if all cells are done, or else the number of cells that are not (at most 100). If a signal
    stopped the sweep, it is 128 plus the number of the signal.
    """

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Writes and prints the summary."""
        from vaelab.app.errors import one_sentence
        from vaelab.sweeps.cells import STOP
        from vaelab.sweeps.summary import summarise

        folder = Path(config.hydra.sweep.dir)
        try:
            left, text = summarise([folder], folder)
            print(f"\n{text}")
            stop = folder / STOP
            if stop.exists():
                number = int(stop.read_text())
                stop.unlink()
                print(f"stopped; the same command with hydra.sweep.dir={folder} resumes it", file=sys.stderr)
                sys.exit(128 + number)
        except Exception as error:  # Hydra would turn it into a warning
            sys.exit(f"error: {one_sentence(error)}")
        if left:
            sys.exit(min(left, 100))
