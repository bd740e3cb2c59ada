"""Finds the config files, and composes the config of a run."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, open_dict

import vaelab
import vaelab.app.score

CONFIG = "train"  # the primary config, conf/train.yaml


def conf_folder() -> Path:
    """The folder of vaelab's config files: inside the installed package, or at the top of the checkout."""
    package = Path(vaelab.__file__).parent
    shipped = package / "conf"
    return shipped if shipped.is_dir() else package.parents[1] / "conf"


def compose(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> DictConfig:
    """Composes the config of a run, as `vaelab train --cfg job` shows it.

    Args:
        overrides: the overrides, as on the command line, such as `["model=bernoulli", "latent_dim=20"]`.
        config_dir: a folder with your own options, like `--config-dir`.

    Raises:
        ValueError: no config can be composed from the overrides.

    Example:
        >>> config = compose(["latent_dim=5", "optimizer=sgd"])
        >>> config.latent_dim, config.optimizer.lr
        (5, 0.001)
    """
    cfg = compose_with_hydra(overrides, config_dir)
    with open_dict(cfg):
        del cfg.hydra
    return cfg


def compose_with_hydra(
    overrides: Sequence[str], config_dir: str | Path | None = None, name: str = CONFIG, multirun: bool = False
) -> DictConfig:
    """Like `compose`, but keeps Hydra's own settings under `hydra`."""
    from vaelab.app.errors import explained
    from vaelab.app.hydra_private import load_config

    if config_dir is not None:
        config_dir = Path(config_dir).expanduser().absolute()
        if not config_dir.is_dir():
            raise ValueError(
                f"--config-dir must name a folder of config files, but {config_dir} does not exist; name another"
            )
    with explained():
        return load_config(conf_folder(), name, overrides, config_dir, multirun)
