"""Checks the parts of a run's checkpoint other than its weights and its config: counters and states."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaelab.runs import schema
from vaelab.runs.admitted import users_own
from vaelab.runs.node_checks import SHOWN, check_kind, refusal
from vaelab.runs.schema import Kind, Kinds
from vaelab.runs.trust import check_config

TENSOR = Kind("a tensor", lambda value, at: isinstance(value, Tensor))
BYTES = Kind("a tensor of bytes", lambda value, at: isinstance(value, Tensor) and value.dtype == torch.uint8)
POINTS = Kind(
    "a tensor of points, (2, n)",
    lambda value, at: isinstance(value, Tensor) and value.shape[:1] == (2,) and value.dim() == 2,
)
SCALAR = Kind("a tensor of one number", lambda value, at: isinstance(value, Tensor) and value.numel() == 1)
NUMBERS = TENSOR | schema.NUMBER | schema.NOTHING
PATH = Kind("empty or a path inside the run's folder", lambda value, at: value == "" or schema.is_inside(value, at))
QUIET = Kind("a number or a plain name", lambda value, at: _is_quiet(value))
COUNT = schema.whole(0)
PARTS = {  # of a checkpoint, with their kinds
    "epoch": COUNT,
    "global_step": COUNT,
    "pytorch-lightning_version": Kind(
        "a version", lambda value, at: bool(re.fullmatch(r"2\.\d[\w.]{,20}", str(value)))
    ),
    "hparams_name": schema.NAME | schema.NOTHING,
}
TABLE = Kind("a table", lambda value, at: type(value) is dict)
ROWS = Kind("a list of tables", lambda value, at: type(value) is list and all(type(row) is dict for row in value))
SHAPES = {"loops": TABLE, "optimizer_states": ROWS, "lr_schedulers": ROWS, "callbacks": TABLE}
QUIETLY = ("optimizer_states", "lr_schedulers", "metrics", "position", "state_dict", "MixedPrecision")
STATES: dict[str, Kinds] = {
    "ModelCheckpoint": {
        "monitor": schema.CURVE | schema.NOTHING,
        "dirpath": schema.INSIDE,
        **dict.fromkeys(("best_model_path", "kth_best_model_path", "last_model_path"), PATH),
        **dict.fromkeys(("best_model_score", "current_score", "kth_value"), NUMBERS),
        "best_k_models": Kind(
            "a table of paths inside the run's folder",
            lambda value, at: (
                type(value) is dict
                and all(PATH.holds(key, at) and NUMBERS.holds(inner, at) for key, inner in value.items())
            ),
        ),
    },
    "EarlyStopping": {
        **dict.fromkeys(("wait_count", "stopped_epoch", "patience", "stopping_reason"), COUNT),
        "best_score": NUMBERS,
        "stopping_reason_message": schema.TEXT | schema.NOTHING,
    },
    "Timer": {"time_elapsed": schema.DURATIONS},
}


def _is_quiet(value: Any) -> bool:
    """True if a value is a number, or a name that cannot be mistaken for a path or a format."""
    return _is_counter(value) or type(value) is float or schema.WHOLE.holds(value, Path())


def _is_counter(value: Any) -> bool:
    """True if a value is one that Lightning's loops store: a count, a flag, a tensor or a name."""
    if type(value) is str:
        return len(value) <= 4096 and bool(re.fullmatch(r"([\w.+ -]+(/[\w.+ -]+)*)?", value)) and ".." not in value
    return isinstance(value, Tensor) or type(value) in (bool, type(None)) or COUNT.holds(value, Path())


def check_trusted(content: Mapping[str, Any], folder: Path, allow: tuple[str, ...] = ()) -> None:
    """Checks a checkpoint that may come from anyone, before its run is resumed.

    Raises:
        ValueError: its config or its states hold an unknown key or a value of the wrong kind, such as a constructor
            that is not allowed or a path outside the run's folder.
    """
    check_config(content["hyper_parameters"], folder, allow)
    for name, kind in SHAPES.items():
        check_kind("", name, content.get(name), kind, folder)
    for name, part in content.items():
        if name in PARTS:
            check_kind("", name, part, PARTS[name], folder)
        elif name == "callbacks":
            _check_callbacks(part, folder, allow)
        elif name == "loops":
            _check_quiet(name, part, lambda value, at: _is_counter(value), folder)
        elif name in QUIETLY or (users_own(allow) and name != "hyper_parameters"):
            _check_quiet(name, part, QUIET.holds, folder)
        elif name != "hyper_parameters":
            raise ValueError(
                f"the run's checkpoint holds {str(name)[:SHOWN]}, which no run writes, so nothing of it is used"
            )
    _check_position(content.get("position"), folder)


def _check_callbacks(states: Any, folder: Path, allow: tuple[str, ...]) -> None:
    if type(states) is not dict:
        raise refusal("callbacks", states, "a table of states")
    for key, state in states.items():
        name = str(key).partition("{")[0]
        if name in STATES and type(state) is dict:
            for inner, value in state.items():
                if inner not in STATES[name]:
                    raise ValueError(
                        f"the state of {name} holds {inner}, which no run writes, so nothing of it is used"
                    )
                check_kind(name, inner, value, STATES[name][inner], folder)
        elif name in STATES or not users_own(allow):
            raise ValueError(
                f"the run's checkpoint holds a state of {name}, which no run writes; if it is yours, allow its package"
            )
        else:
            _check_quiet(name, state, lambda value, at: _is_quiet(value) or PATH.holds(value, at), folder)


def _check_quiet(key: str, value: Any, holds: Callable[[Any, Path], bool], folder: Path) -> None:
    """Raises a ValueError if a key or a value in plain containers is of another kind."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_quiet(key, name, holds, folder)
            _check_quiet(key, inner, holds, folder)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_quiet(key, inner, holds, folder)
    elif not holds(value, folder):
        raise refusal(key, value, QUIET.phrase)


def _check_position(position: Any, folder: Path) -> None:
    if (
        type(position) is not dict
        or type(position.get("curves")) is not dict
        or type(position.get("means")) is not dict
    ):
        raise refusal("position", position, "what a run writes")
    check_kind("position", "random", position.get("random"), BYTES, folder)
    check_kind("position", "should_stop", position.get("should_stop"), schema.FLAG, folder)
    if type(position.get("metrics")) is not dict:
        raise refusal("position.metrics", position.get("metrics"), TABLE.phrase)
    for name, value in position["metrics"].items():  # which Lightning writes into the names of checkpoints
        check_kind("position.metrics", str(name), value, SCALAR, folder)
    elbos = position.get("elbos", {})
    if type(elbos) is not dict or elbos.keys() - {"train", "val"}:
        raise refusal("position.elbos", elbos, "tables of points")
    for name, points in elbos.items():
        check_kind("position.elbos", name, points, POINTS, folder)
    for name, size in position["curves"].items():
        check_kind("position.curves", str(name), size, COUNT, folder)
