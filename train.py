"""Train a VAE, then score it: python train.py [GROUP=OPTION] [key=value] [-m] | resume=RUN."""

import gc
import logging
import math
import os
import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from string import Template
from typing import Any, NamedTuple, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from hydra_plugins.vaelab_sweeps.folder import STARTED_BY
from vaelab.instantiate import Allow, anything, instantiate

NEEDED = ("model", "posterior", "prior", "network", "objective", "data", "optimizer", "trainer", "latent_dim", "seed")
OPTIONAL = ("scheduler", "callbacks", "logger", "threads", "compile", "matmul_precision", "resume", "condition")
GROUPS = ("model", "posterior", "prior", "network", "objective", "data", "optimizer", "scheduler")
MAY_CHANGE = ("trainer.max_epochs", "trainer.enable_progress_bar", "data.root", "data.path")  # where a run goes on
HPARAMS = (  # columns of TensorBoard's hyper-parameters tab, beside the groups
    "latent_dim",
    "seed",
    "network.hidden",
    "network.activation",
    "objective.samples",
    "objective.beta",
    "optimizer.lr",
    "data.batch_size",
    "trainer.max_epochs",
)
PRECISIONS = ("highest", "high", "medium")  # torch's, of matrix products
SCRIPT = Path(__file__).resolve()
CONF = SCRIPT.parent / "conf"
PARENT = os.getppid()
WISH = "VAELAB_TRACEBACK"  # in the environment: HYDRA_FULL_ERROR as the user set it
TRACEBACK = os.environ.get(WISH, os.environ.get("HYDRA_FULL_ERROR")) == "1"
log = logging.getLogger("vaelab")


def rank() -> int:
    """Which of the processes of a run this is (`trainer=ddp`); the first, 0, starts the others and writes the files."""
    return int(os.environ.get("LOCAL_RANK", 0)) if os.environ.get(STARTED_BY) == str(PARENT) else 0


def build(cfg: DictConfig, content: dict | None = None, allow: Allow = anything):
    """-> the VAEModule and the LightningDataModule of a config, ready for `Trainer.fit`.

    Args:
        cfg: the config of a run.
        content: what the checkpoint of a resumed run holds; None for a new run.
        allow: which constructors may be called.
    """
    from vaelab.build import (
        build_objective,
        build_optimizer,
        build_scheduler,
        build_vae,
        condition_shape_of,
        ready_data,
        start,
    )
    from vaelab.training import VAEModule

    config, trained = OmegaConf.to_container(cfg, resolve=True), content["hyper_parameters"] if content else {}
    data = ready_data(config, allow, trained.get("x_names"), trained.get("condition_names"))
    vae = build_vae(config, data.x_shape, data.target_shape, condition_shape_of(data), allow)
    if content is None or not content["global_step"]:
        start(vae, data)
    parts = build_objective(config, vae, allow), build_optimizer(config, allow), build_scheduler(config, allow)
    return VAEModule(vae, *parts, compile=cfg.get("compile", False)), data


def recipe(cfg: DictConfig) -> dict:
    """The config in plain containers, every value filled in and every path absolute: what a checkpoint carries."""
    from hydra_plugins.vaelab_sweeps.paths import make_absolute

    config = OmegaConf.to_container(cfg, resolve=True)
    data = OmegaConf.create(config["data"])
    make_absolute(data, Path.cwd(), of_data=True)
    return config | {"data": OmegaConf.to_container(data)}


def check_parallel(cfg: DictConfig, trainer) -> None:
    """Raises a ValueError for processes that could not share a run."""
    from lightning.pytorch.strategies import DDPStrategy

    if trainer.world_size == 1:
        return
    if not isinstance(trainer.strategy, DDPStrategy) or trainer.strategy._start_method != "popen":
        raise ValueError(
            f"trainer.strategy={cfg.trainer.strategy} cannot split a run between processes; use trainer=ddp"
        )
    if cfg.get("compile"):
        raise ValueError("compile=true does not work with several processes; use compile=false")


