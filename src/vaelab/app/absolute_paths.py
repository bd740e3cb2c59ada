"""Resolves relative paths in a config against the folder in which you typed the command."""

import os
from pathlib import Path

from omegaconf import Container, DictConfig, ListConfig, OmegaConf

WRITTEN = ("dirpath", "save_dir", "default_root_dir", "log_dir")  # Lightning's keys of folders that it writes to


def make_absolute(cfg: Container, here: str | Path, of_data: bool = False, name: str = "") -> None:
    """Makes the relative paths of a config absolute: folders to write to, data that exist, and a run to start from.

    Args:
        cfg: the config, which is changed in place.
        here: the folder where the command was typed.
        of_data: True if `cfg` is below `data`, where every text may be a path.
        name: the key of `cfg`. If it is a list, its items have this key too.
    """
    from vaelab.sweeps.config_hash import existing, may_be_path

    keys = range(len(cfg)) if isinstance(cfg, ListConfig) else list(cfg.keys() if isinstance(cfg, DictConfig) else ())
    for key in keys:
        value = None if OmegaConf.is_missing(cfg, key) else cfg[key]
        own = name if isinstance(cfg, ListConfig) else str(key)
        if isinstance(value, Container):
            make_absolute(value, here, of_data or key == "data", own)
        elif not isinstance(value, str) or not value or key == "_target_":
            continue
        elif of_data and may_be_path(own, value) and (path := existing(value, Path(here))):
            cfg[key] = str(path)
        elif key in WRITTEN or (key == "init_from" and not name):
            cfg[key] = os.path.join(here, os.path.expanduser(value))
