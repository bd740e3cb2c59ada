"""The sweepers of vaelab, kept thin: Hydra finds plug-ins only here, and every Hydra application imports them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from vaelab.app.hydra_sweeps.grid import Grid
    from vaelab.app.hydra_sweeps.search import OptunaSearch


class GridSweeper(Sweeper):
    """Every combination of the values given: hydra/sweeper=grid.

    Args:
        max_batch_size: cells handed to the launcher at once; None means all.
        params: key -> values, as on the command line, which wins.
    """

    def __init__(self, max_batch_size: int | None, params: Mapping[str, Any] | None) -> None:
        self.max_batch_size, self.params = max_batch_size, params
        self.grid: Grid

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Takes what Hydra gives every sweeper."""
        from vaelab.app.hydra_sweeps.grid import Grid
        from vaelab.app.hydra_sweeps.sweep import set_up

        self.grid = Grid(set_up(hydra_context, task_function, config), self.max_batch_size, self.params)

    def sweep(self, arguments: list[str]) -> list[float]:
        """Runs every cell; returns the score of each."""
        return self.grid.run(arguments)


class OptunaSweeper(Sweeper):
    """Asks Optuna for the next cells: hydra/sweeper=optuna.

    Args:
        options: those of `vaelab.app.hydra_sweeps.search.OptunaSearch`.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.search: OptunaSearch

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Takes what Hydra gives every sweeper."""
        from vaelab.app.hydra_sweeps.search import OptunaSearch
        from vaelab.app.hydra_sweeps.sweep import set_up

        self.search = OptunaSearch(set_up(hydra_context, task_function, config), **self.options)

    def sweep(self, arguments: list[str]) -> None:
        """Runs `n_trials` cells, or the rest of them."""
        self.search.run(arguments)
