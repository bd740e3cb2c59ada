"""Builds the VAE of a checkpoint's config, and loads the checkpoint's weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vaelab.baseline import Baseline
from vaelab.build import build_vae
from vaelab.runs.admitted import admitted, users_own
from vaelab.vae import VAE

Shape = tuple[int, ...]
OF_BASELINE = "baseline."


def vae_with_weights(checkpoint: Path, config: Mapping[str, Any], state: Any, packages: tuple[str, ...]) -> VAE:
    """Builds the VAE of a config, with the weights of a checkpoint.

    Args:
        checkpoint: the file, for the errors.
        config: the run's config.
        state: the checkpoint's `state_dict`, from a `VAEModule` or a VAE.
        packages: the user's packages whose classes the config may name.

    Raises:
        ValueError: no model can be built from the config, or the weights do not fit it.
    """
    check_fits(checkpoint, config, state, packages)
    weights = _of_vae(state)
    with errors_naming(checkpoint):
        vae = build_vae(config, *shapes_of(config), admitted(packages, nn.Module))
        _check_weights(vae.state_dict(), weights)
        vae.load_state_dict(weights)
    return vae


def check_fits(checkpoint: Path, config: Mapping[str, Any], state: Any, packages: tuple[str, ...]) -> None:
    """Compares a checkpoint's weights with its config before memory is allocated. Raises as `vae_with_weights` does.

    Nothing is compared if the config may name the user's classes, because they may not work on torch's meta device.
    """
    if not users_own(packages):
        with errors_naming(checkpoint), torch.device("meta"):  # only shapes, so even a huge size costs nothing
            expected = build_vae(config, *shapes_of(config), admitted(packages, nn.Module)).state_dict()
            _check_weights(expected, _of_vae(state))


def shapes_of(config: Mapping[str, Any]) -> tuple[Shape, Shape, Shape | None]:
    """The shapes of x, of the target, and of the condition, which is None for most models and all older runs."""
    condition_shape = config.get("condition_shape")
    return (
        tuple(config["x_shape"]),
        tuple(config["target_shape"]),
        None if condition_shape is None else tuple(condition_shape),
    )


@contextmanager
def errors_naming(checkpoint: Path) -> Iterator[None]:
    """Turns errors about a checkpoint's config into a ValueError that names the checkpoint."""
    try:
        yield
    except _Misfit as error:
        raise ValueError(
            f"{checkpoint} holds weights that do not fit its own config ({error}), because vaelab or your own classes "
            "have changed; train the run again"
        ) from error
    except (KeyError, TypeError, AttributeError, RuntimeError, MemoryError, OverflowError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise ValueError(
            f"{checkpoint} holds a config from which no model can be built ({reason}); train the run again"
        ) from error


class _Misfit(ValueError):
    """Raised if weights do not fit a model."""


def baseline_with_numbers(checkpoint: Path, vae: VAE, state: Mapping[Any, Any]) -> Baseline | None:
    """The baseline of a checkpoint; None if the run is of an older version, or was saved without one.

    Raises:
        ValueError: its numbers do not fit the model.
    """
    numbers = {str(name).removeprefix(OF_BASELINE): value for name, value in state.items() if _is_of_baseline(name)}
    if not numbers:
        return None
    decoder: Any = vae.decoder
    with errors_naming(checkpoint):
        baseline = Baseline(decoder)
        _check_weights(baseline.state_dict(), numbers)
        baseline.load_state_dict(numbers)
    return baseline


def _of_vae(state: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name).removeprefix("vae."): value for name, value in state.items() if not _is_of_baseline(name)}


def _is_of_baseline(name: Any) -> bool:
    return str(name).startswith(OF_BASELINE)


def _check_weights(expected: Mapping[str, Tensor], weights: Mapping[str, Any]) -> None:
    if strange := sorted(expected.keys() ^ weights.keys()):
        raise _Misfit(f"{strange[0]} is {'missing' if strange[0] in expected else 'no weight of the model'}")
    for name, value in weights.items():
        if not isinstance(value, Tensor) or value.shape != expected[name].shape:
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise _Misfit(f"{name} must have the shape {tuple(expected[name].shape)}, but is {found}")
        if value.is_floating_point() != expected[name].is_floating_point() or value.is_complex():
            raise _Misfit(f"{name} must hold {expected[name].dtype}, but holds {value.dtype}")
