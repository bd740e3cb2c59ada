"""Every combination of the values given: hydra/sweeper=grid."""

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override

from hydra_plugins.vaelab_sweeps.sweep import Sweep


class GridSweeper(BasicSweeper):
    """Hydra's own sweeper, with cells that last: those that are done are left alone, and the others run or resume.

    Args:
        max_batch_size: cells handed to the launcher at once; None means all.
        params: key -> values, as on the command line, which wins.
    """

    def sweep(self, arguments: list[str]) -> Any:
        """Runs every cell; -> the validation ELBO of each."""
        from vaelab.sweeps.cell_names import varying

        context: Any = self.hydra_context
        parser = OverridesParser.create(config_loader=context.config_loader)
        given = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        overrides = parser.parse_overrides(given)
        check_values(overrides, context.config_loader)
        batches = self.split_arguments(overrides, self.max_batch_size)
        combinations = [combination for batch in batches for combination in batch]
        sweep = Sweep(self.config, context, self.launcher)
        with sweep.running():
            cells = sweep.cells(combinations, varying(combinations), range(len(combinations)))
            returned: list[float] = []
            for batch in batches:
                returned += sweep.launch(cells[len(returned) : len(returned) + len(batch)], batch)
        return returned


def check_values(overrides: Sequence[Override], loader: Any) -> None:
    """Raises a ValueError if a key has no value, so that there would be no cell."""
    for override in overrides:
        if not override.is_sweep_override() or next(override.sweep_string_iterator(), None) is not None:
            continue
        key, _, value = (override.input_line or "").partition("=")
        if not isinstance(override.value(), Glob):
            raise ValueError(f"{key}={value} gives no value, so there is nothing to run; give at least one")
        if options := loader.get_group_options(key.lstrip("+~")):
            raise ValueError(f"{value} matches no option of {key}; use one of {', '.join(options)}")
        raise ValueError(
            f"{value} matches no option; glob looks for options of a group, not for files; list the files, as in "
            f"{key}=a.npy,b.npy"
        )
