"""Train a VAE, then score it: python train.py [GROUP=OPTION] [key=value] [-m]."""

import logging
import os
import re
import sys
import warnings
from functools import partial
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

KEYS = "model posterior prior network objective data optimizer scheduler trainer callbacks logger latent_dim seed".split()


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


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def train(cfg: DictConfig) -> float:
    """Builds, fits, tests the best weights, writes metrics.json; -> the validation ELBO, in nats."""
    if unknown := [key for key in cfg if key not in KEYS]:
        raise ValueError(f"{', '.join(unknown)} is read by nothing; the top-level keys are {', '.join(KEYS)}")
    from hydra.utils import instantiate  # what is heavy is imported here, so that --help answers at once
    from lightning.pytorch import seed_everything

    from vaelab.runs import format_summary, write_metrics
    from vaelab.training import score_best

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec", module="lightning")
    seed_everything(cfg.seed, verbose=False)
    module, data = build(cfg)
    callbacks = list(instantiate(cfg.callbacks).values())
    trainer = instantiate(cfg.trainer, logger=instantiate(cfg.logger), callbacks=callbacks, _convert_="all")
    trainer.fit(module, data)
    metrics = score_best(trainer, module, data)
    folder = Path(HydraConfig.get().runtime.output_dir)
    write_metrics(folder, metrics)
    print(format_summary(folder, metrics))
    return metrics["val/elbo"]


def sentence(error: BaseException) -> str:
    """An error, Hydra's included, as one line."""
    return str(error)


if __name__ == "__main__":
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise its errors instead of printing them
    try:
        train()
    except Exception as error:
        if wants_traceback:
            raise
        sys.exit(f"error: {sentence(error)}")
