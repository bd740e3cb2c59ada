"""The command that starts training, for messages that tell the reader what to type."""

import os

COMMAND = "VAELAB_COMMAND"  # in the environment, so the cells of a sweep and a run's other processes have it too


def typed_command() -> str:
    """The command that the user typed to train, without arguments: `python train.py`, or `vaelab train`."""
    return os.environ.get(COMMAND, "vaelab train")
