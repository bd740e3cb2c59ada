"""Connects Hydra and vaelab.sweeps: combinations of overrides become cells in a folder."""

import logging
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from vaelab.app.config_identity import identity, without_hydra
from vaelab.app.hydra_sweeps.cell import NO_CONFIG_FILES

BY_WHAT_VARIES = "auto"  # hydra.sweep.subdir
log = logging.getLogger("vaelab")


def set_up(context: HydraContext, task_function: TaskFunction, config: DictConfig) -> "Sweep":
    """Makes the sweep of a command from the arguments that Hydra passes to a sweeper."""
    launcher = Plugins.instance().instantiate_launcher(
        hydra_context=context, task_function=task_function, config=config
    )
    return Sweep(config, context, launcher)


class Sweep:
    """A sweep's folder and its cells, between a sweeper and a launcher of Hydra.

    Args:
        config: the config of the command, with Hydra's settings under `hydra`.
        context: Hydra's context, which composes the configs of cells.
        launcher: Hydra's launcher, which runs the cells that are not done.
    """

    def __init__(self, config: Any, context: Any, launcher: Any) -> None:
        from vaelab.runs.environment import git_revision
        from vaelab.runs.folder import check_length

        self.config, self.context, self.launcher = config, context, launcher
        if config.hydra.launcher._target_.endswith(".JoblibLauncher"):
            from vaelab.app.hydra_sweeps.parallel import Parallel

            self.launcher = Parallel(launcher)
        self.folder = Path(os.path.abspath(config.hydra.sweep.dir))
        check_length(self.folder, "hydra.sweep.dir")
        if any((self.folder / mark).exists() for mark in ("state.json", "metrics.json")):
            raise ValueError(
                f"hydra.sweep.dir must be the folder of a sweep, but {config.hydra.sweep.dir} holds a single run; use "
                "another"
            )
        self.revision = git_revision()
        self.launched = 0
        self.numbers: dict[Path, int] = {}  # folder of a cell -> its number in this command
        self.first: dict[str, list[str]] = {}  # hash of a config -> the first overrides that gave it

    @contextmanager
    def running(self) -> Iterator[None]:
        """Locks the folder, and handles Ctrl-C and SIGTERM. The cells check if a signal has come."""
        from vaelab.platforms import STOP_SIGNALS
        from vaelab.runs.folder import locked
        from vaelab.sweeps.cells import STOP

        def stop(number: int, frame: FrameType | None) -> None:
            if (self.folder / STOP).exists():  # the second signal ends the sweep at once
                raise KeyboardInterrupt
            (self.folder / STOP).write_text(str(number))

        with locked(self.folder, "hydra.sweep.dir"):
            (self.folder / STOP).unlink(missing_ok=True)
            OmegaConf.save(self.config, self.folder / "multirun.yaml")
            before = {number: signal.signal(number, stop) for number in STOP_SIGNALS}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    @property
    def stopped(self) -> bool:
        """True if a signal has come."""
        from vaelab.sweeps.cells import STOP

        return (self.folder / STOP).exists()

    def compose(self, overrides: Sequence[str], number: int = 0) -> DictConfig:
        """Composes the config of a combination, for the job with this number."""
        cfg: DictConfig = self.context.config_loader.load_sweep_config(self.config, list(overrides))
        with read_write(cfg), open_dict(cfg):
            cfg.hydra.job.num, cfg.hydra.job.id = number, str(number)
        return cfg

    def identity(self, overrides: Sequence[str]) -> str:
        """Hash of the settings and data that affect the results of a combination."""
        whole = self.compose(overrides)
        return identity(without_hydra(whole), whole)

    def cells(self, batch: Sequence[Sequence[str]], keys: Sequence[str], numbers: Sequence[int]) -> list[Any]:
        """The cells of some combinations. New cells are written to the folder as pending.

        The names of cells show the values of `keys`, or follow hydra.sweep.subdir. A config that already has a cell
        keeps it.

        Args:
            batch: the combinations, each a list of overrides.
            keys: the keys that vary.
            numbers: the numbers of the combinations.
        """
        from vaelab.sweeps.cell_names import alike, merged, shared_folders
        from vaelab.sweeps.cells import cells_in, claim

        found, known = [], cells_in(self.folder)
        shared = shared_folders(batch, keys)
        several = alike(batch, keys, shared)
        for number, overrides in zip(numbers, batch, strict=True):
            whole = self.compose(overrides, number)
            task: Any = OmegaConf.to_container(whole.hydra.overrides.task)
            config = identity(without_hydra(whole), whole)
            if self.first.setdefault(config, task) != task:
                log.warning(merged(task, self.first[config]))
            name = known.get(config) or self._name(whole, task, keys, shared, several)
            cell = claim(self.folder, name, task, config, self.revision)
            known.setdefault(config, name)
            self.numbers.setdefault(cell.folder, number)
            found.append(cell)
        return found

    def _name(
        self, whole: DictConfig, task: Sequence[str], keys: Sequence[str], shared: Mapping[str, str], several: set[str]
    ) -> str:
        """The name of a new cell's folder. `several` holds names that more than one combination would get."""
        from vaelab.sweeps.cell_names import cell_name, free_name

        if not OmegaConf.is_interpolation(whole.hydra.sweep, "subdir") and whole.hydra.sweep.subdir == BY_WHAT_VARIES:
            return free_name(self.folder, cell_name(task, keys, shared), task, keys, several)
        return self._name_by_pattern(whole)

    def _name_by_pattern(self, whole: DictConfig) -> str:
        """The folder that hydra.sweep.subdir names. Numbers in it continue after the ones in use."""
        from vaelab.runs.folder import check_length
        from vaelab.sweeps.cells import is_taken

        before = None
        while True:
            HydraConfig.instance().set_config(whole)
            name = os.path.normpath(str(whole.hydra.sweep.subdir))
            if os.path.isabs(name) or name.split(os.sep)[0] in (os.curdir, os.pardir):
                raise ValueError(
                    f"hydra.sweep.subdir must name a folder inside hydra.sweep.dir, but is {name}; use a relative path"
                )
            check_length(self.folder / name, "hydra.sweep.subdir")
            if not is_taken(self.folder / name):
                return name
            if name == before:
                raise ValueError(
                    f"hydra.sweep.subdir must name a folder for each cell, but {name} belongs to another one; use "
                    "${hydra.job.num} in it, or leave hydra.sweep.subdir out"
                )
            before = name
            with read_write(whole.hydra):
                whole.hydra.job.num += 1
                whole.hydra.job.id = str(whole.hydra.job.num)

    def launch(self, cells: Sequence[Any], batch: Sequence[Sequence[str]]) -> list[float]:
        """Lets the launcher run the cells that are not done. Returns the score of each, NaN if it failed."""
        from vaelab.app.errors import one_sentence
        from vaelab.sweeps.cells import score

        left: dict[Path, Sequence[str]] = {}
        for cell, overrides in zip(cells, batch, strict=True):
            if not cell.done:
                left.setdefault(cell.folder, overrides)  # several combinations may be the same cell
        todo = [[*overrides, *self._settings(folder)] for folder, overrides in left.items()]
        if todo and not self.stopped:
            try:
                self.launcher.launch(todo, initial_job_idx=self.launched)
            except Exception as error:  # a launcher lost a job; the summary counts the cells that are not done
                log.error("error: %s", one_sentence(error))
            self.launched += len(todo)
        return [score(cell) for cell in cells]

    def _settings(self, folder: Path) -> list[str]:
        """The overrides that a launcher gets for a cell, besides the cell's own."""
        from vaelab.sweeps.cells import quoted

        number = self.numbers[folder]
        return [
            f"hydra.sweep.dir={quoted(self.folder)}",
            f"hydra.sweep.subdir={quoted(folder.relative_to(self.folder))}",
            f"hydra.job.num={number}",
            f"hydra.job.id={quoted(number)}",
            NO_CONFIG_FILES,
        ]
