"""A trained VAE, from a run's folder or from one of its checkpoints."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vaelab.build import build_vae
from vaelab.runs.admitted import admitted, users_own
from vaelab.runs.find_checkpoint import checkpoint_in, read_run_checkpoint
from vaelab.runs.run import Run
from vaelab.runs.trust import check_model
from vaelab.vae import VAE

log = logging.getLogger(__name__)


def load_run(folder_or_checkpoint: str | Path, device: str = "cpu", allow: Sequence[str] = ()) -> Run:
    """Rebuilds a trained VAE from a run's folder (its best weights, or else its last) or from one of its checkpoints.

    A checkpoint is data: it is read with `weights_only=True`, and its config may name constructors of vaelab alone.

    Args:
        folder_or_checkpoint: such as `outputs/2026-11-22/16-56-34`, or a .ckpt file.
        device: the device that the VAE is moved to, such as `cuda`.
        allow: packages of your own whose constructors the config may name, such as `["mypackage"]`.

    Raises:
        FileNotFoundError: there is no such run.
        ValueError: the file is no checkpoint of vaelab, or its config names another constructor.
    """
    path, packages = Path(folder_or_checkpoint).expanduser(), tuple(allow)
    checkpoint = path if path.is_file() else checkpoint_in(path)
    folder = checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent
    content = read_run_checkpoint(checkpoint)
    if content.get("global_step") == 0:
        log.warning("%s holds weights that were never trained", checkpoint)
    config = content["hyper_parameters"]
    try:
        check_model(config, folder, packages)
        vae = vae_with_weights(checkpoint, config, content["state_dict"], packages)
    except (KeyError, TypeError, AttributeError, RuntimeError, MemoryError, OverflowError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise ValueError(f"{checkpoint} carries a config that no model can be built from ({reason})") from error
    x_shape, target_shape, condition_shape = _shapes(config)
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
    )


def _shapes(config: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...] | None]:
    """The shapes of x, of the target and of the condition, which most models and all older runs lack."""
    condition_shape = config.get("condition_shape")
    return (
        tuple(config["x_shape"]),
        tuple(config["target_shape"]),
        None if condition_shape is None else tuple(condition_shape),
    )


def _names(
    checkpoint: Path, config: Mapping[str, Any], key: str, shape: tuple[int, ...] | None
) -> tuple[str, ...] | None:
    """The names of some numbers in a config, which a run of an older version lacks."""
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


def vae_with_weights(checkpoint: Path, config: Mapping[str, Any], state: Any, packages: tuple[str, ...]) -> VAE:
    """The VAE of a config with the weights of a checkpoint.

    Raises:
        ValueError: they are not the weights of such a VAE.
    """
    weights = {str(name).removeprefix("vae."): value for name, value in state.items()}
    modules = admitted(packages, nn.Module)
    try:
        if not users_own(packages):  # a constructor that is trusted may do more than torch can without memory
            with torch.device("meta"):  # only shapes: a size that no machine has costs nothing
                _check_weights(build_vae(config, *_shapes(config), modules).state_dict(), weights)
        vae = build_vae(config, *_shapes(config), modules)
        _check_weights(vae.state_dict(), weights)
        vae.load_state_dict(weights)
    except _Misfit as error:
        raise ValueError(
            f"{checkpoint} holds weights that do not fit its own config ({error}); it was made by another version of "
            "vaelab or of your own classes, so train the run again"
        ) from error
    return vae


class _Misfit(ValueError):
    """Weights are not those of a model."""


def _check_weights(expected: Mapping[str, torch.Tensor], weights: Mapping[str, Any]) -> None:
    if strange := sorted(expected.keys() ^ weights.keys()):
        raise _Misfit(f"{strange[0]} is {'missing' if strange[0] in expected else 'no weight of the model'}")
    for name, value in weights.items():
        if not isinstance(value, torch.Tensor) or value.shape != expected[name].shape:
            found = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise _Misfit(f"{name} must have the shape {tuple(expected[name].shape)}, but is {found}")
        if value.is_floating_point() != expected[name].is_floating_point() or value.is_complex():
            raise _Misfit(f"{name} must hold {expected[name].dtype}, but holds {value.dtype}")


def _device(name: str) -> torch.device:
    try:
        probe = torch.zeros(1, device=name)
        probe.item()
        return probe.device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(f"device={name} cannot be used here ({str(error).splitlines()[0]}); use cpu") from error
