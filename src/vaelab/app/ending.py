"""Ends a command early, with a sentence and an exit code."""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from vaelab.app.rank import first_has_ended, rank
from vaelab.signals import Stopped, stopping
from vaelab.typed_command import typed_command

log = logging.getLogger("vaelab")


def say(error: Exception, given: Sequence[str] = ()) -> None:
    """Says in one sentence why a run ends. If all of its processes know, only the first one says it."""
    from vaelab.app.errors import one_sentence

    if rank() and is_known_to_the_first(error):
        _leave_to_the_first()
    tell(f"error: {one_sentence(error, given)}")


def _leave_to_the_first() -> NoReturn:
    """Ends a process that is not the first, at once: otherwise the threads of its connection could print something."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def tell(sentence: str) -> None:
    """Logs a sentence, or prints it if Hydra's settings have switched off logging."""
    log.error("%s", sentence)
    if log.disabled:
        print(sentence, file=sys.stderr)


def is_known_to_the_first(error: Exception) -> bool:
    """True if the first process of this run ends too, on its own."""
    from vaelab.training.non_finite import Diverged

    return isinstance(error, Diverged) or stopping.asked is not None or first_has_ended()


def say_how_to_resume(stopped: Stopped, folder: Path) -> NoReturn:
    """Ends the process after a signal, and says how to resume the run."""
    if rank():
        _leave_to_the_first()
    saved = any(folder.glob("checkpoints/*.ckpt"))
    cure = f"{typed_command()} resume={folder} resumes it" if saved else "nothing was saved yet, so start it again"
    tell(f"{stopped}; {cure}")
    sys.exit(128 + stopped.signal)
