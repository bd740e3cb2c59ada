"""A run's folder on disk: written by train.py, read by everything that uses a trained model."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vaelab.files import write_whole
from vaelab.vae import VAE

if TYPE_CHECKING:
    from vaelab.data import DataModule

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
    """

    folder: Path
    checkpoint: Path
    config: dict[str, Any]
    vae: VAE
    x_shape: tuple[int, ...]
    target_shape: tuple[int, ...]
    allow: tuple[str, ...] = ()

    @property
    def metrics(self) -> dict[str, float]:
        """`metrics.json`: the final numbers of training, in nats per example; empty where there are none."""
        path = self.folder / "metrics.json"
        return json.loads(path.read_text()) if path.is_file() else {}

    def ready_datamodule(self, overrides: Mapping[str, Any]) -> "DataModule":
        """The run's data module with its data.

        Raises:
            FileNotFoundError: the data are not where the run found them.
            ValueError: as `datamodule`, or as the data module itself.
        """
        module = self.datamodule(**overrides)
        try:
            module.prepare_data()
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

        config = self.config["data"]
        keys = [key for key in config if key != "_target_"]
        if unknown := [key for key in overrides if key not in keys]:
            raise ValueError(f"{unknown[0]} is no key of the run's data; its keys are {', '.join(keys)}")
        model = _constructor(self.config["model"]["_target_"], self.allow, nn.Module)
        return instantiate(config | overrides, self.allow, DataModule, support=model.support)


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
    content = _read(checkpoint)
    config = content["hyper_parameters"]
    try:
        x_shape, target_shape = tuple(config["x_shape"]), tuple(config["target_shape"])
        vae = build_vae(config, x_shape, target_shape, tuple(allow))
    except (KeyError, TypeError, AttributeError, RuntimeError, MemoryError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise ValueError(f"{checkpoint} carries a config that no model can be built from ({reason})") from error
    weights = {name.removeprefix("vae."): value for name, value in content["state_dict"].items()}
    try:
        vae.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"{checkpoint} holds weights that do not fit its own config ({' '.join(str(error).split())}); it was made "
            "by another version of vaelab or of your own classes, so train the run again"
        ) from error
    folder = checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent
    vae = vae.to(_device(device)).eval()
    return Run(folder, checkpoint, config, vae, x_shape, target_shape, tuple(allow))


def _device(name: str) -> torch.device:
    try:
        probe = torch.zeros(1, device=name, dtype=torch.float64)  # log p is summed in float64
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


def instantiate(node: Any, allow: tuple[str, ...] = (), kind: type = nn.Module, **more: Any) -> Any:
    """A config's plain containers -> what they describe: `_target_` names a constructor, `_partial_` delays the call.

    Raises:
        ValueError: the constructor is neither vaelab's nor allowed, makes no `kind`, or does not take what it is given.
    """
    if isinstance(node, list):
        return [instantiate(item, allow) for item in node]
    if not isinstance(node, dict):
        return node
    values = {key: instantiate(value, allow) for key, value in node.items() if key not in ("_target_", "_partial_")}
    if "_target_" not in node:
        return values
    constructor = _constructor(node["_target_"], allow, kind)
    try:
        return partial(constructor, **values, **more) if node.get("_partial_") else constructor(**values, **more)
    except TypeError as error:
        raise ValueError(
            f"the run's config does not fit {node['_target_']}, because {error}; train it again"
        ) from error


def _constructor(target: Any, allow: tuple[str, ...], kind: type) -> Any:
    """The class that `package.module.Class` names, where that is a `kind` of vaelab's own or of an allowed package."""
    module, _, name = str(target).rpartition(".")
    packages = ("vaelab", *allow)
    found: Any = None
    if module.split(".")[0] in packages:
        try:
            found = getattr(import_module(module), name, None)
        except ImportError as error:
            raise ValueError(f"the run's config names {target}, which cannot be imported ({error})") from error
    # A module's own imports are within its reach too: only what was defined in the package counts.
    if not isinstance(found, type) or found.__module__.split(".")[0] not in packages:
        raise ValueError(
            f"the run's config names {target}, which is no class of {' or '.join(packages)}, so it is not called; if "
            "you trust it, allow its package"
        )
    if not issubclass(found, kind):
        raise ValueError(f"the run's config names {target} where a {kind.__name__} belongs, so it is not called")
    return found


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
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what the broken part of the file leads to
        raise ValueError(
            f"{checkpoint} cannot be read as a checkpoint ({type(error).__name__}: {str(error).splitlines()[0]}); use "
            "another of the run's checkpoints, or train it again"
        ) from error
    config = content.get("hyper_parameters") if isinstance(content, dict) else None
    if not isinstance(config, dict) or "x_shape" not in config or "state_dict" not in content:
        raise ValueError(
            f"{checkpoint} carries no config of vaelab, so no model can be built from it; train the run again"
        )
    return content


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes a file that is either whole or as it was."""
    write_whole(path, (json.dumps(dict(values), indent=2) + "\n").encode())


def write_metrics(folder: Path, metrics: Mapping[str, float]) -> None:
    """Writes `metrics.json`: flat, its keys the names of the curves, its values in nats per example."""
    write_json(folder / "metrics.json", metrics)


def format_metrics(metrics: Mapping[str, float]) -> str:
    """{"val/elbo": …} -> a table with a row per term and a column per split."""
    splits = list(dict.fromkeys(tag.split("/")[0] for tag in metrics))
    terms = list(dict.fromkeys(tag.split("/")[1] for tag in metrics))
    rows = [["nats per example", *splits]]
    rows += [[term, *(f"{metrics[f'{split}/{term}']:.3f}" for split in splits)] for term in terms]
    return "\n".join(f"{name:<18}" + "".join(f"{cell:>12}" for cell in cells) for name, *cells in rows)


def format_summary(folder: Path, metrics: Mapping[str, float]) -> str:
    """What a run prints at its end: its numbers, its folder, and how to see its curves."""
    folder = folder.resolve()
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    runs = folder if folder.is_absolute() else folder.parts[0]  # `outputs` or `multirun`: all curves at once
    return f"\n{format_metrics(metrics)}\n\nrun     {folder}\ncurves  tensorboard --logdir {shlex.quote(str(runs))}"
