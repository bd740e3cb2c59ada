"""What a run's config may hold: for each key of each constructor the kind of value that belongs there.

The kinds of vaelab's own constructors come from their annotations. Lightning's and torch's have a written table here,
because their annotations admit paths, addresses and objects.
"""

import inspect
import math
import os
import re
import types
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from torch import nn

MOST = 1_000  # entries of a list
LARGEST = 2**53  # of a whole number: what a float holds exactly
THREADS = 256
WORD = r"[A-Za-z_]\w*"
METRIC = rf"{WORD}(/[\w.@-]+)?"  # the name of a curve, such as val/elbo
FIELD = rf"\{{{METRIC}(:\d?(\.\d)?[a-z]?)?\}}"  # in the name of a checkpoint
FILE = rf"([\w .=+,-]|{FIELD})*"


class Kind(NamedTuple):
    """A kind of value.

    Attributes:
        phrase: what a value must be, in words.
        holds: (value, the run's folder) -> whether it is one.
    """

    phrase: str
    holds: Callable[[Any, Path], bool]

    def __or__(self, other: "Kind") -> "Kind":
        return Kind(
            f"{self.phrase} or {other.phrase}", lambda value, at: self.holds(value, at) or other.holds(value, at)
        )


def is_text(value: Any) -> bool:
    """Whether a value is a string that nothing will fill in: no `${…}`, and not OmegaConf's `???`."""
    return type(value) is str and len(value) <= 4096 and "${" not in value and value != "???"


def is_inside(value: Any, folder: Path) -> bool:
    """Whether a value is the absolute path of a run's folder, or of something in it, written without detours."""
    if (
        not is_text(value)
        or not os.path.isabs(value)
        or os.path.normpath(value) != value
        or re.search(r"[{}$~]", value)
    ):
        return False
    return value == str(folder) or value.startswith(f"{folder}{os.sep}")


def _matches(pattern: str) -> Callable[[Any, Path], bool]:
    return lambda value, at: is_text(value) and bool(re.fullmatch(pattern, value)) and ".." not in value


def _is_number(value: Any) -> bool:
    return (type(value) is int and abs(value) <= LARGEST) or (type(value) is float and math.isfinite(value))


def choice(*names: str) -> Kind:
    """One of some words."""
    return Kind(f"one of {', '.join(names)}", lambda value, at: type(value) is str and value in names)


def whole(minimum: int, maximum: int = LARGEST) -> Kind:
    """A whole number from `minimum` to `maximum`."""
    return Kind(
        f"a whole number from {minimum} to {maximum}",
        lambda value, at: type(value) is int and minimum <= value <= maximum,
    )


def listed(kind: Kind) -> Kind:
    """A list, not too long, of one kind."""
    return Kind(
        f"a list of at most {MOST} entries, each {kind.phrase}",
        lambda value, at: (
            type(value) in (list, tuple) and len(value) <= MOST and all(kind.holds(inner, at) for inner in value)
        ),
    )


NOTHING = Kind("null", lambda value, at: value is None)
FLAG = Kind("true or false", lambda value, at: type(value) is bool)
NUMBER = Kind("a finite number", lambda value, at: _is_number(value))
WHOLE = whole(-LARGEST)
TEXT = Kind("text without ${…}", lambda value, at: is_text(value))
NAME = Kind("a plain name, without a path in it", _matches(r"[\w .=+,-]*"))
FILE_NAME = Kind("a plain name, in which {…} may name a curve", _matches(FILE))
CURVE = Kind("the name of a curve, such as val/elbo", _matches(METRIC))
INSIDE = Kind("a folder inside the run's own", is_inside)
SOURCE = Kind(
    "an absolute path without ${…}", lambda value, at: is_text(value) and os.path.isabs(value) and "\0" not in value
)
SHAPE = Kind(
    "a list of 1 to 8 whole numbers",
    lambda value, at: listed(whole(1)).holds(value, at) and 1 <= len(value) <= 8 and math.prod(value) <= LARGEST,
)
DURATION = Kind("a time such as 00:01:30:00", _matches(r"\d+(:\d+){3}"))
DURATIONS = Kind(
    "a table of days, hours, minutes and seconds",
    lambda value, at: (
        type(value) is dict
        and all(type(key) is str and re.fullmatch(WORD, key) and _is_number(inner) for key, inner in value.items())
    ),
)

OBJECT = Kind("a table of keys with a _target_", lambda value, at: type(value) is dict and "_target_" in value)

Kinds = Mapping[str, Kind]