class Trained(NamedTuple):
    """What is left to show of a run that is done: its config, final numbers, what they lack, and its trainer."""

    config: dict
    metrics: dict[str, float]
    notes: list[str]
    trainer: Any


def summarise(config: dict, metrics: dict[str, float], trainer) -> None:
    """Fills TensorBoard's hyper-parameters tab; every run writes the same keys, so that runs compare."""
    from lightning.pytorch.loggers import TensorBoardLogger

    hparams = dict(config["choices"])
    for key in HPARAMS:
        value = OmegaConf.select(OmegaConf.create(config), key)
        hparams[key] = float(value) if type(value) in (int, float) else str(value)
    final = {f"final/{tag}": value for tag, value in metrics.items()}
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(hparams, final, trainer.global_step)
            logger.finalize("success")  # it writes in a thread, which the end of the process would cut short


def check_environment(cfg: DictConfig) -> None:
    """Raises a ValueError where another launcher has left its mark, by which Lightning would wait for processes."""
    if rank():
        return
    if cfg.trainer.get("devices") in (1, "auto", None):
        harmless, names = ("0", None), ["RANK", "LOCAL_RANK"]
    else:
        harmless, names = (None,), ["RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"]
    for name in names:
        if (value := os.environ.get(name)) not in harmless:
            raise ValueError(f"{name}={value} is in the environment, but a run starts its own processes; unset it")


def check(cfg: DictConfig) -> None:
    """Raises a ValueError for what no constructor could explain."""
    from vaelab.app.trainer_flags import check_trainer
    from vaelab.checks import check_choice, check_number, check_seed, check_whole

    check_environment(cfg)
    if unknown := [key for key in cfg if key not in NEEDED + OPTIONAL]:
        keys = ", ".join(NEEDED + OPTIONAL)
        raise ValueError(f"{', '.join(unknown)} is not a key, so nothing would read it; the keys are {keys}")
    if missing := [key for key in NEEDED if cfg.get(key) is None]:
        raise ValueError(f"{', '.join(missing)} is missing, and no run can do without it; give it a value")
    if cfg.get("resume") is not None:
        raise ValueError("resume cannot be combined with anything else; use python train.py resume=RUN")
    check_whole("latent_dim", cfg.latent_dim, 1)
    check_seed("seed", cfg.seed)
    if cfg.get("threads") is not None:
        check_whole("threads", cfg.threads, 1)
    check_choice("matmul_precision", cfg.get("matmul_precision", PRECISIONS[0]), PRECISIONS)
    if "lr" in cfg.optimizer:
        check_number("optimizer.lr", cfg.optimizer.lr, 0)
    check_trainer(OmegaConf.to_container(cfg.trainer, resolve=True))


def train(cfg: DictConfig) -> float:
    """A new run in Hydra's folder; -> the validation ELBO in nats, NaN without one."""
    from hydra_plugins.vaelab_sweeps.identity import identity
    from hydra_plugins.vaelab_sweeps.paths import make_absolute
    from vaelab.runs.environment import git_revision
    from vaelab.runs.folder import check_unused, locked, sweep_up
    from vaelab.runs.run_state import State, read_state, recorded

    chosen = HydraConfig.get()
    folder, given = Path(chosen.runtime.cwd, chosen.runtime.output_dir), tuple(chosen.overrides.task)
    choices = {group: str(chosen.runtime.choices.get(group)) for group in GROUPS}
    known_by = identity(cfg, HydraConfig.instance().cfg)
    if chosen.job.chdir:
        make_absolute(cfg, chosen.runtime.cwd)
    if rank():
        run(cfg, folder, choices)
        return math.nan
    with locked(folder):
        sweep_up(folder)
        check_unused(folder)
        typed = {"arguments": tuple(sys.argv[1:]), "cwd": chosen.runtime.cwd}
        state = State("running", "", given, known_by, git_revision(), **typed)
        if (before := read_state(folder)) and before.config == state.config:  # of a sweep's cell, or of a new try
            state = replace(before, revision=state.revision, **typed)
        with recorded(folder, state, given):
            (folder / f"{chosen.job.name}.log").touch()  # empty where nothing is said
            check(cfg)
            if OmegaConf.select(cfg, "callbacks.pictures") and "lightning" not in sys.modules:
                from vaelab.figures import DrawingProcess, spare

                spare += [DrawingProcess() for _ in range(2)]
            trained = run(cfg, folder, choices)
        return conclude(folder, trained)


