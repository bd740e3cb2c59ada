"""Names the folders of cells after the values that vary."""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from vaelab.runs.run_state import read_state
from vaelab.sweeps.cells import key_and_value

LONGEST = 180  # the most bytes in the name of a folder


def unquoted(value: str) -> str:
    """`'my data/a.npy'` -> `my data/a.npy`."""
    if len(value) < 2 or value[0] not in "'\"" or value[-1] != value[0]:
        return value
    return value[1:-1].replace(f"\\{value[0]}", value[0])


def varying(cells: Iterable[Sequence[str]]) -> list[str]:
    """The keys that have different values in different cells, in the order of the command line."""
    tables = [dict(map(key_and_value, overrides)) for overrides in cells]
    keys = dict.fromkeys(key for table in tables for key in table)
    return [key for key in keys if len({table.get(key) for table in tables}) > 1]


def shared_folders(cells: Iterable[Sequence[str]], keys: Sequence[str]) -> dict[str, str]:
    """Key -> the folder that all its paths share, such as `/home/me/data/`."""
    shared = {}
    for key in keys:
        values = {unquoted(value) for cell in cells for name, value in map(key_and_value, cell) if name == key}
        if values and all("/" in value for value in values):
            with suppress(ValueError):  # some paths are absolute, others are not
                shared[key] = os.path.commonpath([os.path.dirname(value) for value in values]) + "/"
    return shared


def naming(overrides: Sequence[str], keys: Sequence[str]) -> list[str]:
    """The overrides that name a cell: the ones with these keys, or all overrides if none has such a key."""
    return [override for override in overrides if key_and_value(override)[0] in keys] or list(overrides)


def cell_name(overrides: Sequence[str], keys: Sequence[str], shared: Mapping[str, str] | None = None) -> str:
    """The name of a cell's folder: `model=gaussian,latent_dim=2`.

    Args:
        overrides: the overrides of the cell.
        keys: the keys that name it.
        shared: key -> the beginning of its value, which the name leaves out.
    """
    chosen = []
    for override in naming(overrides, keys):
        key, value = key_and_value(override)
        left_out = (shared or {}).get(key, "")
        chosen.append(override[: len(override) - len(value)] + unquoted(value).removeprefix(left_out))
    name = re.sub(r"[/\\\s:$]+", "_", ",".join(chosen)) or "defaults"
    return name if len(name.encode()) <= LONGEST else with_digest(name, name)


def with_digest(name: str, text: str) -> str:
    """Adds a digest of a text to a name, so that it differs from other names with the same beginning."""
    shortened = name.encode()[:LONGEST].decode(errors="ignore")
    return f"{shortened}…{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def alike(batch: Iterable[Sequence[str]], keys: Sequence[str], shared: Mapping[str, str]) -> set[str]:
    """The names that several combinations would share: a/b.npy and a_b.npy would both be a_b.npy."""
    named: dict[str, set[str]] = {}
    for overrides in batch:
        named.setdefault(cell_name(overrides, keys, shared), set()).add(",".join(naming(overrides, keys)))
    return {name for name, values in named.items() if len(values) > 1}


def free_name(folder: Path, name: str, overrides: Sequence[str], keys: Sequence[str], taken: Iterable[str] = ()) -> str:
    """`name`, with a digest if it already belongs to other values, in this folder or in `taken`."""
    state, own = read_state(folder / name), naming(overrides, keys)
    if name not in taken and (state is None or naming(state.overrides, keys) == own):
        return name
    return with_digest(name, ",".join(own))


def merged(overrides: Sequence[str], first: Sequence[str]) -> str:
    """A sentence that says which earlier cell a combination repeats, and why."""
    own, other = ([each for each in one if each not in two] for one, two in ((overrides, first), (first, overrides)))
    of_data = all(key_and_value(each)[0].startswith("data") for each in (*own, *other))
    same = "data" if of_data else "settings"
    return f"{' '.join(own)} is the same cell as {' '.join(other)}, because the {same} are the same"
