"""Finds out if the user wants errors with their traceback: HYDRA_FULL_ERROR=1."""

import os

WISH = "VAELAB_TRACEBACK"  # in the environment: HYDRA_FULL_ERROR as the user set it


def traceback_wanted() -> bool:
    """True if errors are shown with their traceback, instead of in one sentence."""
    return os.environ.get(WISH, os.environ.get("HYDRA_FULL_ERROR")) == "1"


def raise_errors_of_hydra() -> None:
    """Makes Hydra raise its errors instead of printing them, and remembers the user's choice."""
    os.environ[WISH] = str(int(traceback_wanted()))
    os.environ["HYDRA_FULL_ERROR"] = "1"