def cell(cfg: DictConfig) -> float:
    """One run of a sweep, in a process of its own; -> its validation ELBO in nats, NaN where it failed."""
    from hydra_plugins.vaelab_sweeps.cell import job_of

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a launcher's process: the sweep is told alone
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return job_of(str(SCRIPT), cfg, HydraConfig.instance().cfg).run()


def resume(arguments: dict[str, str]) -> None:
    """Resumes the run in the folder `arguments["resume"]` from its newest checkpoint that is whole."""
    from vaelab.app.restart import without_checkpoint
    from vaelab.escapes import for_terminal
    from vaelab.runs.admitted import admitted_to_resume
    from vaelab.runs.checkpoint_parts import check_trusted
    from vaelab.runs.find_checkpoint import newest_checkpoint
    from vaelab.runs.folder import check_own, check_variables, locked, sweep_up
    from vaelab.runs.local_data import check_at_hand, local_data
    from vaelab.runs.memory_needed import check_sizes
    from vaelab.runs.run_state import State, read_state, recorded, write_state
    from vaelab.runs.trust import STUDY, with_own_study

    named = arguments.pop("resume")
    folder = Path(named).expanduser().resolve()
    if folder.is_file():
        raise ValueError(f"{named} is a file, but resume needs a run's folder; name the folder")
    if not named or not folder.is_dir():
        raise FileNotFoundError(f"resume={named} does not exist, so there is no run to resume; name a run's folder")
    check_variables(folder, "resume")
    allow = tuple(filter(None, arguments.pop("allow", "").strip("[]").replace(" ", "").split(",")))
    if unknown := [key for key in arguments if key not in MAY_CHANGE]:
        raise ValueError(
            f"{unknown[0]} cannot change when a run resumes; only {', '.join(MAY_CHANGE)} may change, so "
            "train a new run"
        )
    if not any(folder.glob("checkpoints/*.ckpt")):
        raise FileNotFoundError(without_checkpoint(folder, SCRIPT))
    with nullcontext() if rank() else locked(folder):
        if not rank():
            check_own(folder)
            sweep_up(folder)
        checkpoint, content = newest_checkpoint(folder)
        config = content["hyper_parameters"] = with_own_study(content["hyper_parameters"], os.environ.get(STUDY))
        check_trusted(content, folder, allow)
        check_sizes(config)
        changes = OmegaConf.from_dotlist([f"{key}={value}" for key, value in arguments.items()])
        cfg = OmegaConf.merge(
            OmegaConf.create({key: config[key] for key in config if key in NEEDED + OPTIONAL}), changes
        )
        check(cfg)
        at_hand = local_data(OmegaConf.to_container(cfg.data), allow)
        check_at_hand(at_hand)
        if at_hand.get("root") != cfg.data.get("root"):
            with open_dict(cfg):
                cfg.data.mirrors = ["a resumed run fetches nothing"]  # those of the config may be anyone's
        before, epochs = config["trainer"]["max_epochs"], cfg.trainer.max_epochs
        if (folder / "metrics.json").is_file():
            over = content["position"]["should_stop"] or epochs is None or 0 <= epochs <= content["epoch"]
            if over or epochs == before:
                if (state := read_state(folder)) and state.state != "done":  # it was killed at the very end
                    write_state(folder, replace(state, state="done", reason=""))
                print(for_terminal(f"{folder} is finished, after {content['epoch']} epoch(s); {further(content)}"))
                return
        if "T_max" in (cfg.get("scheduler") or {}) and epochs != before:
            raise ValueError(
                f"trainer.max_epochs={epochs} does not fit, because the learning rate comes to its end at "
                f"scheduler.T_max={cfg.scheduler.T_max}; train a new run"
            )
        with nullcontext() if rank() else recorded(folder, read_state(folder) or State("running")):
            trained = run(cfg, folder, config["choices"], checkpoint, content, admitted_to_resume(allow))
        if not rank():
            conclude(folder, trained)


