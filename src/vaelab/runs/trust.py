"""What a run's config may name: it is data, and may be a stranger's."""

import os
import re
from collections.abc import Iterator, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

WRITES = ("dirpath", "save_dir", "default_root_dir")  # keys of folders that a run writes to
NAMES = ("filename", "name", "version", "sub_dir")  # keys of what they call it there
TRUSTED = (  # constructors of others that a run's config may name
    *(f"lightning.pytorch.callbacks.{name}" for name in ("EarlyStopping", "LearningRateMonitor", "ModelCheckpoint")),
    "lightning.pytorch.loggers.TensorBoardLogger",
    "lightning.pytorch.plugins.environments.LightningEnvironment",
    "lightning.pytorch.Trainer",
    *(f"torch.optim.{name}" for name in ("Adam", "AdamW", "SGD", "RMSprop", "LBFGS")),
    *(
        f"torch.optim.lr_scheduler.{name}"
        for name in ("CosineAnnealingLR", "ExponentialLR", "LinearLR", "MultiStepLR", "OneCycleLR", "StepLR")
    ),
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
    make = constructor(node["_target_"], allow, kind)
    try:
        return partial(make, **values, **more) if node.get("_partial_") else make(**values, **more)
    except TypeError as error:
        raise ValueError(
            f"the run's config does not fit {node['_target_']}, because {error}; train it again"
        ) from error


def constructor(target: Any, allow: tuple[str, ...], kind: type) -> Any:
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
                constructor(value, allow, object)
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
