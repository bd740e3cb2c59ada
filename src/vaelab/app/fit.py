"""Builds the model and the data of a config, trains, and scores the best weights."""

import gc
import logging
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, Trainer, seed_everything
from omegaconf import DictConfig, OmegaConf

from vaelab.app.about import write_about
from vaelab.app.absolute_paths import make_absolute
from vaelab.app.check import PRECISIONS
from vaelab.app.collapse_report import collapse_notes, cure
from vaelab.app.final_points import write_final_points
from vaelab.app.opening_lines import say_what_is_trained, say_which_score
from vaelab.app.rank import STARTED_BY, rank
from vaelab.app.score import score_of
from vaelab.app.traceback_wanted import traceback_wanted
from vaelab.app.trainer import Resumed, check_parallel, make_trainer
from vaelab.baseline import Baseline
from vaelab.build import (
    build_objective,
    build_optimizer,
    build_scheduler,
    build_vae,
    fitted_baseline,
    kl_of,
    ready_data,
    start_at_data,
)
from vaelab.data.config_facts import condition_shape_of, data_facts, model_facts, shapes_of_data
from vaelab.data.trainer_limits import check_limits, what_is_scored
from vaelab.instantiate import Allow, anything
from vaelab.objectives import Terms
from vaelab.runs.environment import write_environment
from vaelab.runs.folder import write_json, write_metrics
from vaelab.runs.initial_weights import InitialWeights, initial_weights, read_initial_weights
from vaelab.runs.memory_needed import check_sizes, check_weights
from vaelab.runs.same_data import check_same_data
from vaelab.signals import stopping
from vaelab.training import (
    CollapseWatch,
    VAEModule,
    ddp_processes,
    explain_write_errors,
    keep_freed_memory,
    quiet_lightning,
    score_best,
    unfinished_schedule,
    worthwhile_threads,
)
from vaelab.training import fit as fit_module
from vaelab.training.loggers import close, cut_back


class Trained(NamedTuple):
    """A run that is done: its config, its final numbers, notes on missing numbers, and its trainer."""

    config: dict[str, Any]
    metrics: dict[str, float]
    notes: list[str]
    trainer: Trainer


def build(cfg: DictConfig, resumed: Resumed | None = None, allow: Allow = anything) -> tuple[VAEModule, Any]:
    """Builds the VAEModule and the data module of a config, ready for `Trainer.fit`.

    Args:
        cfg: the config of a run.
        resumed: the checkpoint to resume from; None for a new run.
        allow: decides which constructors may be called.
    """
    read = [str(key) for key in cfg if key not in ("callbacks", "logger")]  # their folders are known only in a run
    config: Any = OmegaConf.to_container(OmegaConf.masked_copy(cfg, read), resolve=True)
    start = _initial_weights(config, resumed)
    trained = resumed.content["hyper_parameters"] if resumed else start.names if start else {}
    data = ready_data(config, allow, trained.get("x_names"), trained.get("condition_names"), trained)
    config |= model_facts(data) | shapes_of_data(data)
    if resumed is None:
        check_sizes(config)
        check_weights(config)
    vae = build_vae(config, data.x_shape, data.target_shape, condition_shape_of(data), allow)
    if resumed is None or not resumed.has_trained:
        start_at_data(vae, data)
    if start:
        start.load_into(vae, config)
    parts = build_objective(config, vae, allow), build_optimizer(config, allow), build_scheduler(config, allow)
    decoder: Any = vae.decoder
    baseline = Baseline(decoder) if resumed and resumed.has_trained else fitted_baseline(vae, data)
    return VAEModule(vae, *parts, compile=cfg.get("compile", False), baseline=baseline), data


def _initial_weights(config: Mapping[str, Any], resumed: Resumed | None) -> InitialWeights | None:
    """The weights that `init_from` names; None if there are none, or a resumed run has its own, trained ones."""
    if config.get("init_from") is None or (resumed and resumed.has_trained):
        return None
    if resumed:  # the other run may be gone, and the first checkpoint holds its weights
        return initial_weights(resumed.checkpoint, resumed.content)
    return read_initial_weights(config["init_from"])


def fit(
    cfg: DictConfig, folder: Path, choices: dict[str, str], resumed: Resumed | None = None, allow: Allow = anything
) -> Trained:
    """Trains, tests the best weights and writes metrics.json. After that, a run counts as done.

    Args:
        cfg: the config of the run.
        folder: the run's folder.
        choices: group -> the chosen option.
        resumed: the checkpoint to resume from; None for a new run.
        allow: decides which constructors may be called.
    """
    _prepare_process()
    with stopping.listening():
        seed_everything(cfg.seed, verbose=False)
        os.environ.pop("PL_GLOBAL_SEED", None)  # Lightning would use it to seed each of several processes again
        module, data = build(cfg, resumed, allow)
        trainer = make_trainer(cfg, folder, resumed, allow)
        check_parallel(cfg, trainer, module)
        check_limits(trainer, data)
        threads = _set_threads(cfg, module, data, trainer)
        config = recipe(cfg) | data_facts(data) | {"kl": kl_of(module.objective), "threads": threads}
        config |= {"choices": choices, "folder": str(folder)}
        module.save_hyperparameters(config)
        if resumed is not None:
            check_same_data(resumed.content, config)
        if not rank():
            say_what_is_trained(module.vae, data)
            say_which_score(module.objective, score_of(cfg))
            _write_beginning(folder, trainer, data, config, resumed)
        trainer.callbacks.append(CollapseWatch(cure(config)))  # type: ignore[attr-defined]  # Lightning sets it late
        with score_is_logged(score_of(cfg), trainer):
            metrics, notes = _train_and_score(trainer, module, data, resumed)
        if not rank():
            notes += [*unfinished_schedule(trainer, module), *collapse_notes(trainer, module, config, metrics)]
            check_finite(metrics)
            write_final_points(folder, config, metrics, trainer)
            write_metrics(folder, metrics)
    return Trained(config, metrics, notes, trainer)