def keys(names: str, kind: Kind) -> dict[str, Kind]:
    """The same kind, or null, for several keys."""
    return dict.fromkeys(names.split(), kind | NOTHING)


def _are_devices(value: Any, at: Path) -> bool:
    import torch

    most = max(os.cpu_count() or 1, torch.cuda.device_count())
    numbers = value if type(value) is list else [value]
    return len(numbers) <= most and all(type(number) is int and -1 <= number <= most for number in numbers)


DEVICES = Kind("a number of processes that this machine has processors for", _are_devices)
TRAINER: Kinds = {
    **keys("accelerator", choice("auto", "cpu", "gpu", "cuda", "mps", "tpu", "hpu")),
    **keys("strategy", choice("auto", "ddp")),
    **keys("devices", DEVICES | choice("auto")),
    **keys("num_nodes", whole(1, 1)),
    **keys("precision", NUMBER | NAME),
    **keys("max_epochs min_epochs max_steps min_steps num_sanity_val_steps check_val_every_n_epoch", WHOLE),
    **keys("log_every_n_steps accumulate_grad_batches reload_dataloaders_every_n_epochs", WHOLE),
    **keys("max_time", DURATION | DURATIONS),
    **keys("limit_train_batches limit_val_batches limit_test_batches limit_predict_batches", NUMBER),
    **keys("overfit_batches val_check_interval gradient_clip_val", NUMBER),
    **keys("fast_dev_run", FLAG | whole(0)),
    **keys("gradient_clip_algorithm", choice("norm", "value")),
    **keys("deterministic", FLAG | choice("warn")),
    **keys("benchmark inference_mode use_distributed_sampler detect_anomaly barebones sync_batchnorm", FLAG),
    **keys("enable_progress_bar enable_model_summary enable_checkpointing enable_autolog_hparams", FLAG),
    **keys("profiler", choice("simple", "advanced", "pytorch")),
    **keys("default_root_dir", INSIDE),
    **keys("callbacks logger model_registry", NOTHING),
}
LOGGERS: dict[str, Kinds] = {
    "lightning.pytorch.loggers.TensorBoardLogger": {
        "save_dir": INSIDE,
        **keys("name prefix sub_dir comment filename_suffix", NAME),
        **keys("version", NAME | WHOLE),
        **keys("log_graph default_hp_metric", FLAG),
        **keys("purge_step max_queue flush_secs", whole(0)),
    }
}
CALLBACKS: dict[str, Kinds] = {
    "lightning.pytorch.callbacks.ModelCheckpoint": {
        **keys("dirpath", INSIDE),
        **keys("filename", FILE_NAME),
        **keys("monitor", CURVE),
        **keys("mode", choice("min", "max")),
        **keys("save_top_k every_n_train_steps every_n_epochs", WHOLE),
        **keys("verbose save_last save_weights_only auto_insert_metric_name save_on_exception", FLAG),
        **keys("save_on_train_epoch_end enable_version_counter", FLAG),
    },
    "lightning.pytorch.callbacks.EarlyStopping": {
        **keys("monitor", CURVE),
        **keys("mode", choice("min", "max")),
        **keys("min_delta patience stopping_threshold divergence_threshold", NUMBER),
        **keys("verbose strict check_finite check_on_train_epoch_end log_rank_zero_only", FLAG),
    },
    "lightning.pytorch.callbacks.LearningRateMonitor": {
        **keys("logging_interval", choice("step", "epoch")),
        **keys("log_momentum log_weight_decay", FLAG),
    },
    "vaelab.training.LastCheckpoint": {
        **keys("dirpath", INSIDE),
        **keys("filename", NAME),
        **keys("seconds every_n_steps", NUMBER),
    },
    "vaelab.training.Pictures": {
        **keys("dirpath", INSIDE),
        **keys("every_n_epochs examples timeout", NUMBER),
    },
    "vaelab.training.Progress": keys("refresh_rate process_position leave", NUMBER | FLAG),
}
PLUGINS: dict[str, Kinds] = {"lightning.pytorch.plugins.environments.LightningEnvironment": {}}
FLAGS = keys("foreach maximize capturable differentiable fused", FLAG)
OPTIMIZERS: dict[str, Kinds] = {
    "torch.optim.Adam": {
        **keys("lr eps weight_decay", NUMBER),
        **keys("betas", listed(NUMBER)),
        **keys("amsgrad decoupled_weight_decay", FLAG),
        **FLAGS,
    },
    "torch.optim.AdamW": {
        **keys("lr eps weight_decay", NUMBER),
        **keys("betas", listed(NUMBER)),
        **keys("amsgrad", FLAG),
        **FLAGS,
    },
    "torch.optim.SGD": {**keys("lr momentum dampening weight_decay", NUMBER), **keys("nesterov", FLAG), **FLAGS},
    "torch.optim.RMSprop": {
        **keys("lr alpha eps weight_decay momentum", NUMBER),
        **keys("centered", FLAG),
        **FLAGS,
    },
    "torch.optim.LBFGS": {
        **keys("lr tolerance_grad tolerance_change", NUMBER),
        **keys("max_iter max_eval history_size", whole(0, 10_000)),
        **keys("line_search_fn", choice("strong_wolfe")),
    },
}
SCHEDULERS: dict[str, Kinds] = {
    f"torch.optim.lr_scheduler.{name}": {**keys("last_epoch", WHOLE), **kinds}
    for name, kinds in {
        "CosineAnnealingLR": keys("T_max eta_min", NUMBER),
        "ExponentialLR": keys("gamma", NUMBER),
        "LinearLR": keys("start_factor end_factor total_iters", NUMBER),
        "MultiStepLR": {**keys("milestones", listed(WHOLE)), **keys("gamma", NUMBER)},
        "OneCycleLR": {
            **keys("max_lr pct_start base_momentum max_momentum div_factor final_div_factor", NUMBER),
            **keys("total_steps epochs steps_per_epoch", WHOLE),
            **keys("anneal_strategy", choice("cos", "linear")),
            **keys("cycle_momentum three_phase", FLAG),
        },
        "StepLR": keys("step_size gamma", NUMBER),
    }.items()
}
PRUNERS: dict[str, Kinds] = {
    "vaelab.training.PruneTrial": {"storage": TEXT, "trial": whole(0), "metric": CURVE, "pruner": OBJECT},
    **{
        f"optuna.pruners.{name}": {
            **keys("n_startup_trials n_warmup_steps interval_steps n_min_trials percentile lower upper", NUMBER),
            **keys("min_resource max_resource reduction_factor min_early_stopping_rate bootstrap_count", NUMBER),
            **keys("patience min_delta p_threshold", NUMBER),
        }
        for name in ("MedianPruner", "PercentilePruner", "SuccessiveHalvingPruner", "ThresholdPruner", "NopPruner")
    },
}
TOP: Kinds = {  # keys of a config that hold no constructor
    **keys("latent_dim", whole(1)),
    **keys("seed", whole(0, 2**32 - 1)),
    **keys("threads", whole(1, THREADS)),
    **keys("compile", FLAG),
    **keys("matmul_precision", choice("highest", "high", "medium")),
    **keys("resume", NOTHING),
    **keys("x_shape target_shape", SHAPE),
    **keys("x_names", listed(TEXT)),
    **keys("fingerprint", WHOLE | TEXT),
    **keys("folder", TEXT),
}
PACKAGES = {  # where the constructor of a group comes from, unless it is one of an allowed package
    "model": "vaelab.families",
    "posterior": "vaelab.families",
    "prior": "vaelab.priors",
    "network": "vaelab.networks",
    "objective": "vaelab.objectives",
    "data": "vaelab.data",
}
TABLES = {"optimizer": OPTIMIZERS, "scheduler": SCHEDULERS, "logger": LOGGERS}


