"""Loads a trained VAE from a run's folder, or from one of its checkpoints."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from vaelab.runs.curves import steps_per_epoch_of
from vaelab.runs.find_checkpoint import checkpoint_in, read_run_checkpoint
from vaelab.runs.run import Run
from vaelab.runs.trust import check_model
from vaelab.runs.weights import baseline_with_numbers, errors_naming, shapes_of, vae_with_weights

log = logging.getLogger(__name__)


def load_run(folder_or_checkpoint: str | Path, device: str = "cpu", allow: Sequence[str] = ()) -> Run:
    """Rebuilds a trained VAE from a run's folder (its best weights, or else its last) or from one of its checkpoints.

    Loading runs no code from the checkpoint: it is read with `weights_only=True`, and its config may only name
    constructors of vaelab and of the packages that you allow.

    Args:
        folder_or_checkpoint: a run's folder, such as `outputs/2026-11-22/16-56-34`, or a .ckpt file.
        device: the device for the VAE, such as `cuda`.
        allow: your own packages, if the config names constructors from them, such as `["mypackage"]`.

    Raises:
        FileNotFoundError: there is no such run.
        ValueError: the file is not a checkpoint of vaelab, or its config names a constructor that is not allowed.
    """
    path, packages = Path(folder_or_checkpoint).expanduser(), tuple(allow)
    checkpoint = path if path.is_file() else checkpoint_in(path)
    folder = checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent
    content = read_run_checkpoint(checkpoint)
    if content.get("global_step") == 0:
        log.warning("%s holds weights that were never trained", checkpoint)
    config = content["hyper_parameters"]
    with errors_naming(checkpoint):
        check_model(config, folder, packages)
    vae = vae_with_weights(checkpoint, config, content["state_dict"], packages)
    baseline = baseline_with_numbers(checkpoint, vae, content["state_dict"])
    x_shape, target_shape, condition_shape = shapes_of(config)
    return Run(
        folder,
        checkpoint,
        config,
        vae.to(_device(device)).eval(),
        x_shape,
        target_shape,
        packages,
        _names(checkpoint, config, "x_names", x_shape),
        condition_shape,
        _names(checkpoint, config, "condition_names", condition_shape),
        None if baseline is None else baseline.to(_device(device)),
        steps_per_epoch_of(content),
    )


def _names(
    checkpoint: Path, config: Mapping[str, Any], key: str, shape: tuple[int, ...] | None
) -> tuple[str, ...] | None:
    """The names of some numbers in a config; None in a run of an older version."""
    names = config.get(key)
    if names is None:
        return None
    if (
        not isinstance(names, list)
        or not all(isinstance(name, str) for name in names)
        or shape is None
        or len(names) != math.prod(shape)
    ):
        what = key.removesuffix("_names")
        raise ValueError(
            f"{key} in {checkpoint} must be a list of one name for each number of {what}; train the run again"
        )
    return tuple(names)


def _device(name: str) -> torch.device:
    try:
        probe = torch.zeros(1, device=name)
        probe.item()
        return probe.device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(f"device={name} cannot be used here ({str(error).splitlines()[0]}); use cpu") from error
