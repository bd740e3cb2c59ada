"""Every combination of the values given: hydra/sweeper=grid."""

from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from hydra_plugins.vaelab_sweeps.sweep import Sweep


class GridSweeper(BasicSweeper):
    """Hydra's own sweeper, with cells that last: those that are done are left alone, and the others run or resume.

    Args:
        max_batch_size: cells handed to the launcher at once; None means all.
        params: key -> values, as on the command line, which wins.
    """

    def sweep(self, arguments: list[str]) -> Any:
        """Runs every cell; -> the validation ELBO of each."""
        from vaelab.sweeps.cells import varying

        context: Any = self.hydra_context
        parser = OverridesParser.create(config_loader=context.config_loader)
        given = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        batches = self.split_arguments(parser.parse_overrides(given), self.max_batch_size)
        combinations = [overrides for batch in batches for overrides in batch]
        sweep = Sweep(self.config, context, self.launcher)
        with sweep.running():
            cells = sweep.cells(combinations, varying(combinations), range(len(combinations)))
            returned: list[float] = []
            for batch in batches:
                returned += sweep.launch(cells[len(returned) : len(returned) + len(batch)], batch)
        return returned
