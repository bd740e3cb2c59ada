"""Resumes a run in its own folder, from its newest complete checkpoint."""

import logging
import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from vaelab.app.check import NEEDED, OPTIONAL, check
from vaelab.app.conclude import conclude
from vaelab.app.errors import explained
from vaelab.app.fit import fit
from vaelab.app.rank import rank
from vaelab.app.restart import without_checkpoint
from vaelab.app.trainer import Resumed
from vaelab.escapes import for_terminal, lines_for_terminal
from vaelab.files import open_log
from vaelab.runs.admitted import admitted_to_resume
from vaelab.runs.checkpoint_parts import check_trusted
from vaelab.runs.find_checkpoint import newest_checkpoint
from vaelab.runs.folder import check_own, check_variables, locked, sweep_up
from vaelab.runs.local_data import check_at_hand, local_data
from vaelab.runs.memory_needed import check_sizes
from vaelab.runs.run_state import State, read_state, recorded, write_state
from vaelab.runs.trust import STUDY, with_own_study
from vaelab.runs.weights import check_fits

MAY_CHANGE = ("trainer.max_epochs", "trainer.enable_progress_bar", "data.root", "data.path")


def resume(arguments: Mapping[str, str]) -> None:
    """Resumes the run in the folder `arguments["resume"]`.

    Args:
        arguments: key -> value, as typed: `resume`, optionally `allow`, and keys that may change.

    Raises:
        ValueError, OSError: the run cannot be resumed, or not with these arguments.
    """
    changes = dict(arguments)
    folder = check_folder(changes.pop("resume"))
    allow = allowed_packages(changes.pop("allow", ""))
    if unknown := [key for key in changes if key not in MAY_CHANGE]:
        raise ValueError(
            f"{unknown[0]} cannot change when a run resumes; only {', '.join(MAY_CHANGE)} may change, so "
            "train a new run"
        )
    if not any(folder.glob("checkpoints/*.ckpt")):
        raise FileNotFoundError(without_checkpoint(folder))
    with nullcontext() if rank() else locked(folder):
        if not rank():
            check_own(folder)
            sweep_up(folder)
        resumed = read_trusted(folder, allow)
        cfg = resumed_config(resumed.content, changes, allow)
        if is_finished(folder, cfg, resumed.content):
            return
        check_epochs(cfg, resumed.content)
        check_schedule(cfg, resumed.content)
        with nullcontext() if rank() else recorded(folder, read_state(folder) or State("running")), explained():
            choices = resumed.content["hyper_parameters"]["choices"]
            trained = fit(cfg, folder, choices, resumed, admitted_to_resume(allow))
        if not rank():
            conclude(folder, trained)


def allowed_packages(typed: str) -> tuple[str, ...]:
    """The packages that `allow=a,b` or `allow=[a,b]` names."""
    return tuple(filter(None, typed.strip("[]").replace(" ", "").split(",")))


def check_folder(named: str) -> Path:
    """The absolute path of the run that `resume=` names.

    Raises:
        ValueError, FileNotFoundError: it is not a folder.
    """
    folder = Path(named).expanduser().resolve()
    if folder.is_file():
        raise ValueError(f"{named} is a file, but resume needs a run's folder; name the folder")
    if not named or not folder.is_dir():
        raise FileNotFoundError(f"resume={named} does not exist, so there is no run to resume; name a run's folder")
    check_variables(folder, "resume")
    return folder


def read_trusted(folder: Path, allow: tuple[str, ...]) -> Resumed:
    """Reads the newest checkpoint of a folder that may come from anyone, and checks that nothing in it runs code."""
    checkpoint, content = newest_checkpoint(folder)
    content["hyper_parameters"] = with_own_study(content["hyper_parameters"], os.environ.get(STUDY))
    check_trusted(content, folder, allow)
    check_sizes(content["hyper_parameters"])
    check_fits(checkpoint, content["hyper_parameters"], content["state_dict"], allow)
    return Resumed(checkpoint, content)


def resumed_config(content: dict[str, Any], changes: Mapping[str, str], allow: tuple[str, ...]) -> DictConfig:
    """Takes the config from a checkpoint, changes some values, and checks it.

    Raises:
        ValueError, OSError: a value is invalid, or the data are not here.
    """
    config = content["hyper_parameters"]
    kept = OmegaConf.create({key: config[key] for key in config if key in NEEDED + OPTIONAL})
    cfg: Any = OmegaConf.merge(kept, OmegaConf.from_dotlist([f"{key}={value}" for key, value in changes.items()]))
    check(cfg)
    plain: Any = OmegaConf.to_container(cfg.data)
    at_hand = local_data(plain, allow)
    check_at_hand(at_hand)
    if at_hand.get("root") != cfg.data.get("root"):
        with open_dict(cfg):
            cfg.data.mirrors = ["a resumed run fetches nothing"]  # the mirrors in the config may come from anyone
    return cfg


def is_finished(folder: Path, cfg: DictConfig, content: dict[str, Any]) -> bool:
    """True if nothing is left to train. Then this prints how to train longer."""
    if not (folder / "metrics.json").is_file():
        return False
    stopped, done, epochs = content["position"]["should_stop"], content["epoch"], cfg.trainer.max_epochs
    all_steps = 0 <= cfg.trainer.get("max_steps", -1) <= content["global_step"]
    goes_further = not (stopped or all_steps) and epochs is not None and not 0 <= epochs <= done
    if goes_further and epochs != content["hyper_parameters"]["trainer"]["max_epochs"]:
        return False
    if (state := read_state(folder)) and state.state != "done":  # it was killed at the very end
        write_state(folder, replace(state, state="done", reason=""))
    cure = "a larger trainer.max_epochs trains it longer"
    if stopped or all_steps:
        ended_by = f"trainer.max_steps={cfg.trainer.max_steps}" if all_steps else "early stopping or trainer.max_time"
        cure = f"{ended_by} ended it, so train a new run; init_from={folder} starts one from its weights"
    print(for_terminal(f"{folder} is finished after {done} {'epoch' if done == 1 else 'epochs'}; {cure}"))
    return True


def check_epochs(cfg: DictConfig, content: dict[str, Any]) -> None:
    """Raises a ValueError if the run has already trained for more epochs than it should."""
    epochs, done = cfg.trainer.max_epochs, content["epoch"]
    if epochs is not None and 0 <= epochs < done:
        raise ValueError(f"trainer.max_epochs must be at least {done}, the epochs already trained, but is {epochs}")


def check_schedule(cfg: DictConfig, content: dict[str, Any]) -> None:
    """Raises a ValueError if the schedule of the learning rate was made for another number of epochs."""
    epochs = cfg.trainer.max_epochs
    if "T_max" in (cfg.get("scheduler") or {}) and epochs != content["hyper_parameters"]["trainer"]["max_epochs"]:
        raise ValueError(
            f"trainer.max_epochs must not change, because the learning rate is scheduled until "
            f"scheduler.T_max={cfg.scheduler.T_max}, but is {epochs}; train a new run"
        )


class PlainFormatter(logging.Formatter):
    """Writes messages with control characters escaped, because a run's files may hold some."""

    def format(self, record: logging.LogRecord) -> str:
        return lines_for_terminal(super().format(record))


def log_to(folder: Path) -> None:
    """Sends messages to standard error, and to the train.log of a run."""
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if (train_log := open_log(folder / "train.log")) is not None:
        handlers.append(logging.StreamHandler(train_log))
    logging.getLogger().setLevel(logging.INFO)
    for handler in handlers:
        handler.setFormatter(PlainFormatter())
        logging.getLogger().addHandler(handler)
