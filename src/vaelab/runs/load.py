"""A trained VAE, from a run's folder or from one of its checkpoints."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vaelab.checkpoint import read_checkpoint
from vaelab.files import read_json
from vaelab.runs.local_data import check_at_hand, local_data
from vaelab.runs.memory_needed import check_sizes
from vaelab.runs.trust import check_data_config, check_model, constructor, instantiate, users_own
from vaelab.vae import VAE
from vaelab.whole_files import second_name

if TYPE_CHECKING:
    from vaelab.data import DataModule

log = logging.getLogger(__name__)

WHAT_A_RUN_HOLDS = "a run's folder holds checkpoints/best.ckpt or checkpoints/last.ckpt"


@dataclass(frozen=True)
class Run:
    """A trained VAE and what it was made from.

    Attributes:
        folder: where the run lies.
        checkpoint: the weights that were read.
        config: the run's config, every value filled in.
        vae: the trained VAE, in eval mode.
        x_shape: the shape of what the encoder sees.
        target_shape: the shape of what the decoder is scored on.
        allow: the packages beside vaelab that the config may take constructors from.
        x_names: names of the numbers that the encoder sees, in its order; None if they have none.
    """

    folder: Path
    checkpoint: Path
    config: dict[str, Any]
    vae: VAE
    x_shape: tuple[int, ...]
    target_shape: tuple[int, ...]
    allow: tuple[str, ...] = ()
    x_names: tuple[str, ...] | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """`metrics.json`: the final numbers of training, nats per example; null is NaN. Empty if there are none."""
        try:
            found = read_json(self.folder / "metrics.json")
        except (OSError, ValueError):  # there is none, or someone has edited it
            return {}
        pairs = found.items() if isinstance(found, dict) else ()
        numbers = {tag: math.nan if value is None else value for tag, value in pairs}
        return {tag: float(value) for tag, value in numbers.items() if type(value) in (int, float)}

    def ready_datamodule(self, overrides: Mapping[str, Any]) -> "DataModule":
        """The run's data module with its data.

        Raises:
            FileNotFoundError: the data are not where the run found them.
            ValueError: as `datamodule`, or as the data module itself.
        """
        module = self.datamodule(**overrides)
        check_at_hand(local_data(self.config["data"] | overrides, self.allow))
        try:
            if not type(module).__module__.startswith("vaelab."):
                module.prepare_data()  # vaelab's own fetch there what is missing, and a loaded run fetches nothing
            module.setup()
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"the data of {self.folder} are not found ({error}); where they have moved, say so with "
                "--data root=FOLDER (IDX images) or --data path=FILE (rows)"
            ) from error
        return module

    def datamodule(self, **overrides: Any) -> "DataModule":
        """The run's data module, as yet without data: `setup()` reads or draws them.

        Args:
            overrides: keys of the data config to change, such as `root` where the files have moved.

        Raises:
            ValueError: there is no such key, or its value makes no sense.
        """
        from vaelab.data import DataModule

        check_data_config(self.config, self.folder, self.allow)
        check_sizes(self.config)
        config = self.config["data"]
        make = constructor(config["_target_"], self.allow, DataModule)
        known = dict.fromkeys([*config, *signature(make).parameters])  # a run of an older version lacks newer keys
        keys = [key for key in known if key not in ("_target_", "support")]
        if unknown := [key for key in overrides if key not in keys]:
            raise ValueError(f"{unknown[0]} is no key of the run's data; its keys are {', '.join(keys)}")
        model = constructor(self.config["model"]["_target_"], self.allow, nn.Module)
        config = local_data(config | overrides, self.allow)
        module: DataModule = instantiate(config, self.allow, DataModule, support=model.support)
        module.model_names = self.x_names
        return module


def load_run(folder_or_checkpoint: str | Path, device: str = "cpu", allow: Sequence[str] = ()) -> Run:
    """Rebuilds a trained VAE from a run's folder (its best weights, or else its last) or from one of its checkpoints.

    A checkpoint is data: it is read with `weights_only=True`, and its config may name constructors of vaelab alone.

    Args:
        folder_or_checkpoint: such as `outputs/2026-11-22/16-56-34`, or a .ckpt file.
        device: where the VAE goes, such as `cuda`.
        allow: packages of your own whose constructors the config may name, such as `["mypackage"]`.

    Raises:
        FileNotFoundError: there is no such run.
        ValueError: the file is no checkpoint of vaelab, or its config names another constructor.
    """
    path = Path(folder_or_checkpoint).expanduser()
    checkpoint = path if path.is_file() else checkpoint_in(path)
    folder = checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent
    content = _read(checkpoint)
    if content.get("global_step") == 0:
        log.warning("%s holds weights that were never trained", checkpoint)
    config = content["hyper_parameters"]
    try:
        check_model(config, folder, tuple(allow))
        vae = _with_weights(checkpoint, config, content["state_dict"], tuple(allow))
    except (KeyError, TypeError, AttributeError, RuntimeError, MemoryError, OverflowError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise ValueError(f"{checkpoint} carries a config that no model can be built from ({reason})") from error
    x_shape, target_shape = tuple(config["x_shape"]), tuple(config["target_shape"])
    vae = vae.to(_device(device)).eval()
    return Run(
        folder, checkpoint, config, vae, x_shape, target_shape, tuple(allow), _names(checkpoint, config, x_shape)
    )


def _names(checkpoint: Path, config: Mapping[str, Any], x_shape: tuple[int, ...]) -> tuple[str, ...] | None:
    """The names of x in a config, which a run of an older version lacks."""
    names = config.get("x_names")
    if names is None:
        return None
    if (
        not isinstance(names, list)
        or not all(isinstance(name, str) for name in names)
        or len(names) != math.prod(x_shape)
    ):
        raise ValueError(
            f"x_names in {checkpoint} must be a list of one name for each number of x; train the run again"
        )
    return tuple(names)


def _with_weights(checkpoint: Path, config: Mapping[str, Any], state: Any, allow: tuple[str, ...]) -> VAE:
    """The VAE of a config with the weights of a checkpoint, if they are those of such a VAE."""
    x_shape, target_shape = tuple(config["x_shape"]), tuple(config["target_shape"])
    weights = {str(name).removeprefix("vae."): value for name, value in state.items()}
    try:
        if not users_own(allow):  # a constructor that is trusted may do more than torch can without memory
            with torch.device("meta"):  # only shapes: a size that no machine has costs nothing
                _check_weights(build_vae(config, x_shape, target_shape).state_dict(), weights)
        vae = build_vae(config, x_shape, target_shape, allow)
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


def build_vae(
    config: Mapping[str, Any], x_shape: tuple[int, ...], target_shape: tuple[int, ...], allow: tuple[str, ...] = ()
) -> VAE:
    """The VAE that a run's config describes, with fresh weights."""
    return VAE.build(
        x_shape,
        posterior=instantiate(config["posterior"], allow),
        likelihood=instantiate(config["model"], allow, event_shape=target_shape),
        prior=instantiate(config["prior"], allow),
        network=instantiate(config["network"], allow),
    )


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
    raise FileNotFoundError(f"{folder} is no run, because {WHAT_A_RUN_HOLDS}{jobs}")


