"""The checkpoint that a folder's run is loaded or resumed from."""

import logging
from pathlib import Path
from typing import Any

from vaelab.checkpoint import read_checkpoint
from vaelab.whole_files import second_name

log = logging.getLogger(__name__)

WHAT_A_RUN_HOLDS = "a run's folder holds checkpoints/best.ckpt or checkpoints/last.ckpt"


def checkpoint_in(folder: Path) -> Path:
    """The best weights of a run, or else its last.

    Raises:
        FileNotFoundError: it has neither.
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
    """What a run's checkpoint holds.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or it carries no config of vaelab.
    """
    content = read_checkpoint(checkpoint)
    config = content.get("hyper_parameters")
    if not isinstance(config, dict) or "x_shape" not in config or not isinstance(content.get("state_dict"), dict):
        raise ValueError(
            f"{checkpoint} carries no config of vaelab, so no model can be built from it; train the run again, or save "
            "a module of your own with vaelab.save_run"
        )
    return content


def newest_checkpoint(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The newest checkpoint of a run that is whole, and what it holds; a broken one is named in a warning.

    Raises:
        FileNotFoundError: there is none.
        ValueError: none is whole, or the run cannot be resumed from it.
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
        path = previous  # `last.ckpt` may still be the broken one: its folder may not be ours to write
    if "loops" not in content:
        raise ValueError(
            f"{path} was written by vaelab.save_run, which keeps the model but not the state of its training, so the "
            "run cannot be resumed; train a new run"
        )
    if "position" not in content:
        raise ValueError(f"{path} was written by another version of vaelab, so it cannot be resumed; train a new run")
    return path, content
