"""Turns any error into one sentence for the person who typed the command."""

import errno
import re
from collections.abc import Sequence

from vaelab.escapes import for_terminal

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PLAIN = ("MisconfigurationException",)  # Lightning's own words
LONGEST = 3_000  # the most characters in a sentence, which may contain text from a file


def one_sentence(error: BaseException, given: Sequence[str] = ()) -> str:
    """Says what is wrong, why, and what to do, on one line.

    Control characters, which may come from a run's files, are escaped.

    Args:
        error: the error.
        given: the overrides of the run. They are named if the error itself does not say which value is wrong.
    """
    sentence = for_terminal(" ".join(_sentence(error, given).split()))
    return sentence if len(sentence) <= LONGEST else f"{sentence[: LONGEST - 1]}…"


def _sentence(error: BaseException, given: Sequence[str]) -> str:
    text = " ".join(str(error)[:LONGEST].split())  # the patterns below are slow on a word without an end
    if isinstance(error, OSError) and error.errno in FULL:
        return f"there is no room left on the disk{f' for {error.filename}' if error.filename else ''}; make room first"
    if match := re.search(r"Function '(\w+)' returned nan values in its (\d+)th output", text):
        return (
            f"the gradient of {match[1]} is nan (its output {match[2]}), because its input overflowed or vanished; try "
            "a lower optimizer.lr or trainer.gradient_clip_val=1"
        )
    if match := re.search(r"you tried to allocate (\d+) bytes", text):
        return (
            f"this needs {int(match[1]) / 2**30:,.0f} GB of memory at once, which is more than is free; use a smaller "
            "data.batch_size or smaller parts of the model"
        )
    if match := re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(.+?)'", text):
        return f"{match[2]} is not a key of {match[1]}, so nothing would read it; leave it out"
    if text and (isinstance(error, ValueError | OSError) or type(error).__name__ in PLAIN):
        return text
    if isinstance(error, ImportError) and "pip install" in text:  # it already says what to do
        return text
    values = f"check {', '.join(given)}, or " if given else ""
    return f"{type(error).__name__}{text and f' ({text})'}; {values}set HYDRA_FULL_ERROR=1 to see where"