def further(content: dict) -> str:
    """What can be done about a run that is finished."""
    if content["position"]["should_stop"]:
        return "early stopping or trainer.max_time ended it, so train a new run"
    return "a larger trainer.max_epochs goes further"


def run(
    cfg: DictConfig,
    folder: Path,
    choices: dict,
    checkpoint: Path | None = None,
    content: dict | None = None,
    allow: Allow = anything,
) -> Trained:
    """Builds, fits, tests the best weights and writes metrics.json: all that decides whether a run is done."""
    import torch
    from lightning.pytorch import seed_everything
    from lightning.pytorch.callbacks import Checkpoint, ProgressBar

    from vaelab.build import data_facts, kl_of
    from vaelab.data.trainer_limits import check_limits, what_is_scored
    from vaelab.runs.environment import write_environment
    from vaelab.runs.folder import write_json, write_metrics
    from vaelab.runs.same_data import check_same_data
    from vaelab.signals import stopping
    from vaelab.training import (
        CheckpointIO,
        cut_event_files,
        ddp_processes,
        explain_write_errors,
        fit,
        keep_freed_memory,
        quiet_lightning,
        score_best,
        worthwhile_threads,
    )

    gc.enable()
    gc.freeze()  # thousands of modules are imported, and stay
    quiet_lightning()
    keep_freed_memory()
    with stopping.listening():
        seed_everything(cfg.seed, verbose=False)
        os.environ.pop("PL_GLOBAL_SEED", None)  # by which Lightning would seed once more where several processes start
        if rank():
            for name in ("vaelab.build", "vaelab.data"):  # the first says what was read and how the KL is computed
                logging.getLogger(name).setLevel(logging.ERROR)
        module, data = build(cfg, content, allow)
        plain = OmegaConf.to_container(cfg, resolve=True)
        made = instantiate(plain.get("callbacks"), allow, "callbacks") or {}
        given = [callback for callback in made.values() if callback is not None]
        wants_bar = cfg.trainer.get("enable_progress_bar", True)
        callbacks = [callback for callback in given if wants_bar or not isinstance(callback, ProgressBar)]
        plugins = instantiate(plain["trainer"].get("plugins") or [], allow, "trainer.plugins")
        trainer = instantiate(
            plain["trainer"],
            allow,
            "trainer",
            logger=instantiate(plain.get("logger"), allow, "logger") or False,
            callbacks=callbacks,
            enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),  # else Lightning
            enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),  # adds its own
            default_root_dir=str(folder),
            plugins=[CheckpointIO(folder, checkpoint, content), *plugins],
        )
        check_parallel(cfg, trainer)
        check_limits(trainer, data)
        threads = cfg.get("threads") or worthwhile_threads(
            module, data.batch_size, cfg.objective.get("samples", 1), trainer.num_devices
        )
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(cfg.get("matmul_precision", PRECISIONS[0]))
        config = recipe(cfg) | {
            "threads": threads,
            **data_facts(data),
            "kl": kl_of(module.objective),
            "choices": choices,
            "folder": str(folder),
        }
        module.save_hyperparameters(config)
        if content is not None:
            check_same_data(content, config)
        if not rank():
            described = data.describe() | what_is_scored(trainer, data)
            write_json(folder / "data.json", described | ({"read": data.read_report} if data.read_report else {}))
            write_environment(folder, sys.argv, threads)
        if content is not None and not content["global_step"]:
            checkpoint = None  # nothing was trained yet: to start from the same seed gives the same run
        if content is not None and not rank():
            cut_event_files(folder, content["position"]["curves"] if checkpoint else {})
            for old in (folder / "metrics.json", *folder.glob("evaluation*.json")):  # of fewer epochs
                old.unlink(missing_ok=True)
        if not TRACEBACK:
            os.environ.pop("HYDRA_FULL_ERROR", None)  # which other processes of this run would take for the user's
        if trainer.world_size > 1 and not rank():
            os.environ[STARTED_BY] = str(os.getpid())
        with ddp_processes(trainer), explain_write_errors():
            fit(trainer, module, data, checkpoint)
            stopping.stop()
            metrics, notes = score_best(trainer, module, data)
            stopping.stop()
        if not rank():
            check_finite(metrics)
            write_metrics(folder, metrics)
    return Trained(config, metrics, notes, trainer)


