"""Starts a new run from the weights of another: `init_from=RUN`.

Only the weights are used. The other run's config is compared with the new one, and nothing that it names is called.
"""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vaelab.escapes import for_terminal, short
from vaelab.runs.constructors import TOP
from vaelab.runs.find_checkpoint import checkpoint_in, read_run_checkpoint
from vaelab.runs.node_checks import check_kind
from vaelab.standardization import Standardization
from vaelab.vae import VAE

NAMES = (
    "x_names",
    "condition_names",
    "column_kinds",
    "column_categories",
)  # what the weights depend on
SHAPES = ("x_shape", "target_shape", "condition_shape")
GROUPS = ("posterior", "prior", "network", "model")  # the parts of a config that describe the architecture
IGNORED = ("prior.kl", "posterior.kl")  # how the KL is computed
LONGEST = 60  # the most letters of a value in a message
log = logging.getLogger(__name__)


class InitialWeights(NamedTuple):
    """The weights that a new model starts from.

    Attributes:
        checkpoint: the file that they were read from.
        config: the config of the run that trained them. It may come from anyone.
        weights: name -> tensor, of its VAE.
    """

    checkpoint: Path
    config: dict[str, Any]
    weights: dict[str, Tensor]

    @property
    def names(self) -> dict[str, Any]:
        """The names of the columns and classes that the weights were trained on, in their order."""
        return {key: self.config.get(key) for key in NAMES}

    @torch.no_grad()
    def load_into(self, vae: VAE, config: Mapping[str, Any]) -> None:
        """Copies the weights into a new model of the same architecture, and logs what it copied.

        The standardisation of the new data stays: the networks work on standardised numbers, so they fit as they are.

        Args:
            vae: the new model.
            config: its config, with the shapes of its data.

        Raises:
            ValueError: the architecture differs, or a weight is not finite. The message names the first difference.
        """
        place = for_terminal(self.checkpoint)
        if found := next(_differences(self.config, config), None):
            raise ValueError(f"init_from must name a run of the same architecture, but in {place} {found}")
        kept = set(_of_data(vae))
        own = {name: value for name, value in vae.state_dict().items() if name not in kept}
        given = {name: value for name, value in self.weights.items() if name not in kept}
        if found := next(_misfits(own, given), None):
            raise ValueError(f"init_from must name a run of the same architecture, but in {place} {found}")
        for name, value in own.items():
            value.copy_(given[name])
        numbers = sum(value.numel() for value in own.values())
        units = " The means and scales of the data are those of the new data." if kept else ""
        log.info("starts from the %s weights in %s.%s", f"{numbers:,}", place, units)


def read_initial_weights(named: str) -> InitialWeights:
    """Reads the weights of a run (the best, or else its last) or of a checkpoint, as data.

    Raises:
        FileNotFoundError: there is no such run.
        ValueError: it is not a checkpoint of vaelab.
    """
    path = Path(named).expanduser()
    try:
        checkpoint = path if path.is_file() else checkpoint_in(path)
        return initial_weights(checkpoint, read_run_checkpoint(checkpoint))
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(f"init_from must name a run, but {error}") from error


def initial_weights(checkpoint: Path, content: Mapping[str, Any]) -> InitialWeights:
    """The weights in the content of a checkpoint.

    Raises:
        ValueError: the names of its columns or classes are not a list of texts.
    """
    config = content["hyper_parameters"]
    for key in NAMES:
        check_kind("", key, config.get(key), TOP[key], checkpoint.parent)
    state = content["state_dict"].items()
    weights = {str(name).removeprefix("vae."): value for name, value in state if not str(name).startswith("baseline.")}
    return InitialWeights(checkpoint, config, weights)


def _of_data(vae: VAE) -> Iterator[str]:
    """The names of the buffers that describe the data."""
    for prefix, module in vae.named_modules():
        if isinstance(module, Standardization):
            yield from (f"{prefix}.{name}" for name in module.state_dict())


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    """How the architectures of two configs differ: ends of sentences, each with its cure."""
    for key in ("latent_dim", "condition"):
        yield from _compared(key, there.get(key), here.get(key))
    for group in GROUPS:
        yield from _compared(group, there.get(group), here.get(group))
    yield from _compared("data.standardize", bool(there.get("standardize")), bool(here.get("standardize")))
    for key in SHAPES:
        if _plain(there.get(key)) != _plain(here.get(key)):
            yield f"{key} is {_shown(there.get(key))}, and here it is {_shown(here.get(key))}; use data of that shape"


def _compared(key: str, there: Any, here: Any) -> Iterator[str]:
    """How two values differ. Keys that only one of them has are ignored, because they may be of another version."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        targets = [name for name in ("_target_",) if name in there and name in here]
        for name in dict.fromkeys([*targets, *(name for name in here if name in there)]):
            yield from _compared(f"{key}.{name}", there[name], here[name])
    elif key not in IGNORED and _plain(there) != _plain(here):
        cure = f"choose the same {key.split('.')[0]}" if key.endswith("_target_") else f"set {key}={_shown(there)}"
        yield f"{key} is {_shown(there)}, and here it is {_shown(here)}; {cure}"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _shown(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(_plain(value))
    return short(for_terminal(text.replace(", ", ",")), LONGEST)


def _misfits(own: Mapping[str, Tensor], given: Mapping[str, Any]) -> Iterator[str]:
    """How the weights of two models differ: ends of sentences, each with its cure."""
    for name in sorted(own.keys() ^ given.keys()):
        where = "there is no weight" if name in own else "there is also a weight"
        yield f"{where} {_shown(name)}; use the same parts of the model"
    for name, value in own.items():
        other = given[name]
        if (
            not isinstance(other, Tensor)
            or other.is_complex()
            or other.is_floating_point() != value.is_floating_point()
        ):
            yield f"{name} holds other numbers than {value.dtype}; name another run"
        elif other.shape != value.shape:
            shapes = f"{_shown(tuple(other.shape))}, and here {_shown(tuple(value.shape))}"
            yield f"{name} has the shape {shapes}; use the same network and data of the same shape"
        elif not math.isfinite(other.double().sum()):
            yield f"{name} is not finite, so that run has diverged; name another run"
