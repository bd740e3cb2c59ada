"""Everything that uses private names of Hydra, tested with Hydra 1.3.2 to 1.3.8.

Hydra's public `compose` keeps state of the process and cannot add a folder as `--config-dir` does. Its `--help` lists
the options of its own groups, which takes a second.
"""

import traceback
from collections.abc import Sequence
from pathlib import Path

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.utils import JobRuntime, setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig

VERSION_BASE = "1.3"  # of the behaviour that vaelab expects from Hydra


def load_config(
    conf: Path, name: str, overrides: Sequence[str], config_dir: Path | None = None, multirun: bool = False
) -> DictConfig:
    """The config of a command, with Hydra's own under `hydra`.

    Args:
        conf: folder of the primary config.
        name: of the primary config.
        overrides: as on the command line.
        config_dir: another folder of config files, as `--config-dir`.
        multirun: whether the command is a sweep.

    Raises:
        hydra.errors.HydraException: the overrides make no config.
    """
    version.setbase(VERSION_BASE)
    setup_globals()
    JobRuntime.instance().set("name", name)
    search_path = create_config_search_path(str(conf))
    if config_dir is not None:
        search_path.prepend("command-line", f"file://{config_dir}", SearchPathQuery(provider="schema"))
    mode = RunMode.MULTIRUN if multirun else RunMode.RUN
    return ConfigLoaderImpl(search_path).load_configuration(name, list(overrides), mode)


def is_missing_variable(error: BaseException) -> bool:
    """Whether a KeyError is about a variable that hydra.job.env_copy names."""
    return isinstance(error, KeyError) and _raised_in(error, "_load_configuration_impl")


def is_wrong_verbosity(error: BaseException) -> bool:
    """Whether hydra.verbose has a value that Hydra cannot use."""
    return isinstance(error, AssertionError) and _raised_in(error, "configure_log")


def _raised_in(error: BaseException, function: str) -> bool:
    """Whether a function of that name raised an error, or called what did."""
    return function in [frame.name for frame in traceback.extract_tb(error.__traceback__)[-2:]]