def check_finite(metrics: dict[str, float]) -> None:
    """Raises a ValueError if a term of the objective is not finite; a callback's own numbers decide nothing."""
    from vaelab.objectives import Terms

    terms = {f"{split}/{term}" for split in ("val", "test") for term in Terms._fields}
    if bad := [f"{tag}={value}" for tag, value in metrics.items() if tag in terms and not math.isfinite(value)]:
        raise ValueError(f"the run diverged, because it ends with {', '.join(bad)}; try a lower optimizer.lr")


def conclude(folder: Path, trained: Trained) -> float:
    """Shows what a run that is done ends with; -> the validation ELBO in nats, NaN without one.

    All of it is on the disk by now, so whatever fails here is a warning.
    """
    from vaelab.errors import one_sentence
    from vaelab.objectives import Terms
    from vaelab.runs.folder import format_summary
    from vaelab.training import explain_write_errors

    config, metrics, notes, trainer = trained
    with suppress(KeyboardInterrupt):  # the run is done, so there is nothing to stop
        try:
            if metrics:
                with explain_write_errors():
                    summarise(config, metrics, trainer)
        except Exception as error:
            log.warning("TensorBoard's hyper-parameters tab lacks this run (%s)", one_sentence(error))
        try:
            print(format_summary(folder, metrics, Terms._fields, notes), flush=True)
        except Exception as error:
            log.warning("%s holds the final numbers; they cannot be printed (%s)", folder / "metrics.json", error)
    return metrics.get("val/elbo", math.nan)


def show_help(arguments: list[str]) -> None:
    """Hydra's --help page; Hydra itself would take a second to list the options of its own groups beside ours."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("--config-name", "-cn", default="train")
    known, others = parser.parse_known_args(arguments)
    overrides = [argument for argument in others if not argument.startswith("-")]
    if known.config_dir:
        overrides.append(f"hydra.searchpath=[{Path(known.config_dir).absolute()}]")
    with hydra.initialize(version_base="1.3", config_path="conf"):
        cfg = hydra.compose(known.config_name, overrides, return_hydra_config=True)
    template = Template(cfg.hydra.help.template)
    with open_dict(cfg):
        del cfg.hydra
    groups = {folder.name: sorted(file.stem for file in folder.glob("*.yaml")) for folder in CONF.iterdir()}
    lines = [f"{name}: {', '.join(options)}\n" for name, options in sorted(groups.items()) if options]
    print(template.substitute(APP_CONFIG_GROUPS="".join(lines), CONFIG=OmegaConf.to_yaml(cfg)))


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float:
    from vaelab.signals import Stopped

    try:
        return cell(cfg) if HydraConfig.get().mode == RunMode.MULTIRUN else train(cfg)
    except Stopped as stopped:
        say_how_to_resume(stopped, Path(HydraConfig.get().runtime.output_dir))
    except Exception as error:
        if TRACEBACK:
            raise
        say(error, HydraConfig.get().overrides.task)
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise  # Hydra goes on with the next job
        sys.exit(1)


def say(error: Exception, given: Sequence[str] = ()) -> None:
    """Why a run ends, in one sentence; of its processes, the first says what all of them know."""
    from vaelab.errors import one_sentence

    if rank() and is_known_to_the_first(error):
        sys.exit(0)
    tell(f"error: {one_sentence(error, given)}")


def tell(sentence: str) -> None:
    """Logs it; prints it if Hydra's settings have switched logging off."""
    log.error("%s", sentence)
    if log.disabled:
        print(sentence, file=sys.stderr)