def _read(checkpoint: Path) -> dict[str, Any]:
    content = read_checkpoint(checkpoint)
    config = content.get("hyper_parameters")
    if not isinstance(config, dict) or "x_shape" not in config or not isinstance(content.get("state_dict"), dict):
        raise ValueError(
            f"{checkpoint} carries no config of vaelab, so no model can be built from it; train the run again"
        )
    return content


def newest_checkpoint(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The newest checkpoint of a run that is whole, and what it holds; a broken one is named in a warning.

    Raises:
        FileNotFoundError: there is none.
        ValueError: none is whole, or none can be gone on from.
    """
    path, previous = (folder / "checkpoints" / name for name in ("last.ckpt", "previous.ckpt"))
    if not path.is_file() and not previous.is_file():
        raise FileNotFoundError(
            f"{folder} has no checkpoints/last.ckpt, so there is nothing to go on from; name a run's folder, or start "
            "it again"
        )
    try:
        content = _read(path)
    except (FileNotFoundError, ValueError) as error:
        if not previous.is_file():
            raise
        content = _read(previous)
        log.warning("%s; going on from %s", str(error).split(";")[0], previous)
        second_name(previous, path)
        path = previous  # `last.ckpt` may still be the broken one: its folder may not be ours to write
    if "position" not in content:
        raise ValueError(f"{path} was written by another version of vaelab, and cannot be gone on from; train it again")
    return path, content


def check_data(content: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Raises a ValueError where the data are not those that a checkpoint was trained on."""
    if content["hyper_parameters"].get("fingerprint") != config["fingerprint"]:
        raise ValueError(
            "the data are not those that the run was trained on, so it would not go on as it was; put the old ones "
            "back, say where they are with data.root or data.path, or train a new run"
        )
    from vaelab.data.columns import listed

    before, now = content["hyper_parameters"].get("x_names"), config["x_names"]
    if before is not None and before != now:
        raise ValueError(
            f"the columns of the data must be those that the run was trained on ({listed(before)}), but are "
            f"{listed(now) if now else 'without names'}; put the old names back, or train a new run"
        )
