"""Runs every combination of the given values: hydra/sweeper=grid."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override

from vaelab.app.hydra_sweeps.sweep import Sweep
from vaelab.checks import check_whole
from vaelab.sweeps.cell_names import varying


class Grid:
    """Runs or resumes the cells of a grid that are not done.

    Args:
        sweep: the sweep's folder and its cells.
        max_batch_size: how many cells the launcher gets at once; None means all.
        params: key -> values, as on the command line, which takes precedence.
    """

    def __init__(self, sweep: Sweep, max_batch_size: int | None, params: Mapping[str, Any] | None) -> None:
        if max_batch_size is not None:
            check_whole("hydra.sweeper.max_batch_size", max_batch_size, 1)
        self.sweep, self.max_batch_size, self.params = sweep, max_batch_size, params or {}

    def run(self, arguments: Sequence[str]) -> list[float]:
        """Runs every cell. Returns the score of each, NaN if it failed."""
        loader = self.sweep.context.config_loader
        given = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        overrides = OverridesParser.create(config_loader=loader).parse_overrides(given)
        check_values(overrides, loader)
        every = combinations(overrides)
        size = self.max_batch_size or len(every)
        with self.sweep.running():
            cells = self.sweep.cells(every, varying(every), range(len(every)))
            returned: list[float] = []
            for first in range(0, len(every), size):
                returned += self.sweep.launch(cells[first : first + size], every[first : first + size])
        return returned


def combinations(overrides: Sequence[Override]) -> list[list[str]]:
    """Every combination of the values of some overrides. If a key is given twice, the last one counts.

    Raises:
        ValueError: a key has an interval, which a grid cannot cover.
    """
    values: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            values[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            values[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            raise ValueError(
                f"a grid must list its values, but has {override.input_line}; use a list such as {key}=1,2,5, or "
                "hydra/sweeper=optuna, which draws from an interval"
            )
    return [list(combination) for combination in product(*values.values())]


def check_values(overrides: Sequence[Override], loader: Any) -> None:
    """Raises a ValueError if a key has no value, because there would be no cell."""
    for override in overrides:
        if not override.is_discrete_sweep() or next(override.sweep_string_iterator(), None) is not None:
            continue
        key, _, value = (override.input_line or "").partition("=")
        if not isinstance(override.value(), Glob):
            raise ValueError(f"{key} must have at least one value, but {key}={value} has none; add one")
        if options := loader.get_group_options(key.lstrip("+~")):
            raise ValueError(f"{value} matches no option of {key}; use one of {', '.join(options)}")
        raise ValueError(
            f"{value} matches no option; glob looks for options of a group, not for files; list the files, as in "
            f"{key}=a.npy,b.npy"
        )
