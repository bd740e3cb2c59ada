"""What a command says when it ends early, and its exit code."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from vaelab.app.rank import first_has_ended, rank
from vaelab.signals import Stopped, stopping
from vaelab.typed_command import typed_command

log = logging.getLogger("vaelab")


def say(error: Exception, given: Sequence[str] = ()) -> None:
    """Says in one sentence why a run ends; if all of its processes know why, the first one says it."""
    from vaelab.app.errors import one_sentence

    if rank() and is_known_to_the_first(error):
        sys.exit(0)
    tell(f"error: {one_sentence(error, given)}")


def tell(sentence: str) -> None:
    """Logs a sentence; prints it if Hydra's settings have switched logging off."""
    log.error("%s", sentence)
    if log.disabled:
        print(sentence, file=sys.stderr)


def is_known_to_the_first(error: Exception) -> bool:
    """Whether the first process of this run ends too, and by itself."""
    from vaelab.training.non_finite import Diverged

    return isinstance(error, Diverged) or stopping.asked is not None or first_has_ended()


def say_how_to_resume(stopped: Stopped, folder: Path) -> NoReturn:
    """Ends the process after a signal, and says how to resume the run."""
    if rank():
        sys.exit(0)  # the first says it
    saved = any(folder.glob("checkpoints/*.ckpt"))
    cure = f"{typed_command()} resume={folder} resumes it" if saved else "nothing was saved yet, so start it again"
    tell(f"{stopped}; {cure}")
    sys.exit(128 + stopped.signal)
