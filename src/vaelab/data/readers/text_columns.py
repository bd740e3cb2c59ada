"""The error about columns of text."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from vaelab.data.bounded_reading import UnreadableFile
from vaelab.data.readers.selection import Key, Selection, assignment
from vaelab.data.wording import listed

SHOWN = 3  # the most values that are shown


def text_refused(path: Path, found: Mapping[str, str], keys: Sequence[Key], selection: Selection) -> UnreadableFile:
    """The error about columns of x that hold text, with the cure.

    Args:
        path: the file.
        found: the title of each such column -> what it holds.
        keys: the same columns as `data.drop` takes them.
        selection: the columns that were selected.
    """
    shown = ", ".join(list(found.values())[:SHOWN]) + (", …" if len(found) > SHOWN else "")
    column, them = ("its column", "it") if len(found) == 1 else ("its columns", "them")
    what = f"{column} {listed(list(found))} ({shown})"
    if selection.trained:
        cure = "write numbers there, as in the file that the model was trained on"
    elif selection.columns is not None:
        cure = f"remove {them} from data.columns"
    else:
        cure = f"leave {them} out with {assignment('data.drop', keys)}"
        if selection.label is None:
            cure += f", colour the pictures with {assignment('data.label', keys[-1:])}"
        cure += ", or use model=columns, which scores categories too"
    return UnreadableFile(f"a model can only be trained on numbers, but {path} holds text in {what}; {cure}")
