"""Makes Lightning's Trainer for a run."""

from pathlib import Path
from typing import Any, NamedTuple

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint, ProgressBar
from lightning.pytorch.strategies import DDPStrategy
from omegaconf import DictConfig, OmegaConf

from vaelab.instantiate import Allow, anything, instantiate
from vaelab.training import CheckpointIO, VAEModule
from vaelab.training.lightning_private import starts_by_command
from vaelab.training.trainable import check_trainable


class Resumed(NamedTuple):
    """A checkpoint that a run resumes from, and its content."""

    checkpoint: Path
    content: dict[str, Any]

    @property
    def has_trained(self) -> bool:
        """True if there is a step to resume from. If not, the same seed gives the same run from the start."""
        return bool(self.content["global_step"])


def make_trainer(cfg: DictConfig, folder: Path, resumed: Resumed | None, allow: Allow = anything) -> Trainer:
    """Makes Lightning's Trainer, with only the callbacks and loggers of a config."""
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    callbacks = _callbacks(config, allow)
    checkpoint, content = resumed or (None, None)
    plugins = instantiate(config["trainer"].get("plugins") or [], allow, "trainer.plugins")
    trainer: Trainer = instantiate(
        config["trainer"],
        allow,
        "trainer",
        logger=_loggers(config, allow) or False,
        callbacks=callbacks,
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),  # else Lightning
        enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),  # adds its own
        default_root_dir=str(folder),
        plugins=[CheckpointIO(folder, checkpoint, content), *plugins],
    )
    return trainer


def _callbacks(config: dict[str, Any], allow: Allow) -> list[Callback]:
    made = instantiate(config.get("callbacks"), allow, "callbacks") or {}
    given = [callback for callback in made.values() if callback is not None]
    wants_bar = config["trainer"].get("enable_progress_bar", True)
    return [callback for callback in given if wants_bar or not isinstance(callback, ProgressBar)]


def _loggers(config: dict[str, Any], allow: Allow) -> list[Any]:
    """The loggers of a config, whose key `logger` holds one, a table or a list of them, or null."""
    given = config.get("logger") or []
    made = instantiate(given, allow, "logger")
    if isinstance(given, dict) and "_target_" not in given:
        return [logger for logger in made.values() if logger is not None]
    return made if isinstance(made, list) else [made]


def check_parallel(cfg: DictConfig, trainer: Trainer, module: VAEModule) -> None:
    """Raises a ValueError if several processes could not share the run."""
    if trainer.world_size == 1:
        return
    if not isinstance(trainer.strategy, DDPStrategy) or not starts_by_command(trainer.strategy):
        raise ValueError(
            f"trainer.strategy={cfg.trainer.strategy} cannot share a run between processes; use trainer=ddp"
        )
    check_trainable(module.vae, module.objective, trainer.world_size)
    if cfg.get("compile"):
        raise ValueError("compile must be false for a run with several processes, but is true; use compile=false")