def _prepare_process() -> None:
    gc.enable()
    gc.freeze()  # thousands of modules are imported, and remain
    quiet_lightning()
    keep_freed_memory()
    if rank():  # the first process says what was read, and how the KL is computed
        for name in ("vaelab.build", "vaelab.data", "vaelab.runs"):
            logging.getLogger(name).setLevel(logging.ERROR)


def _set_threads(cfg: DictConfig, module: VAEModule, data: Any, trainer: Trainer) -> int:
    """Sets torch's threads and the precision of its products. Returns the number of threads."""
    samples = cfg.objective.get("samples", 1) * cfg.objective.get("groups", 1)
    threads = cfg.get("threads") or worthwhile_threads(module, data.batch_size, samples, trainer.num_devices)
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(cfg.get("matmul_precision", PRECISIONS[0]))
    return int(threads)


def recipe(cfg: DictConfig) -> dict[str, Any]:
    """The config in plain containers, with every value filled in and every path absolute, for a checkpoint."""
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    placed = OmegaConf.create({key: config[key] for key in ("data", "init_from") if key in config})
    make_absolute(placed, Path.cwd())
    absolute: Any = OmegaConf.to_container(placed)
    return {**config, **absolute}


def _write_beginning(
    folder: Path, trainer: Trainer, data: Any, config: Mapping[str, Any], resumed: Resumed | None
) -> None:
    """Writes what is known before training: facts about the data, the environment, and texts for the loggers."""
    described = data.describe() | what_is_scored(trainer, data)
    write_json(folder / "data.json", described | ({"read": data.read_report} if data.read_report else {}))
    write_environment(folder, sys.argv, config["threads"])
    if resumed is not None:
        _take_back(folder, resumed)
    if resumed is None or not resumed.has_trained:
        write_about(trainer.loggers, config, folder)


def _take_back(folder: Path, resumed: Resumed) -> None:
    """Removes what the run wrote after the checkpoint that it resumes from."""
    cut_back(folder, resumed.content["position"]["curves"] if resumed.has_trained else {})
    for old in (folder / "metrics.json", *folder.glob("evaluation*.json")):  # they belong to fewer epochs
        old.unlink(missing_ok=True)


def _train_and_score(
    trainer: Trainer, module: VAEModule, data: LightningDataModule, resumed: Resumed | None
) -> tuple[dict[str, float], list[str]]:
    if not traceback_wanted():
        os.environ.pop("HYDRA_FULL_ERROR", None)  # other processes of this run would think that the user set it
    if trainer.world_size > 1 and not rank():
        os.environ[STARTED_BY] = str(os.getpid())
    with ddp_processes(trainer), explain_write_errors(), _closing_if_it_fails(trainer):
        fit_module(trainer, module, data, resumed.checkpoint if resumed and resumed.has_trained else None)
        stopping.stop()
        metrics, notes = score_best(trainer, module, data)
        stopping.stop()
    return metrics, notes


@contextmanager
def _closing_if_it_fails(trainer: Trainer) -> Iterator[None]:
    """Closes the loggers if a run does not end as it should. Otherwise the final numbers are still to come."""
    try:
        yield
    except BaseException:
        with suppress(Exception):
            close(trainer.loggers, "failed")
        raise


@contextmanager
def score_is_logged(score: str, trainer: Trainer) -> Iterator[None]:
    """Lists the scores that exist, if Lightning finds that nothing logs the score of a run.

    Raises:
        ValueError: nothing logs the score.
    """
    try:
        yield
    except (MisconfigurationException, RuntimeError) as error:
        landmarks = ("val/baseline", "val/ceiling")  # the same at every validation
        logged = sorted(tag for tag in trainer.callback_metrics if tag.startswith("val/") and tag not in landmarks)
        if score in logged or score not in str(error):
            raise
        choices = ", ".join(logged)
        raise ValueError(f"score must be a number that the run logs, but is {score}; use one of {choices}") from error


def check_finite(metrics: dict[str, float]) -> None:
    """Raises a ValueError if a term of the objective is not finite. Numbers of callbacks don't matter."""
    terms = {f"{split}/{term}" for split in ("val", "test") for term in Terms._fields}
    if bad := [f"{tag}={value}" for tag, value in metrics.items() if tag in terms and not math.isfinite(value)]:
        raise ValueError(f"the run diverged, because it ends with {', '.join(bad)}; try a lower optimizer.lr")
