"""Checks a config before anything is built from it."""

import os
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vaelab.app.rank import rank
from vaelab.app.score import score_of
from vaelab.app.trainer_flags import check_trainer
from vaelab.checks import check_choice, check_number, check_seed, check_whole
from vaelab.typed_command import typed_command

NEEDED = ("model", "posterior", "prior", "network", "objective", "data", "optimizer", "trainer", "latent_dim", "seed")
OPTIONAL = (
    *("scheduler", "callbacks", "logger", "score", "condition", "threads", "compile", "matmul_precision"),
    *("resume", "init_from"),
)
PRECISIONS = ("highest", "high", "medium")  # torch's, of matrix products
OF_LAUNCHERS = ("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def check(cfg: DictConfig) -> None:
    """Raises a ValueError for a mistake that no constructor could explain."""
    check_environment(cfg)
    check_keys(cfg)
    check_whole("latent_dim", cfg.latent_dim, 1)
    check_seed("seed", cfg.seed)
    if cfg.get("threads") is not None:
        check_whole("threads", cfg.threads, 1)
    check_choice("matmul_precision", cfg.get("matmul_precision", PRECISIONS[0]), PRECISIONS)
    if not score_of(cfg).startswith("val/"):
        raise ValueError(f"score must be a number of the validation split, but is {cfg.score}; use score=val/bound")
    if "lr" in cfg.optimizer:
        check_number("optimizer.lr", cfg.optimizer.lr, 0)
    flags: Any = OmegaConf.to_container(cfg.trainer, resolve=True)
    check_trainer(flags)


def check_keys(cfg: DictConfig) -> None:
    """Raises a ValueError if a key is missing, or is one that nothing would read."""
    if unknown := [str(key) for key in cfg if key not in NEEDED + OPTIONAL]:
        keys = ", ".join(NEEDED + OPTIONAL)
        raise ValueError(f"{', '.join(unknown)} is not a key, so nothing would read it; the keys are {keys}")
    if missing := [key for key in NEEDED if cfg.get(key) is None]:
        raise ValueError(f"{', '.join(missing)} must have a value, but is missing; set it")
    if cfg.get("resume") is not None:
        raise ValueError(f"resume cannot be combined with anything else; use {typed_command()} resume=RUN")


def check_environment(cfg: DictConfig) -> None:
    """Raises a ValueError if another launcher has set its variables: Lightning would then wait for its processes."""
    if rank():
        return
    alone = cfg.trainer.get("devices") in (1, "auto", None)
    harmless = ("0", None) if alone else (None,)
    for name in OF_LAUNCHERS[:2] if alone else OF_LAUNCHERS:
        if (value := os.environ.get(name)) not in harmless:
            raise ValueError(f"{name}={value} is in the environment, but a run starts its own processes; unset it")
