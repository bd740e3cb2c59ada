"""A run's folder on disk: written by train.py, read by everything that uses a trained model."""

import json
import logging
import os
import platform
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock, Timeout
from torch import nn

from vaelab.checkpoint import read_checkpoint
from vaelab.files import second_name, write_whole
from vaelab.vae import VAE

if TYPE_CHECKING:
    from vaelab.data import DataModule

WRITES = ("dirpath", "save_dir", "default_root_dir")  # keys of folders that a run writes to
NAMES = ("filename", "name", "version", "sub_dir")  # keys of what they call it there
TRUSTED = (  # constructors of others that a run's config may name
    *(f"lightning.pytorch.callbacks.{name}" for name in ("EarlyStopping", "LearningRateMonitor", "ModelCheckpoint")),
    "lightning.pytorch.loggers.TensorBoardLogger",
    "lightning.pytorch.Trainer",
    *(f"torch.optim.{name}" for name in ("Adam", "AdamW", "SGD", "RMSprop", "LBFGS")),
    *(
        f"torch.optim.lr_scheduler.{name}"
        for name in ("CosineAnnealingLR", "ExponentialLR", "LinearLR", "MultiStepLR", "OneCycleLR", "StepLR")
    ),
)
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
    content = read_checkpoint(checkpoint)
    config = content.get("hyper_parameters")
    if not isinstance(config, dict) or "x_shape" not in config or "state_dict" not in content:
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
    if "position" not in content:
        raise ValueError(f"{path} was written by another version of vaelab, and cannot be gone on from; train it again")
    return path, content


def check_trusted(content: Mapping[str, Any], folder: Path, allow: tuple[str, ...] = ()) -> None:
    """Looks through a checkpoint that comes from anywhere before a run goes on from it.

    Raises:
        ValueError: its config names a constructor that is neither vaelab's, nor on the list, nor allowed; its config or
            its callbacks name a file outside the run's own folder; or it holds what no run writes.
    """
    _check_config(content["hyper_parameters"], folder, allow)
    for path in _strings(content.get("callbacks")):
        if path.startswith(os.sep):
            _check_inside(path, folder)


def _check_config(config: Any, folder: Path, allow: tuple[str, ...], key: str = "") -> None:
    if type(config) is dict and all(type(name) is str for name in config):
        for name, value in config.items():
            if name == "_target_" and value not in TRUSTED:
                _constructor(value, allow, object)
            _check_config(value, folder, allow, name)
    elif type(config) is list:
        for value in config:
            _check_config(value, folder, allow, key)
    elif type(config) not in (str, int, float, bool, type(None)) or "${" in str(config):
        raise ValueError(f"the run's config holds {str(config)[:60]}, which no run writes, so nothing of it is used")
    elif key in WRITES and config is not None:
        _check_inside(config, folder)
    elif key in NAMES and re.search(r"[/\\]|\.\.", re.sub(r"{[^}]*}", "", str(config))):  # {val/elbo} is a metric
        raise ValueError(f"the run's config has {key}={config}, which is no plain name, so nothing of it is used")


def _check_inside(path: Any, folder: Path) -> None:
    if not Path(str(path)).resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"the run's checkpoint writes to {path}, which is outside {folder}, so nothing of it is used")


def _strings(value: Any) -> Iterator[str]:
    """Every string in plain containers, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _strings(list(value))
        yield from _strings(list(value.values()))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)


def check_unused(folder: Path) -> None:
    """Raises a ValueError where a folder holds a run, which a new one would write over."""
    if (folder / "metrics.json").exists() or any(folder.glob("checkpoints/*.ckpt")):
        raise ValueError(
            f"{folder} holds a run already; python train.py resume={folder} goes on with it, and another hydra.run.dir "
            "starts a new one"
        )


def check_data(content: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Raises a ValueError where the data are not those that a checkpoint was trained on."""
    if content["hyper_parameters"].get("fingerprint") != config["fingerprint"]:
        raise ValueError(
            "the data are not those that the run was trained on, so it would not go on as it was; put the old ones "
            "back, say where they are with data.root or data.path, or train a new run"
        )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a run's folder: nobody else trains in it until this ends, or the process does.

    Raises:
        ValueError: somebody does.
    """
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise ValueError(
            f"{folder} is in use by another process; wait for it, or choose another hydra.run.dir"
        ) from error
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{folder} cannot be written to ({reason}); choose another hydra.run.dir") from error
    try:
        for part in folder.rglob(".*.part"):  # of a process that was killed while it wrote
            part.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def write_environment(folder: Path, command: Sequence[str], threads: int) -> None:
    """Adds to `environment.json` what started or went on with a run: versions, command, git revision, machine."""
    path = folder / "environment.json"
    try:
        before = json.loads(path.read_text())
    except (OSError, ValueError):  # there is none yet, or someone has edited it
        before = []
    packages = ("vaelab", "torch", "lightning", "hydra-core", "tensorboard", "numpy")
    entry = {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(command),
        "git": _git_revision(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "machine": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "threads": threads,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
    write_whole(path, (json.dumps([*(before if isinstance(before, list) else []), entry], indent=2) + "\n").encode())


def _git_revision() -> str | None:
    """Of the source, with `+` where it has been changed; None outside a git checkout."""

    def git(*command: str) -> str:
        return subprocess.run(
            ["git", *command], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=5, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # not the repository of whoever installed vaelab in it
        return git("describe", "--always", "--abbrev=40", "--dirty=+")
    except (OSError, subprocess.SubprocessError):
        return None


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
