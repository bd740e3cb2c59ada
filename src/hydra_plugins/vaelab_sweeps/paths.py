"""Relative paths of a config, as the person who typed them means them."""

import os
from pathlib import Path

from omegaconf import Container, DictConfig, ListConfig, OmegaConf

FOLDERS = ("dirpath", "save_dir", "default_root_dir", "log_dir")  # Lightning's keys for where something is written


def make_absolute(cfg: Container, here: str | Path, of_data: bool = False) -> None:
    """Makes a config's relative paths absolute: folders to write to, and files and folders of data that exist.

    Args:
        cfg: changed in place.
        here: the folder where the command was typed.
        of_data: whether every text may name a file or a folder, as below `data`.
    """
    from vaelab.sweeps.identity import existing

    keys = range(len(cfg)) if isinstance(cfg, ListConfig) else list(cfg.keys() if isinstance(cfg, DictConfig) else ())
    for key in keys:
        if OmegaConf.is_missing(cfg, key):
            continue
        value = cfg[key]
        if isinstance(value, Container):
            make_absolute(value, here, of_data or key == "data")
        elif isinstance(value, str) and of_data and key != "_target_" and (path := existing(value, Path(here))):
            cfg[key] = str(path)
        elif isinstance(value, str) and value and key in FOLDERS:
            cfg[key] = os.path.join(here, os.path.expanduser(value))
