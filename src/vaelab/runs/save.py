"""Saves a model that your own script has trained as a run."""

import math
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from vaelab.baseline import Baseline
from vaelab.build import fitted_baseline, kl_of
from vaelab.checkpoint import write_checkpoint
from vaelab.conditional import Conditional
from vaelab.networks import OneHotColumns
from vaelab.runs.admitted import packages
from vaelab.runs.folder import locked, write_json, write_metrics
from vaelab.runs.node_of import arguments_of, node_of
from vaelab.runs.run_state import State, write_state
from vaelab.runs.weights import OF_BASELINE, vae_with_weights
from vaelab.vae import VAE

if TYPE_CHECKING:
    from vaelab.data import DataModule


def save_run(folder: str | Path, module: Any, datamodule: "DataModule") -> Path:
    """Saves a trained module as a run that `load_run` and all commands can read. Returns its folder.

    The config is read from the objects: each must keep its constructor's arguments as attributes with the same names.
    vaelab's classes do. Your own classes load with `load_run(…, allow=["mypackage"])`. The optimiser and the schedule
    are in the config if they are classes or `functools.partial`s of classes. Their state is not saved, so the run
    cannot be resumed. `metrics.json` holds the numbers that the trainer logged last.

        trainer.fit(module, datamodule)
        vaelab.save_run("outputs/mine", module, datamodule)

    Args:
        folder: a new or empty folder.
        module: a `VAEModule`, or anything with a `vae` and an `objective`.
        datamodule: the data that it was trained on.

    Raises:
        ValueError: the folder holds a run, or a part of the model cannot be rebuilt from its attributes.
    """
    folder = Path(folder).expanduser().resolve()
    vae, trainer = getattr(module, "vae", None), getattr(datamodule, "trainer", None)
    if not isinstance(vae, VAE) or not hasattr(module, "objective"):
        raise ValueError(f"module must have a vae and an objective, but is a {type(module).__name__}; use VAEModule")
    _check_new(folder)
    if not hasattr(datamodule, "train"):
        datamodule.prepare_data()
        datamodule.setup()
    config = _config(module, vae, datamodule) | {"folder": str(folder)}
    weights = {name: value.detach().cpu().clone() for name, value in vae.state_dict().items()}
    _check_rebuilds(config, weights)
    baseline = getattr(module, "baseline", None) or fitted_baseline(deepcopy(vae).cpu(), datamodule)
    with locked(folder, "folder"):
        _write(folder, config, weights, baseline, datamodule, trainer)
    return folder


def _check_new(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(entry.name != ".lock" for entry in folder.iterdir())):
        raise ValueError(f"folder must be new or empty, but {folder} is not; name another folder")


def _write(
    folder: Path,
    config: dict[str, Any],
    weights: Mapping[str, Any],
    baseline: Baseline,
    datamodule: "DataModule",
    trainer: Any,
) -> None:
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {
        "state_dict": {
            **{f"vae.{name}": value for name, value in weights.items()},
            **{f"{OF_BASELINE}{name}": value.cpu() for name, value in baseline.state_dict().items()},
        },
        "hyper_parameters": config,
    }
    described = datamodule.describe()
    if trainer is not None:
        from vaelab.data.trainer_limits import what_is_scored

        content |= {"epoch": trainer.current_epoch, "global_step": trainer.global_step}
        described |= what_is_scored(trainer, datamodule)
        write_metrics(folder, {tag: float(value) for tag, value in trainer.callback_metrics.items()})
    write_json(folder / "data.json", described)
    write_json(folder / "hparams.yaml", config)  # JSON is YAML too
    write_checkpoint(folder / "checkpoints" / "last.ckpt", content)
    write_state(folder, State("done"))


def _config(module: Any, vae: VAE, datamodule: "DataModule") -> dict[str, Any]:
    """The config that a run of these objects would have."""
    from vaelab.data.config_facts import data_facts

    for name in ("encoder", "decoder"):
        if not isinstance(part := getattr(vae, name), Conditional):
            raise ValueError(
                f"vae.{name} must be a Conditional(network, family), but is a {type(part).__name__}, so the run cannot "
                "be saved; build it from a network and a family"
            )
    encoder, decoder, prior = (cast(Any, part) for part in (vae.encoder, vae.decoder, vae.prior))
    inner = encoder.network.network if isinstance(encoder.network, OneHotColumns) else encoder.network
    networks = {"encoder": _network(inner, "encoder"), "decoder": _network(decoder.network, "decoder")}
    return {
        "model": node_of(decoder.family, "model", ["event_shape"]),
        "posterior": node_of(encoder.family, "posterior"),
        "prior": node_of(prior, "prior", ["x_shape", "condition_size", "pseudo_condition_size"]),
        "network": networks,
        "objective": node_of(module.objective, "objective"),
        "data": node_of(datamodule, "data", ["support"]),
        "optimizer": _if_named(getattr(module, "optimizer", None), "optimizer"),
        "scheduler": _if_named(getattr(module, "scheduler", None), "scheduler"),
        "latent_dim": math.prod(encoder.family.event_shape),
        "condition": getattr(datamodule, "condition", None),
        "compile": bool(getattr(module, "compile_steps", False)),
        "choices": {},
        "kl": kl_of(module.objective),
        **data_facts(datamodule),
    }


def _network(network: Any, name: str) -> dict[str, Any]:
    """A network's node, without what the builder sets: shapes, the number of outputs and the condition's size."""
    key = f"network.{name}"
    given = [*arguments_of(type(network), key)[:2], "condition_size", "event_shape"]
    return {**node_of(network, key, given), "_partial_": True}


def _if_named(make: Any, key: str) -> dict[str, Any] | None:
    """The node of an optimiser or a schedule; None if it has no name, such as a lambda."""
    try:
        return None if make is None else node_of(make, key)
    except ValueError:
        return None


def _check_rebuilds(config: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
    """Raises a ValueError if the config does not rebuild the model."""
    try:
        with torch.random.fork_rng(devices=[]):
            vae_with_weights(Path("the module"), config, weights, tuple(packages(config)))
    except ValueError as error:
        raise ValueError(
            f"the model cannot be rebuilt from the attributes of its parts ({error}), so the run cannot be saved; each "
            "part must keep its constructor's arguments unchanged"
        ) from error
