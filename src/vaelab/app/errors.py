"""Turns errors of Hydra and OmegaConf into sentences that say what to type."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
    SearchPathException,
)
from hydra.utils import get_class
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from vaelab import errors
from vaelab.app.hydra_private import is_missing_variable, is_wrong_verbosity
from vaelab.app.hydra_sweeps.installed import install_command
from vaelab.instantiate import takes
from vaelab.typed_command import typed_command

PARTS = ("model", "posterior", "prior", "network", "objective", "data")
LAUNCHERS = {"joblib": "hydra-joblib-launcher", "submitit_": "hydra-submitit-launcher"}


def one_sentence(error: BaseException, given: Sequence[str] = ()) -> str:
    """Like `vaelab.errors.one_sentence`, but also puts errors of Hydra and OmegaConf into plain words."""
    return errors.one_sentence(in_plain_words(error), given)


@contextmanager
def explained() -> Iterator[None]:
    """Raises the errors of Hydra and OmegaConf again, in plain words."""
    try:
        yield
    except Exception as error:
        if (plain := in_plain_words(error)) is error:
            raise
        raise plain from error


def in_plain_words(error: BaseException) -> BaseException:
    """Replaces an error of Hydra or OmegaConf with a ValueError that says it in a sentence. Keeps any other error."""
    while isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__  # what the constructor itself raised
    sentence = _sentence(error, str(error)[: errors.LONGEST])  # some patterns are slow on a word without an end
    return ValueError(sentence) if sentence else error


def _sentence(error: BaseException, text: str) -> str | None:
    if isinstance(error, ConfigCompositionException) and not text and error.__cause__ is not None:
        error, text = error.__cause__, str(error.__cause__)[: errors.LONGEST]
    if isinstance(error, MissingConfigException):
        return _unknown_option(error, text)
    if isinstance(error, OverrideParseException) and not set(error.override) & set("=~"):
        return f"{error.override} must be a key and its value, such as latent_dim=5, or an option, such as data=mnist"
    if isinstance(error, OverrideParseException) or type(error).__name__ == "LexerNoViableAltException":  # of antlr4
        return (
            f"the command line cannot be read ({text.splitlines()[0]}); quote a value with spaces, commas, brackets, ~ "
            "or letters beyond ASCII, as in 'data.root=\"~/my images\"'"
        )
    if isinstance(error, SearchPathException):
        folder = re.sub(r"^Additional config directory '(.+)' not found$", r"\1", text)
        return f"--config-dir must name a folder of config files, but {folder} does not exist; name another"
    if isinstance(error, ConfigCompositionException):
        return _not_composed(error, text)
    if isinstance(error, OmegaConfBaseException):
        return _without_value(text)
    if is_missing_variable(error):
        return f"hydra.job.env_copy names {error.args[0]}, which is not in the environment; set it, or leave it out"
    if is_wrong_verbosity(error):
        return "hydra.verbose must be true, false, or names of loggers; use hydra.verbose=true"
    if text.startswith("Config group override must be"):
        return (
            "a group needs an option, but has none; name one, as in model=gaussian, or remove the group, as in "
            f"~logger ({_keys()})"
        )
    return text if type(error) is HydraException else None


def _keys() -> str:
    return f"`{typed_command()} --cfg job` lists the keys"


def _unknown_option(error: MissingConfigException, text: str) -> str | None:
    """A sentence about an option of a group, or a primary config, that does not exist."""
    if error.missing_cfg_file is None:
        folder = re.search(r"config directory '(.+?)'|config module '(.+?)'", text)
        named = f" {folder[1] or folder[2]}" if folder else ""
        return f"--config-path must name a folder of config files, but{named or ' it'} does not exist; name another"
    group, _, option = error.missing_cfg_file.rpartition("/")
    options = list(error.options or ())
    if not options:
        return f"--config-name={option} is in no folder of config files; --config-dir=FOLDER adds yours"
    if group == "hydra/launcher" and option not in options:
        for name, package in LAUNCHERS.items():
            if option.startswith(name):
                return f"{group}={option} needs a package that is not installed; run {install_command(package)}"
    return f"{group}={option} is not known; use one of {', '.join(options)}"


def _not_composed(error: ConfigCompositionException, text: str) -> str | None:
    """A sentence about an override that does not fit the config."""
    cause = error.__cause__
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and text.startswith("Could not override"):
        return _unknown_key(cause, text.split("'")[1])
    if match := re.match(r"Could not override '(.+?)'\.\s+No match in the defaults list", text):
        return f"{match[1]} is not a group; {_keys()}"
    if match := re.match(r"Could not override '(.+?)'|Override (\S+?)=.* looks like a config group", text):
        return f"{match[1] or match[2]} is not a key, so nothing would read it; {_keys()}"
    if match := re.match(r"Multiple values for (\S+)\. To override a value use 'override .+?: (.+)'", text):
        return f"{match[1]} already has an option, so leave out the +; use {match[1]}={match[2]}"
    if match := re.match(r"Could not append to config\. An item is already at '(.+?)'", text):
        return f"{match[1]} is already a key; leave out the +"
    if match := re.match(r"Could not delete (?:from config\. )?'(.+?)'", text):
        return f"{match[1]} cannot be removed, because it is not in the config; {_keys()}"
    if match := re.match(r"Error merging override (.+)", text):
        why = str(cause or "it has another type").splitlines()[0]
        return f"{match[1]} is not possible ({why}); `{typed_command()} --cfg all` shows the default"
    if match := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '(.+?)'", text):
        return f"{match[1]} must have one value for one run, but has several; add -m to train a run for each"
    if match := re.match(r"Sweeping over Hydra's configuration is not supported : '(.+?)'", text):
        key, _, values = match[1].partition("=")
        return f"{key} must have one value, but has several; quote them, as in '{key}=\"{values}\"'"
    if match := re.match(r"hydra\.searchpath must be a list of strings\. Got: (.+)", text):
        return f"hydra.searchpath must be a list of folders, but is {match[1]}; write hydra.searchpath=[file://folder]"
    return _without_value(text)


def _unknown_key(error: OmegaConfBaseException, key: str) -> str:
    """A sentence about a key that is not in the config, with the key that was perhaps meant."""
    missing, full = str(error.key), str(error.full_key)
    nearest = get_close_matches(missing, [str(sibling) for sibling in error.parent_node or {}], n=1)
    if key.startswith("trainer.") and not nearest:
        return f"{key} is not in conf/trainer; if it is a flag of Lightning's Trainer, write +{key}=…"
    if _may_be_added(error.parent_node, missing):
        return f"{key} is not in the config, but may be added; write +{key}=…"
    cure = f"did you mean {full.removesuffix(missing)}{nearest[0]}?" if nearest else _keys()
    return f"{key} is not a key, so nothing would read it; {cure}"


def _may_be_added(node: Any, name: str) -> bool:
    """True if a constructor of vaelab would take a key that its node of the config does not hold."""
    target = str((node or {}).get("_target_", ""))
    return target.startswith("vaelab.") and takes(get_class(target), name)


def _without_value(text: str) -> str | None:
    """A sentence about a value that refers to a missing value or variable."""
    if match := re.search(r"Environment variable '(.+?)' not found", text):
        return f"the config takes a value from {match[1]}, which is not in the environment; set it, or set the value"
    if match := re.search(r"(?:Interpolation key '|Missing mandatory value: )([\w.]+)", text):
        group = match[1].partition(".")[0]
        cure = f"choose an option of {group} that has this key" if group in PARTS else "set it"
        return f"a value refers to {match[1]}, which has no value here; {cure}, or refer to another key"
    return None
