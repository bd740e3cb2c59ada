"""Makes a loaded run read its data from this machine, and never download them."""

import inspect
import os
import stat
from collections.abc import Mapping
from typing import Any

from vaelab.files import kind_of
from vaelab.runs.admitted import constructor


def local_data(config: Mapping[str, Any], allow: tuple[str, ...] = ()) -> dict[str, Any]:
    """Changes a data config so that it downloads nothing: removes mirrors, and uses the user's cache.

    Raises:
        ValueError: `root` or `path` is a pipe or a device.
    """
    from vaelab.data import DataModule
    from vaelab.data.download import cache

    made = constructor(config["_target_"], allow, DataModule)
    config = dict(config)
    if made.__module__.startswith("vaelab.") and "mirrors" in inspect.signature(made).parameters:
        config.pop("mirrors", None)
        if config.get("root") is None:
            config["root"] = str(cache(made.published))
    for key in ("root", "path"):
        if isinstance(named := config.get(key), str) and os.path.exists(named):
            found = os.stat(named)
            if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
                raise ValueError(f"data.{key}={named} must be a file or a folder, but is {kind_of(found)}")
    return config


def check_at_hand(config: Mapping[str, Any]) -> None:
    """Raises a FileNotFoundError if a config of `local_data` needs the cache of downloads, but that is empty."""
    from vaelab.data.download import PUBLISHED, cache

    for published in PUBLISHED:
        folder = cache(published)
        if config.get("root") == str(folder) and not any(folder.glob("train-images-idx3-ubyte*")):
            name = str(config["_target_"]).rpartition(".")[-1]
            raise FileNotFoundError(
                f"{folder} does not hold {published.name}, and a loaded run downloads nothing; get it with `python -c "
                f'"from vaelab import data; data.{name}().prepare_data()"`, or name a folder that holds it: --data '
                "root=FOLDER, or data.root=FOLDER with resume"
            )
