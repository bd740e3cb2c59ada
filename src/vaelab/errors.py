"""Any error as one sentence for the person who typed the command."""

import errno
import re
import traceback
from collections.abc import Sequence
from difflib import get_close_matches

from vaelab.escapes import for_terminal

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PLAIN = ("HydraException", "MisconfigurationException")  # Hydra's and Lightning's own words
LIST_KEYS = "`python train.py --cfg job` lists the keys"
EXTRA = "pip install -c constraints.txt -e '.[sweep]'"  # what launchers and searches need


LONGEST = 3_000  # characters of a sentence: a file's own text may be part of it


def one_sentence(error: BaseException, given: Sequence[str] = ()) -> str:
    """What is wrong, why, and what to do, on one line; Hydra's errors are put into these words too.

    Control characters, which may come from a run's files, are written out.

    Args:
        error: what was raised.
        given: the overrides of the run, named where the error itself does not say which value is at fault.
    """
    sentence = for_terminal(" ".join(_sentence(error, given).split()))
    return sentence if len(sentence) <= LONGEST else f"{sentence[: LONGEST - 1]}…"


def _sentence(error: BaseException, given: Sequence[str]) -> str:
    text = str(error)[:LONGEST]  # the patterns below take long on a word without an end
    if match := re.search(
        r"Could not find '(.+)/(.+)'\s+Available options in '.+':\s+(.+?)\s*Config search", text, re.S
    ):
        group, option, options = match.groups()
        if group == "hydra/launcher" and option.startswith(("joblib", "submitit_")) and option not in options.split():
            return f"hydra/launcher={option} needs a package that is not installed; run {EXTRA}"
        return f"{group}={option} is not known; use one of {', '.join(options.split())}"
    if match := re.match(r"Could not override '(.+)'\.\s+No match in the defaults list", text):
        return f"{match[1]} is not a group; {LIST_KEYS}"
    if match := re.match(r"Could not override '(.+?)'", text):
        nearest = _nearest_key(error.__cause__)
        if match[1].startswith("trainer.") and not nearest:
            return f"{match[1]} is not in conf/trainer; if it is a flag of Lightning's Trainer, write +{match[1]}=…"
        return (
            f"{match[1]} is not a key, so nothing would read it; {f'did you mean {nearest}?' if nearest else LIST_KEYS}"
        )
    if sentence := _of_hydra(error, text):
        return sentence
    if match := re.search(r"Ambiguous value for argument '(.+?)'", text):
        return f"{match[1]} has several values, which is a sweep; add -m to train one run for each"
    if type(error).__name__ in ("OverrideParseException", "LexerNoViableAltException"):
        return (
            f"the command line cannot be read ({text.splitlines()[0]}); put a value with spaces, commas, brackets, ~ "
            "or letters beyond ASCII into quotes of its own, as in 'data.root=\"~/my images\"'"
        )
    if text.startswith("Config group override must be"):
        return (
            f"a group was given no option; name one, as in model=gaussian, or leave it out, as in ~logger ({LIST_KEYS})"
        )
    while type(error).__name__ == "InstantiationException" and error.__cause__ is not None:
        error = error.__cause__  # what the constructor itself raised
    text = " ".join(str(error)[:LONGEST].split())
    if isinstance(error, OSError) and error.errno in FULL:
        return f"there is no room left on the disk{f' for {error.filename}' if error.filename else ''}; make room first"
    if match := re.search(r"Function '(\w+)' returned nan values in its (\d+)th output", text):
        return (
            f"the gradient of {match[1]} is nan (its output {match[2]}), because its input overflowed or vanished; try "
            "a lower optimizer.lr or trainer.gradient_clip_val=1"
        )
    if match := re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(.+?)'", text):
        return f"{match[2]} is not a key of {match[1]}, so nothing would read it; leave it out"
    if text and (isinstance(error, ValueError | OSError) or type(error).__name__ in PLAIN):
        return text
    values = f"check {', '.join(given)}, or " if given else ""
    return f"{type(error).__name__}{text and f' ({text})'}; {values}set HYDRA_FULL_ERROR=1 to see where"


def _of_hydra(error: BaseException, text: str) -> str | None:
    """What is wrong with a setting or a flag of Hydra's; None if that is not the error."""
    if match := re.match(r"Multiple values for (\S+)\. To override a value use 'override .+?: (.+)'", text):
        return f"{match[1]} already has an option, so leave out the +; use {match[1]}={match[2]}"
    if match := re.match(r"Could not append to config\. An item is already at '(.+?)'", text):
        return f"{match[1]} is already a key; leave out the +"
    if match := re.match(r"Could not delete (?:from config\. )?'(.+?)'", text):
        return f"{match[1]} cannot be removed, because it is not in the config; {LIST_KEYS}"
    if match := re.match(r"Error merging override (.+)", text):
        why = str(error.__cause__ or "it has another type").splitlines()[0]
        return f"{match[1]} is not possible ({why}); `python train.py --cfg all` shows what it is otherwise"
    if match := re.search(r"Environment variable '(.+?)' not found", text):
        return f"the config takes a value from {match[1]}, which is not in the environment; set it, or give the value"
    if match := re.search(r"(?:Interpolation key '|Missing mandatory value: )([\w.]+)", text):
        return f"a value refers to {match[1]}, which has no value here; give it one, or refer to another key"
    if isinstance(error, KeyError) and error.args and _is_in(error, "_load_configuration_impl"):
        return f"hydra.job.env_copy names {error.args[0]}, which is not in the environment; set it, or leave it out"
    if isinstance(error, AssertionError) and _is_in(error, "configure_log"):
        return "hydra.verbose must be true, false, or names of loggers; use hydra.verbose=true"
    if match := re.match(r"hydra\.searchpath must be a list of strings\. Got: (.+)", text):
        return f"hydra.searchpath must be a list of folders, but is {match[1]}; write hydra.searchpath=[file://folder]"
    if match := re.match(r"Additional config directory '(.+)' not found", text):
        return f"--config-dir must name a folder of config files, but {match[1]} does not exist; name another"
    if match := re.match(r"Cannot find primary config '(.+?)'", text):
        return f"--config-name={match[1]} is in no folder of config files; --config-dir=FOLDER adds yours"
    return None


def _is_in(error: BaseException, function: str) -> bool:
    """Whether a function of that name raised an error, or called what did."""
    return function in [frame.name for frame in traceback.extract_tb(error.__traceback__)[-2:]]


def _nearest_key(error: BaseException | None) -> str:
    """The key most like the one that OmegaConf did not find, written out whole."""
    siblings = getattr(error, "parent_node", None) or {}
    missing, full = str(getattr(error, "key", "")), str(getattr(error, "full_key", ""))
    nearest = get_close_matches(missing, [str(key) for key in siblings], n=1)
    return full.removesuffix(missing) + nearest[0] if nearest else ""
