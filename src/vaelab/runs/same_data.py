"""Checks that a resumed run has the data that it was trained on."""

from collections.abc import Mapping
from typing import Any


def check_same_data(content: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Raises a ValueError if the data differ from those that a checkpoint was trained on.

    Args:
        content: the content of the checkpoint.
        config: the config of the resumed run, with facts about its data now.
    """
    from vaelab.data.wording import listed

    trained = content["hyper_parameters"]
    if trained.get("fingerprint") != config["fingerprint"]:
        raise ValueError(
            "the data must be those that the run was trained on, but they have changed; put the old ones back, set "
            "data.root or data.path to their place, or train a new run"
        )
    before, now = trained.get("x_names"), config["x_names"]
    if before is not None and before != now:
        raise ValueError(
            f"the columns of the data must be those that the run was trained on ({listed(before)}), but are "
            f"{listed(now) if now else 'without names'}; put the old names back, or train a new run"
        )
