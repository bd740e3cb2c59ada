"""Train a VAE, then score it: python train.py [GROUP=OPTION] [key=value] [-m]."""

import logging
import os
import sys
import warnings
from functools import partial
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

GROUPS = {"model", "posterior", "prior", "network", "objective", "data", "optimizer", "scheduler"}
KEYS = GROUPS | {"trainer", "callbacks", "logger", "latent_dim", "seed"}
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
    return VAEModule(vae, make(cfg.objective), make(cfg.optimizer), make(cfg.get("scheduler"))), data


def train(cfg: DictConfig) -> float:
    """Builds, fits, tests the best weights, writes metrics.json; -> the validation ELBO in nats, NaN without one."""
    from vaelab.checks import check_seed, check_whole

    if unknown := [key for key in cfg if key not in KEYS]:
        raise ValueError(
            f"{', '.join(unknown)} is not a key, so nothing would read it; the keys are {', '.join(sorted(KEYS))}"
        )
    check_whole("latent_dim", cfg.latent_dim, 1)
    check_seed("seed", cfg.seed)

    from hydra.utils import instantiate  # what is heavy is imported here, so that --help and mistakes answer soon
    from lightning.pytorch import seed_everything

    from vaelab.runs import format_summary, write_metrics
    from vaelab.training import score_best

    seed_everything(cfg.seed, verbose=False)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec", module="lightning")
    warnings.filterwarnings("ignore", message="The number of training batches")  # each epoch ends with a point anyway

    module, data = build(cfg)
    callbacks = list(instantiate(cfg.callbacks).values())
    trainer = instantiate(cfg.trainer, logger=instantiate(cfg.logger), callbacks=callbacks, _convert_="all")
    trainer.fit(module, data)
    metrics = score_best(trainer, module, data)
    folder = Path(HydraConfig.get().runtime.output_dir)
    write_metrics(folder, metrics)
    print(format_summary(folder, metrics))
    return metrics.get("val/elbo", float("nan"))


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
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them
    try:
        main()
    except Exception as error:
        if TRACEBACK:
            raise
        from vaelab.errors import one_sentence

        sys.exit(f"error: {one_sentence(error)}")
