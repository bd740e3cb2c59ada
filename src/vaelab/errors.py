"""Any error as one sentence for the person who typed the command."""

import errno
import re
from collections.abc import Sequence
from difflib import get_close_matches

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PLAIN = ("HydraException", "MisconfigurationException")  # Hydra's and Lightning's own words
LIST_KEYS = "`python train.py --cfg job` lists the keys"


def one_sentence(error: BaseException, given: Sequence[str] = ()) -> str:
    """What is wrong, why, and what to do, on one line; Hydra's errors are put into these words too.

    Args:
        error: what was raised.
        given: the overrides of the run, named where the error itself does not say which value is at fault.
    """
    text = str(error)
    if match := re.search(
        r"Could not find '(.+)/(.+)'\s+Available options in '.+':\s+(.+?)\s*Config search", text, re.S
    ):
        group, option, options = match.groups()
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
    if match := re.search(r"Ambiguous value for argument '(.+?)'", text):
        return f"{match[1]} has several values, which is a sweep; add -m to train one run for each"
    if type(error).__name__ in ("OverrideParseException", "LexerNoViableAltException"):
        return (
            f"the command line cannot be read ({text.splitlines()[0]}); put a value with spaces, commas, brackets or ~ "
            "into quotes of its own, as in 'data.root=\"~/my images\"'"
        )
    if text.startswith("Config group override must be"):
        return (
            f"a group was given no option; name one, as in model=gaussian, or leave it out, as in ~logger ({LIST_KEYS})"
        )
    while type(error).__name__ == "InstantiationException" and error.__cause__ is not None:
        error = error.__cause__  # what the constructor itself raised
    text = " ".join(str(error).split())
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


def _nearest_key(error: BaseException | None) -> str:
    """The key most like the one that OmegaConf did not find, written out whole."""
    siblings = getattr(error, "parent_node", None) or {}
    missing, full = str(getattr(error, "key", "")), str(getattr(error, "full_key", ""))
    nearest = get_close_matches(missing, [str(key) for key in siblings], n=1)
    return full.removesuffix(missing) + nearest[0] if nearest else ""
