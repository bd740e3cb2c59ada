"""Everything that uses private names of Hydra, tested with Hydra 1.3.2 to 1.3.8.

Hydra's public `compose` changes the state of the process, and cannot add a folder like `--config-dir` does. Hydra's
`--help` lists the options of its own groups, which takes a second.
"""

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.utils import JobRuntime, setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig

from vaelab.typed_command import typed_command

VERSION_BASE = "1.3"  # the version of Hydra's behaviour that vaelab expects


def load_config(
    conf: Path, name: str, overrides: Sequence[str], config_dir: Path | None = None, multirun: bool = False
) -> DictConfig:
    """Composes the config of a command, with Hydra's settings under `hydra`.

    Args:
        conf: the folder of the primary config.
        name: the name of the primary config.
        overrides: the overrides, as on the command line.
        config_dir: another folder of config files, like `--config-dir`.
        multirun: True if the command is a sweep.

    Raises:
        hydra.errors.HydraException: no config can be composed from the overrides.
    """
    version.setbase(VERSION_BASE)
    setup_globals()
    JobRuntime.instance().set("name", name)
    search_path = create_config_search_path(str(conf))
    if config_dir is not None:
        search_path.prepend("command-line", f"file://{config_dir}", SearchPathQuery(provider="schema"))
    mode = RunMode.MULTIRUN if multirun else RunMode.RUN
    return ConfigLoaderImpl(search_path).load_configuration(name, list(overrides), mode)


def check_flags(arguments: Sequence[str]) -> None:
    """Raises a ValueError if Hydra has no such flag. Hydra's own message would be a page long."""
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    parser.parse_args(arguments)


def _refuse(message: str) -> NoReturn:
    raise ValueError(f"{message}; `{typed_command()} --hydra-help` lists the flags")


def is_missing_variable(error: BaseException) -> bool:
    """True if a KeyError is about a variable in hydra.job.env_copy."""
    return isinstance(error, KeyError) and _raised_in(error, "_load_configuration_impl")


def is_wrong_verbosity(error: BaseException) -> bool:
    """True if hydra.verbose has a value that Hydra cannot use."""
    return isinstance(error, AssertionError) and _raised_in(error, "configure_log")


def _raised_in(error: BaseException, function: str) -> bool:
    """True if a function with this name raised an error, or called the function that did."""
    return function in [frame.name for frame in traceback.extract_tb(error.__traceback__)[-2:]]