def is_known_to_the_first(error: Exception) -> bool:
    """Whether the first process of this run ends too, and by itself."""
    from vaelab.signals import stopping
    from vaelab.training.non_finite import Diverged

    if isinstance(error, Diverged) or stopping.asked is not None:
        return True
    until = time.monotonic() + 2  # its connection is lost a moment before its process has ended
    while os.getppid() == PARENT and time.monotonic() < until:
        time.sleep(0.01)
    return os.getppid() != PARENT


def say_how_to_resume(stopped, folder: Path) -> NoReturn:
    """Ends the process as the signal asks."""
    if rank():
        sys.exit(0)  # the first says it
    saved = any(folder.glob("checkpoints/*.ckpt"))
    goes_on = f"python train.py resume={folder} resumes it" if saved else "nothing was saved yet, so start it again"
    tell(f"{stopped}; {goes_on}")
    sys.exit(128 + stopped.signal)


class Plain(logging.Formatter):
    """What is said, without control characters that a run's files may hold."""

    def format(self, record: logging.LogRecord) -> str:
        from vaelab.escapes import lines_for_terminal

        return lines_for_terminal(super().format(record))


def go_on(arguments: list[str]) -> None:
    """`resume`, with what it says in the run's train.log too."""
    from vaelab.files import open_log
    from vaelab.signals import Stopped

    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if unread := [argument for argument in arguments if "=" not in argument]:
        sys.exit(f"error: {unread[0]} means nothing to a run that resumes; leave it out")
    given = dict(argument.split("=", 1) for argument in arguments)
    folder = Path(given["resume"]).expanduser()
    if (train_log := open_log(folder / "train.log")) is not None:
        handlers.append(logging.StreamHandler(train_log))
    logging.getLogger().setLevel(logging.INFO)
    for handler in handlers:
        handler.setFormatter(Plain())
        logging.getLogger().addHandler(handler)
    try:
        resume(given)
    except Stopped as stopped:
        say_how_to_resume(stopped, folder.resolve())
    except Exception as error:
        if TRACEBACK:
            raise
        say(error)
        sys.exit(1)


if __name__ == "__main__":
    gc.disable()  # until all is imported: none of it is garbage, and to look for some takes a second
    logging.raiseExceptions = False  # a full disk has its own sentence; logging errors would only repeat it
    os.environ[WISH] = str(int(TRACEBACK))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them
    arguments = sys.argv[1:]
    try:
        from vaelab.standard_streams import forgive_streams

        forgive_streams()
        os.environ["MPLBACKEND"] = "agg"  # a notebook names one of its own, which may not be there
        if {"--help", "-h"} & set(arguments):
            show_help(arguments)
        elif any(argument.startswith("--exp") for argument in arguments):
            sys.exit("error: --experimental-rerun reads a pickle, which can run code; use python train.py resume=RUN")
        elif any(argument.startswith("resume=") for argument in arguments):
            go_on(arguments)
        else:
            sys.argv[1:] = sorted(
                arguments, key=lambda argument: argument not in ("-m", "--multirun")
            )  # first, for argparse
            main()
    except KeyboardInterrupt:
        if not rank():
            log.error("stopped by SIGINT before training began; start it again")
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        if TRACEBACK:
            raise
        from vaelab.errors import one_sentence

        sys.exit(f"error: {one_sentence(error)}")
