"""Train a VAE, then score it: python train.py [GROUP=OPTION] [key=value] [-m]."""

import gc
import logging
import math
import os
import sys
from functools import partial
from pathlib import Path
from string import Template

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

NEEDED = ("model", "posterior", "prior", "network", "objective", "data", "optimizer", "trainer", "latent_dim", "seed")
OPTIONAL = ("scheduler", "callbacks", "logger", "threads", "compile", "matmul_precision")
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
CONF = Path(__file__).parent / "conf"
TRACEBACK = os.environ.get("HYDRA_FULL_ERROR") == "1"
log = logging.getLogger("vaelab")


def build(cfg: DictConfig):
    """-> the VAEModule and the LightningDataModule of a config, ready for `Trainer.fit`."""
    from hydra.utils import get_class, instantiate

    from vaelab import VAE
    from vaelab.training import VAEModule

    make = partial(instantiate, _convert_="all")  # plain lists: a checkpoint must not hold config objects
    data = make(cfg.data, support=get_class(cfg.model._target_).support)
    data.prepare_data()
    data.setup()
    vae = VAE.build(
        data.x_shape,
        posterior=make(cfg.posterior),
        likelihood=make(cfg.model, event_shape=data.target_shape),
        prior=make(cfg.prior),
        network=make(cfg.network),
    )
    vae.decoder.start_at(data.mean())
    parts = make(cfg.objective), make(cfg.optimizer), make(cfg.get("scheduler"))
    return VAEModule(vae, *parts, compile=cfg.get("compile", False)), data


def recipe(cfg: DictConfig) -> dict:
    """The config in plain containers, every value filled in and every path absolute: what a checkpoint carries."""
    config = OmegaConf.to_container(cfg, resolve=True)
    for key in ("root", "path"):
        if config["data"].get(key):
            config["data"][key] = str(Path(config["data"][key]).expanduser().absolute())
    return config


def summarise(cfg: DictConfig, metrics: dict[str, float], trainer) -> None:
    """Fills TensorBoard's hyper-parameters tab; every run writes the same keys, so that runs compare."""
    from lightning.pytorch.loggers import TensorBoardLogger

    choices = HydraConfig.get().runtime.choices
    groups = ("model", "posterior", "prior", "network", "objective", "data", "optimizer", "scheduler")
    hparams = {group: str(choices.get(group)) for group in groups}
    for key in HPARAMS:
        value = OmegaConf.select(cfg, key)
        hparams[key] = float(value) if type(value) in (int, float) else str(value)
    final = {f"final/{tag}": value for tag, value in metrics.items()}
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(hparams, final, trainer.global_step)
            logger.finalize("success")  # it writes in a thread, which the end of the process would cut short


def check(cfg: DictConfig) -> None:
    """Raises a ValueError for what no constructor could explain."""
    from vaelab.checks import check_choice, check_number, check_seed, check_whole

    if unknown := [key for key in cfg if key not in NEEDED + OPTIONAL]:
        keys = ", ".join(NEEDED + OPTIONAL)
        raise ValueError(f"{', '.join(unknown)} is not a key, so nothing would read it; the keys are {keys}")
    if missing := [key for key in NEEDED if cfg.get(key) is None]:
        raise ValueError(f"{', '.join(missing)} is missing, and no run can do without it; give it a value")
    check_whole("latent_dim", cfg.latent_dim, 1)
    check_seed("seed", cfg.seed)
    if cfg.get("threads") is not None:
        check_whole("threads", cfg.threads, 1)
    check_choice("matmul_precision", cfg.get("matmul_precision", PRECISIONS[0]), PRECISIONS)
    if "lr" in cfg.optimizer:
        check_number("optimizer.lr", cfg.optimizer.lr, 0)
    for key, minimum in {"max_epochs": -1, "max_steps": -1, "log_every_n_steps": 1}.items():
        if cfg.trainer.get(key) is not None:
            check_whole(f"trainer.{key}", cfg.trainer[key], minimum)


def train(cfg: DictConfig) -> float:
    """Builds, fits, tests the best weights, writes metrics.json; -> the validation ELBO in nats, NaN without one."""
    check(cfg)
    import torch
    from hydra.utils import instantiate
    from lightning.pytorch import seed_everything

    from vaelab.runs import format_summary, write_metrics
    from vaelab.training import quiet_lightning, score_best, worthwhile_threads

    gc.enable()
    gc.freeze()  # thousands of modules are imported, and stay
    quiet_lightning()
    seed_everything(cfg.seed, verbose=False)
    module, data = build(cfg)
    torch.set_num_threads(
        cfg.get("threads") or worthwhile_threads(module, data.batch_size, cfg.objective.get("samples", 1))
    )
    torch.set_float32_matmul_precision(cfg.get("matmul_precision", PRECISIONS[0]))
    module.save_hyperparameters(recipe(cfg) | {"x_shape": list(data.x_shape), "target_shape": list(data.target_shape)})
    callbacks = instantiate(cfg.get("callbacks")) or {}
    if not cfg.trainer.get("enable_progress_bar", True):
        callbacks.pop("progress", None)
    trainer = instantiate(
        cfg.trainer,
        logger=instantiate(cfg.get("logger")) or False,
        callbacks=[callback for callback in callbacks.values() if callback is not None],
        _convert_="all",
    )
    if trainer.world_size > 1:
        raise ValueError(f"trainer.devices={cfg.trainer.devices} does not fit, because a run uses one device; use 1")
    trainer.fit(module, data)
    metrics = score_best(trainer, module, data)
    if bad := [f"{tag}={value}" for tag, value in metrics.items() if not math.isfinite(value)]:
        raise ValueError(f"the run diverged, because it ends with {', '.join(bad)}; try a lower optimizer.lr")
    folder = Path(HydraConfig.get().runtime.output_dir)
    write_metrics(folder, metrics)
    summarise(cfg, metrics, trainer)
    print(format_summary(folder, metrics))
    return metrics.get("val/elbo", math.nan)


def show_help(overrides: list[str]) -> None:
    """Hydra's --help page; Hydra itself would take a second to list the options of its own groups beside ours."""
    with hydra.initialize(version_base="1.3", config_path="conf"):
        cfg = hydra.compose("train", overrides, return_hydra_config=True)
    template = Template(cfg.hydra.help.template)
    with open_dict(cfg):
        del cfg.hydra
    groups = {folder.name: sorted(file.stem for file in folder.glob("*.yaml")) for folder in CONF.iterdir()}
    lines = [f"{name}: {', '.join(options)}\n" for name, options in sorted(groups.items()) if options]
    print(template.substitute(APP_CONFIG_GROUPS="".join(lines), CONFIG=OmegaConf.to_yaml(cfg)))


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float:
    try:
        return train(cfg)
    except Exception as error:
        if TRACEBACK:
            raise
        from vaelab.errors import one_sentence

        log.error("error: %s", one_sentence(error, HydraConfig.get().overrides.task))
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise  # Hydra goes on with the next job
        sys.exit(1)


if __name__ == "__main__":
    gc.disable()  # until all is imported: none of it is garbage, and to look for some takes a second
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them
    try:
        if {"--help", "-h"} & set(sys.argv):
            show_help([argument for argument in sys.argv[1:] if not argument.startswith("-")])
        else:
            main()
    except Exception as error:
        if TRACEBACK:
            raise
        from vaelab.errors import one_sentence

        sys.exit(f"error: {one_sentence(error)}")
