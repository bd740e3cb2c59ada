"""The progress of a run: `state.json` in its folder, which is complete at any moment."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from vaelab import platforms
from vaelab.errors import one_sentence
from vaelab.files import read_json
from vaelab.signals import Stopped
from vaelab.whole_files import write_whole

STATES = ("pending", "running", "done", "failed")


@dataclass(frozen=True)
class State:
    """The content of `state.json`.

    Attributes:
        state: pending (not started, or stopped), running, done or failed.
        reason: why it failed, or what stopped it; empty otherwise.
        overrides: the overrides of the command line.
        config: the hash of its config.
        revision: git's revision of the source; None outside a checkout.
        seconds: the time spent in it, over all starts.
        arguments: the command line that started it.
        cwd: the folder in which the command was typed.
    """

    state: str
    reason: str = ""
    overrides: tuple[str, ...] = ()
    config: str = ""
    revision: str | None = None
    seconds: float = 0.0
    arguments: tuple[str, ...] = ()
    cwd: str = ""


def read_state(folder: Path) -> State | None:
    """The state of the run in a folder; None if there is no valid state.json."""
    try:
        found = read_json(folder / "state.json")
        state = State(**found)
        overrides, arguments = tuple(state.overrides), tuple(state.arguments)
        state = replace(state, overrides=overrides, arguments=arguments, seconds=float(state.seconds))
    except (OSError, ValueError, TypeError, OverflowError):
        return None
    texts = (state.state, state.reason, state.config, state.revision or "", state.cwd, *overrides, *arguments)
    return state if state.state in STATES and all(isinstance(text, str) for text in texts) else None


def write_state(folder: Path, state: State) -> None:
    """Writes `state.json`. At any moment it holds either the old state or the new one.

    If the disk is full, the old file is overwritten in place, because the end of a run must be recorded.

    Raises:
        OSError: there is no old file, or it cannot be written.
    """
    path, contents = folder / "state.json", (json.dumps(asdict(state), indent=2) + "\n").encode()
    try:
        write_whole(path, contents)
    except OSError:
        with open(os.open(path, os.O_WRONLY | platforms.NO_FOLLOW | platforms.BINARY), "wb") as file:
            file.write(contents)
            file.truncate()


@contextmanager
def recorded(folder: Path, state: State, given: Sequence[str] = ()) -> Iterator[None]:
    """Writes the state of a run while it runs and when it ends.

    If a finished run is resumed and fails before anything is added to it, it stays done.

    Args:
        folder: the run's folder.
        state: the state so far. The time from now on is added to its `seconds`.
        given: the overrides. They are named if an error does not say which value is wrong.
    """
    began = time.monotonic()

    def ends(how: str, reason: str = "") -> State:
        return replace(state, state=how, reason=reason, seconds=round(state.seconds + time.monotonic() - began, 2))

    write_state(folder, replace(state, state="running", reason=""))
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, Stopped | KeyboardInterrupt)
        ended = ends("pending", str(error)) if stopped else ends("failed", one_sentence(error, given))
        finished = state.state == "done" and (folder / "metrics.json").is_file()  # and nothing was added
        with suppress(OSError):  # if the disk is full, the error says so itself
            write_state(folder, state if finished else ended)
        raise
    write_state(folder, ends("done"))
