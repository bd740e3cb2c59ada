"""Checks the flags of Lightning's Trainer for a run. docs/trainer.md says what each one does."""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from vaelab.checks import check_choice, check_flag, check_number, check_whole

Check = Callable[[str, Any], object]

PRECISIONS = ("64-true", "32-true", "16-true", "16-mixed", "bf16-true", "bf16-mixed")
OLD_PRECISIONS = (16, 32, 64, "16", "32", "64", "bf16")  # Lightning's older names
PROFILERS = ("simple", "advanced", "pytorch")
STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false")
DURATION = re.compile(r"\d+:\d\d:\d\d:\d\d")  # days, hours, minutes, seconds


def check_trainer(flags: Mapping[str, Any]) -> None:
    """Checks the values under `trainer` before anything is trained.

    Raises:
        ValueError: Lightning cannot read a value, or a flag cannot work here.
    """
    for flag, value in flags.items():
        if flag in FLAGS and value is not None:
            FLAGS[flag](f"trainer.{flag}", value)
    if flags.get("max_steps", -1) is None:
        raise ValueError("trainer.max_steps must be a whole number, but is null; use -1 for no limit")
    if flags.get("check_val_every_n_epoch", 1) is None and type(flags.get("val_check_interval")) is not int:
        raise ValueError(
            "with trainer.check_val_every_n_epoch=null, trainer.val_check_interval must be a whole number of "
            f"minibatches, but is {_shown(flags.get('val_check_interval'))}"
        )


def _whole(minimum: int) -> Check:
    return lambda name, value: check_whole(name, value, minimum)


def _minibatches(name: str, value: Any) -> None:
    """A whole number of minibatches, or a fraction of them."""
    if type(value) is int and value >= 0:
        return
    if type(value) is not float or not 0 <= value <= 1:
        raise ValueError(
            f"{name} must be a fraction from 0.0 to 1.0 or a whole number of minibatches, but is {_shown(value)}"
        )


def _duration(name: str, value: Any) -> None:
    """Days, hours, minutes and seconds, or a dictionary of them."""
    if isinstance(value, str) and DURATION.fullmatch(value.strip()):
        return
    if isinstance(value, Mapping):
        try:
            timedelta(**value)
            return
        except TypeError:
            pass
    example = f"00:00:00:{value:02d}" if type(value) is int and 0 <= value < 60 else "00:00:00:03"
    raise ValueError(
        f"{name} must be days:hours:minutes:seconds, but is {_shown(value)}; {name}={example} is "
        f"{int(example[-2:])} second(s)"
    )


def _interval(name: str, value: Any) -> None:
    """Minibatches, a fraction of an epoch, or a duration."""
    if isinstance(value, str | Mapping):
        _duration(name, value)
    else:
        _minibatches(name, value)
        if not value:
            raise ValueError(f"{name} must be greater than 0; trainer.limit_val_batches=0 turns validation off")


def _fast_dev_run(name: str, value: Any) -> None:
    if type(value) is not bool:
        check_whole(name, value, 0)


def _clipped(name: str, value: Any) -> None:
    check_number(name, value, 0)


def _one_of(choices: tuple[object, ...], *more: object) -> Check:
    """One of some names, or your own constructor (`_target_: …`)."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, Mapping) and not any(value is each or value == each for each in (*choices, *more)):
            check_choice(name, value, map(str, choices))

    return check


def _deterministic(name: str, value: Any) -> None:
    if value != "warn" and type(value) is not bool:
        raise ValueError(f"{name} must be true, false or warn, but is {_shown(value)}")


def _devices(name: str, value: Any) -> None:
    numbers = value if isinstance(value, list | tuple) else [value]
    if value != "auto" and not (numbers and all(re.fullmatch(r"-1|\d+(,\d+)*", str(each)) for each in numbers)):
        raise ValueError(f"{name} must be a number of devices, a list of their numbers or auto, but is {_shown(value)}")


def _plugins(name: str, value: Any) -> None:
    if not isinstance(value, list | tuple) or not all(isinstance(each, Mapping) for each in value):
        raise ValueError(f"{name} must be a list of constructors, such as [{{_target_: …}}], but is {_shown(value)}")


def _strategy(name: str, value: Any) -> None:
    if not isinstance(value, Mapping) and value not in STRATEGIES:
        raise ValueError(f"{name}={value} cannot share a run between processes; use trainer=ddp")


def _only(allowed: Any, why: str) -> Check:
    """A flag with a single value that works here."""

    def check(name: str, value: Any) -> None:
        if type(value) is not type(allowed) or value != allowed:
            raise ValueError(f"{name}={_shown(value)} does not work here: {why}")

    return check


def _shown(value: Any) -> str:
    """A value as you type it on the command line."""
    return "null" if value is None else str(value).lower() if type(value) is bool else repr(value)


FLAGS: dict[str, Check] = {
    "accelerator": lambda name, value: None,
    "strategy": _strategy,
    "devices": _devices,
    "num_nodes": _only(1, "a run's processes share one machine"),
    "precision": _one_of(PRECISIONS, *OLD_PRECISIONS),
    "logger": _only((), "loggers have their own group; use logger=tensorboard, ~logger, or a key under logger"),
    "callbacks": _only((), "callbacks are a group of their own; add yours with +callbacks.NAME._target_=…"),
    "fast_dev_run": _fast_dev_run,
    "max_epochs": _whole(-1),
    "min_epochs": _whole(0),
    "max_steps": _whole(-1),
    "min_steps": _whole(0),
    "max_time": _duration,
    "limit_train_batches": _minibatches,
    "limit_val_batches": _minibatches,
    "limit_test_batches": _minibatches,
    "limit_predict_batches": _only((), "a run predicts nothing; vaelab encode and vaelab reconstruct take any rows"),
    "overfit_batches": _minibatches,
    "val_check_interval": _interval,
    "check_val_every_n_epoch": _whole(1),
    "num_sanity_val_steps": _whole(-1),
    "log_every_n_steps": _whole(1),
    "enable_checkpointing": _only(
        True, "checkpoints are callbacks; ~callbacks.best and ~callbacks.last leave them out"
    ),
    "enable_progress_bar": check_flag,
    "enable_model_summary": check_flag,
    "accumulate_grad_batches": _whole(1),
    "gradient_clip_val": _clipped,
    "gradient_clip_algorithm": _one_of(("norm", "value")),
    "deterministic": _deterministic,
    "benchmark": check_flag,
    "inference_mode": check_flag,
    "use_distributed_sampler": _only(True, "several processes would each train on the same rows"),
    "profiler": _one_of(PROFILERS),
    "detect_anomaly": check_flag,
    "barebones": _only(False, "it turns off the curves and checkpoints that a run is made of"),
    "plugins": _plugins,
    "sync_batchnorm": _only(False, "no network of vaelab mixes the rows of a minibatch"),
    "reload_dataloaders_every_n_epochs": _only(0, "a run resumes within the rows that it was started with"),
    "default_root_dir": _only((), "a run writes to its own folder; use hydra.run.dir"),
    "enable_autolog_hparams": check_flag,
    "model_registry": _only((), "a run uploads nothing"),
}
