"""Finds the checkpoint from which a run is loaded or resumed."""

import logging
from pathlib import Path
from typing import Any

from vaelab.checkpoint import read_checkpoint
from vaelab.whole_files import second_name

log = logging.getLogger(__name__)

WHAT_A_RUN_HOLDS = "a run's folder holds checkpoints/best.ckpt or checkpoints/last.ckpt"


def checkpoint_in(folder: Path) -> Path:
    """The checkpoint with a run's best weights, or else with its last.

    Raises:
        FileNotFoundError: the run has neither.
    """
    for name in ("best.ckpt", "last.ckpt"):
        if (path := folder / "checkpoints" / name).is_file():
            return path
    if not folder.exists():
        raise FileNotFoundError(f"{folder} does not exist, so there is no run to load; {WHAT_A_RUN_HOLDS}")
    inside = sorted(path.parent.parent.name for path in folder.glob("*/checkpoints/*.ckpt"))
    jobs = f"; it holds the runs {', '.join(dict.fromkeys(inside))}, so name one of them" if inside else ""
    raise FileNotFoundError(f"{folder} is not a run, because {WHAT_A_RUN_HOLDS}{jobs}")


def read_run_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """Reads a run's checkpoint.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or it holds no config of vaelab.
    """
    content = read_checkpoint(checkpoint)
    config = content.get("hyper_parameters")
    if not isinstance(config, dict) or "x_shape" not in config or not isinstance(content.get("state_dict"), dict):
        raise ValueError(
            f"{checkpoint} holds no config of vaelab, so no model can be built from it; train the run again, or save "
            "your own module with vaelab.save_run"
        )
    return content


def newest_checkpoint(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Finds and reads the newest complete checkpoint of a run. A warning names one that is broken.

    Raises:
        FileNotFoundError: there is no checkpoint.
        ValueError: none is complete, or the run cannot be resumed from it.
    """
    path, previous = (folder / "checkpoints" / name for name in ("last.ckpt", "previous.ckpt"))
    if not path.is_file() and not previous.is_file():
        raise FileNotFoundError(
            f"{folder} has no checkpoints/last.ckpt, so it cannot be resumed; name a run's folder, or train a new run"
        )
    try:
        content = read_run_checkpoint(path)
    except (FileNotFoundError, ValueError) as error:
        if not previous.is_file():
            raise
        content = read_run_checkpoint(previous)
        log.warning("%s; resuming from %s", str(error).split(";")[0], previous)
        second_name(previous, path)
        path = previous  # `last.ckpt` may still be broken, if we cannot write to its folder
    if "loops" not in content:
        raise ValueError(
            f"{path} was written by vaelab.save_run, which keeps the model but not the state of its training, so the "
            "run cannot be resumed; train a new run"
        )
    if "position" not in content:
        raise ValueError(f"{path} was written by another version of vaelab, so it cannot be resumed; train a new run")
    return path, content
