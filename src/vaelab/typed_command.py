"""How to start training from here, for messages that tell the reader what to type."""

import os

COMMAND = "VAELAB_COMMAND"  # in the environment, so that the cells of a sweep and a run's other processes know it too


def typed_command() -> str:
    """The command that the user typed to train, without arguments: `python train.py`, or `vaelab train`."""
    return os.environ.get(COMMAND, "vaelab train")
