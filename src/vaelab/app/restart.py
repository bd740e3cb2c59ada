"""Finds the command that restarts a run that ended before training began."""

import re
import shlex
from pathlib import Path

from vaelab.escapes import for_terminal
from vaelab.runs.folder import in_use
from vaelab.runs.run_state import read_state

PARTS = "model|posterior|prior|network|objective|optimizer|scheduler"  # parts of a config whose keys name no files
HARMLESS = (  # arguments that name no class, no file to write and no other config
    rf"({PARTS}|data|experiment|trainer|callbacks|logger)=\w[\w-]*"
    rf"|(latent_dim|seed|threads|compile|matmul_precision|({PARTS})\.[a-z]\w*)=[\w.,'\[\] +-]+"
    r"|(score|condition)=[\w/]+"
    r"|data\.(?!root|mirrors)[a-z]\w*=[\w.,'\[\] +/-]+"
    r"|(trainer|callbacks)(?!.*(dir|name|path))(\.[a-z]\w*)+=(true|false|null|[\d.e+-]+)"
)


def without_checkpoint(folder: Path) -> str:
    """Says why a folder without checkpoints cannot be resumed, and how to start its run again.

    The folder may come from anyone, so its command is shown only if it is harmless.

    Args:
        folder: a folder in which a run may have begun.
    """
    state = read_state(folder)
    if state is None or not state.cwd:
        return f"{folder} holds no checkpoint, so there is nothing to resume; name a run's folder"
    if in_use(folder):
        return f"{folder} is in use by another process, which has not begun to train; wait for it"
    if (folder / "metrics.json").exists():
        return f"{folder} is a finished run that kept no checkpoint, so it cannot be resumed; train a new run"
    arguments = [each for each in state.arguments if not each.startswith("hydra.run.dir=")]
    begun = f"{folder} holds no checkpoint, because its run ended before training began; start it again"
    if not all(re.fullmatch(HARMLESS, each) for each in arguments):
        return f"{begun}; {folder / 'state.json'} holds the command that began it, so read it before you type it"
    command = f"vaelab train {shlex.join([*arguments, f'hydra.run.dir={folder}'])}"
    where = "" if Path(state.cwd) == Path.cwd() else f"cd {shlex.quote(state.cwd)} && "
    return f"{begun} with {for_terminal(where + command)}"
