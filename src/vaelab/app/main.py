"""The program that trains: `python train.py …`, `vaelab train …` and the cells of sweeps all start here."""

import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from vaelab.typed_command import COMMAND, typed_command


def main(typed: str | None = None) -> None:
    """Runs the command line. If it fails, exits with one sentence and a code other than 0.

    Args:
        typed: the command that the user typed, for messages; None keeps the one in the environment.
    """
    gc.disable()  # until everything is imported: a search for garbage among modules takes a second and finds none
    prepare_process(typed)
    from vaelab.app.rank import rank
    from vaelab.app.traceback_wanted import traceback_wanted

    try:
        run(sys.argv[1:])
    except KeyboardInterrupt:
        if not rank():
            logging.getLogger("vaelab").error("stopped by SIGINT before training began; start it again")
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        if traceback_wanted():
            raise
        from vaelab.app.errors import one_sentence

        sys.exit(f"error: {one_sentence(error)}")


def prepare_process(typed: str | None) -> None:
    """Prepares this process and the ones that it starts."""
    from vaelab.app.rank import rank
    from vaelab.app.traceback_wanted import raise_errors_of_hydra
    from vaelab.standard_streams import forgive_streams

    rank()  # now, while the process that started this one is alive
    logging.raiseExceptions = False  # a full disk has its own sentence, and logging errors would only repeat it
    raise_errors_of_hydra()
    forgive_streams()
    os.environ["MPLBACKEND"] = "agg"  # a notebook sets its own backend, which may be missing
    if typed is not None:  # a script: modules beside it can be imported, also by the cells of a sweep
        os.environ[COMMAND] = typed
        paths = dict.fromkeys([sys.path[0], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)


def run(arguments: Sequence[str]) -> None:
    """Shows help, resumes a run, or passes the arguments to Hydra."""
    if {"--help", "-h"} & set(arguments):
        from vaelab.app.help import help_page

        print(help_page(arguments))
    elif any(argument.startswith("--exp") for argument in arguments):
        raise ValueError(f"--experimental-rerun reads a pickle, which can run code; use {typed_command()} resume=RUN")
    elif any(argument.startswith("resume=") for argument in arguments):
        resume_run(arguments)
    else:
        from vaelab.app.hydra_entry import run_with_hydra

        run_with_hydra(arguments)


def resume_run(arguments: Sequence[str]) -> None:
    """Resumes a run. All messages also go to its train.log."""
    from vaelab.app.ending import say, say_how_to_resume
    from vaelab.app.traceback_wanted import traceback_wanted
    from vaelab.signals import Stopped

    if unread := [argument for argument in arguments if "=" not in argument]:
        raise ValueError(f"a run that resumes takes key=value arguments only, but one is {unread[0]}; leave it out")
    given = dict(argument.split("=", 1) for argument in arguments)
    folder = Path(given["resume"]).expanduser()
    from vaelab.app.resume import log_to, resume

    log_to(folder)
    try:
        resume(given)
    except Stopped as stopped:
        say_how_to_resume(stopped, folder.resolve())
    except Exception as error:
        if traceback_wanted():
            raise
        say(error)
        sys.exit(1)
