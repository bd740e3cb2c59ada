"""Recognises folders that vaelab itself wrote, because runs and sweeps may lie inside a folder of data."""

from pathlib import Path

from vaelab.files import LIMIT, read_json, read_small

OF_A_STATE = {"state", "overrides", "config"}  # keys of a run's state.json
SETTINGS = ("multirun.yaml", ".hydra/hydra.yaml")  # files of a sweep, and of a run without a state.json
OWN = (b"hydra_plugins.vaelab_sweep", b"vaelab.app.lock_folder")  # in the Hydra settings of every command of vaelab


def is_output(folder: Path) -> bool:
    """True if a folder is a run or a sweep of vaelab.

    This depends on the contents of its files, not on their names: Hugging Face data sets have a state.json too.
    """
    try:
        found = read_json(folder / "state.json")
    except (OSError, ValueError):
        found = None
    if isinstance(found, dict) and found.keys() >= OF_A_STATE:
        return True
    return any(own in _contents(folder / name) for name in SETTINGS for own in OWN)


def _contents(path: Path) -> bytes:
    try:
        return read_small(path, LIMIT)
    except (OSError, ValueError):
        return b""
