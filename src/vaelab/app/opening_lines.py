"""The two lines at the start of a run: what was read, and what the model will score."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from vaelab.decimals import kind_of_score
from vaelab.escapes import for_terminal

log = logging.getLogger(__name__)


def say_what_is_trained(vae: nn.Module, data: Any) -> None:
    """Logs what was read or drawn, and what the model will score."""
    if data.read_report and not data.logs_read_report:
        log.info(data.read_report)
    if columns := getattr(data, "columns_report", ""):
        log.info(columns)
    log.info(for_terminal(what_the_model_scores(vae, data)))


def say_which_score(objective: Any, score: str) -> None:
    """Logs that score=val/loss suits a run better, if training minimises something else than −bound."""
    if not getattr(objective, "loss_is_bound", True) and score != "val/loss":
        log.info(
            "the weights are chosen by %s, but training minimises more than minus the bound; use score=val/loss to "
            "choose them by what is trained",
            score,
        )


def what_the_model_scores(vae: Any, data: Any) -> str:
    """The kind of number, the likelihood, and the floor of σ in the units of the data, in one line."""
    described, family = data.describe(), vae.decoder.family
    kind = kind_of_score(described["measure"])
    given = f" given its {described['condition']}" if described.get("condition") else ""
    example = described["per"].replace("of 1 numbers", "of 1 number")
    line = f"the model scores the {kind} of each {example}{given} in nats, with {type(family).__name__}"
    floor = getattr(family, "min_std", None)
    kinds = getattr(family, "kinds", None)
    if not floor or (kinds and "real" not in kinds):
        return line
    return f"{line}, {_floor(floor, vae.decoder.output_units, data.names, kinds)}"


def _floor(floor: float, units: Any, names: Any, kinds: Sequence[str] | None) -> str:
    """The floor in the data's units. Of columns with kinds, only real ones have a floor."""
    if units is None:
        return f"σ ≥ {floor:g}"
    real = [index for index, kind in enumerate(kinds or ()) if kind == "real"] or slice(None)
    scale, names = units.scale.flatten()[real], names and np.array(names)[real].tolist()
    least, most = int(scale.argmin()), int(scale.argmax())
    low, high = f"{floor * scale[least].item():.3g}", f"{floor * scale[most].item():.3g}"
    if low == high:
        return f"σ ≥ {low} in the data's units"
    named = [names[index] if names else f"number {index + 1}" for index in (least, most)]
    return f"σ ≥ {low} for {named[0]} to {high} for {named[1]}, in the data's units"
