"""Hashes a composed config: runs with the same hash are the same."""

import re
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

OF_ONE_START = re.compile(r"\$\{(now|hydra):(?!job\.)")  # may differ each time the same run starts


def identity(cfg: DictConfig, whole: DictConfig) -> str:
    """Hashes the settings that affect results, and the content of the data.

    Args:
        cfg: the config of a run, without Hydra's settings.
        whole: a config with Hydra's settings, for `${hydra:…}`.

    Raises:
        omegaconf.errors.OmegaConfBaseException: an interpolation refers to nothing.
    """
    from vaelab.sweeps.config_hash import config_hash

    return config_hash(filled_in(cfg, whole), whole.hydra.runtime.cwd)


def without_hydra(whole: DictConfig) -> DictConfig:
    """A config without Hydra's settings, as a run gets it."""
    return OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])


def filled_in(cfg: DictConfig, whole: DictConfig) -> dict[str, Any]:
    """A config in plain containers with every value filled in, except for those that differ from start to start."""
    shown, before = OmegaConf.masked_copy(whole, "hydra"), HydraConfig.instance().cfg
    with read_write(shown.hydra), open_dict(shown.hydra):
        shown.hydra.runtime.output_dir = "."  # otherwise different in each run
    HydraConfig.instance().set_config(shown)
    try:
        values: Any = OmegaConf.to_container(cfg, resolve=True)
        written: Any = OmegaConf.to_container(cfg)
    finally:
        HydraConfig.instance().cfg = before
    data = values.pop("data", None)
    return {**_as_written(written, values), "data": data}


def _as_written(written: Any, value: Any) -> Any:
    if isinstance(written, str):
        return written if OF_ONE_START.search(written) else value
    if isinstance(written, dict):
        return {key: _as_written(written[key], value[key]) for key in value}
    if isinstance(written, list):
        return [_as_written(*pair) for pair in zip(written, value, strict=True)]
    return value