def kinds_of(constructor: type) -> dict[str, Kind]:
    """The kinds that a vaelab constructor's annotations admit; a key whose annotation says no kind is unknown."""
    hints = get_type_hints(constructor.__init__)  # type: ignore[misc]
    found = {}
    for name, parameter in inspect.signature(constructor).parameters.items():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and (kind := _kind_of(hints.get(name))):
            found[name] = kind
    return found


def _kind_of(hint: Any) -> Kind | None:
    simple = {bool: FLAG, int: WHOLE, float: NUMBER, str: TEXT, type(None): NOTHING, Path: SOURCE}
    if hint in simple:
        return simple[hint]
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return choice(*inner)
    if origin in (Union, types.UnionType):
        return _either([each for each in inner if not (each is str and Path in inner)])
    if isinstance(origin, type) and issubclass(origin, Sequence):
        entry = _either([each for each in inner if each is not Ellipsis])
        return entry and listed(entry)
    if isinstance(hint, type) and issubclass(hint, nn.Module):
        return OBJECT
    return None


def _either(hints: Sequence[Any]) -> Kind | None:
    kinds = [_kind_of(hint) for hint in hints]
    known = [kind for kind in kinds if kind is not None]
    return reduce(or_, known) if known and len(known) == len(kinds) else None
