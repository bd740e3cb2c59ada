"""vaelab's sweepers: thin, because Hydra finds plug-ins only here, and every Hydra application imports them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from vaelab.app.hydra_sweeps.grid import Grid
    from vaelab.app.hydra_sweeps.search import OptunaSearch


class GridSweeper(Sweeper):
    """Runs every combination of the given values: hydra/sweeper=grid.

    Args:
        max_batch_size: how many cells the launcher gets at once; None means all.
        params: key -> values, as on the command line, which takes precedence.
    """

    def __init__(self, max_batch_size: int | None, params: Mapping[str, Any] | None) -> None:
        self.max_batch_size, self.params = max_batch_size, params
        self.grid: Grid

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Makes the grid from the arguments that Hydra passes to every sweeper."""
        from vaelab.app.hydra_sweeps.grid import Grid
        from vaelab.app.hydra_sweeps.sweep import set_up

        self.grid = Grid(set_up(hydra_context, task_function, config), self.max_batch_size, self.params)

    def sweep(self, arguments: list[str]) -> list[float]:
        """Runs every cell. Returns the score of each."""
        return self.grid.run(arguments)


class OptunaSweeper(Sweeper):
    """Lets Optuna choose the cells: hydra/sweeper=optuna.

    Args:
        options: the options of `vaelab.app.hydra_sweeps.search.OptunaSearch`.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.search: OptunaSearch

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Makes the search from the arguments that Hydra passes to every sweeper."""
        from vaelab.app.hydra_sweeps.search import OptunaSearch
        from vaelab.app.hydra_sweeps.sweep import set_up

        self.search = OptunaSearch(set_up(hydra_context, task_function, config), **self.options)

    def sweep(self, arguments: list[str]) -> None:
        """Runs cells until there are `n_trials`."""
        self.search.run(arguments)
