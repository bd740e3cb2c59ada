"""What every kind of sweep does with its combinations."""

import logging
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

log = logging.getLogger("vaelab")


class Sweep:
    """A sweep's folder and its cells, between a sweeper and a launcher of Hydra.

    Args:
        config: of the multirun.
        context: Hydra's.
        launcher: Hydra's; it is given the cells that are not done.
    """

    def __init__(self, config: Any, context: Any, launcher: Any) -> None:
        from vaelab.runs.environment import git_revision

        self.config, self.context, self.launcher = config, context, launcher
        if not config.hydra.sweep.dir:
            raise ValueError("hydra.sweep.dir is empty, so the sweep has no folder; name one, or leave it out")
        self.folder = Path(config.hydra.sweep.dir).absolute()
        if any((self.folder / mark).exists() for mark in ("state.json", "metrics.json")):
            raise ValueError(f"{config.hydra.sweep.dir} holds a single run; use another hydra.sweep.dir")
        self.revision = git_revision()
        self.launched = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Holds the folder, and takes Ctrl-C and SIGTERM: the cells look whether one has come."""
        from vaelab.runs.folder import locked
        from vaelab.sweeps.cells import STOP

        def stop(number: int, frame: FrameType | None) -> None:
            if (self.folder / STOP).exists():  # again: at once
                raise KeyboardInterrupt
            (self.folder / STOP).write_text(str(number))

        with locked(self.folder, "hydra.sweep.dir"):
            (self.folder / STOP).unlink(missing_ok=True)
            OmegaConf.save(self.config, self.folder / "multirun.yaml")
            before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    @property
    def stopped(self) -> bool:
        """Whether a signal has come."""
        from vaelab.sweeps.cells import STOP

        return (self.folder / STOP).exists()

    def compose(self, overrides: Sequence[str], number: int = 0) -> DictConfig:
        """The config of a combination, as the job of that number."""
        cfg: DictConfig = self.context.config_loader.load_sweep_config(self.config, list(overrides))
        with read_write(cfg), open_dict(cfg):
            cfg.hydra.job.num, cfg.hydra.job.id = number, str(number)
        return cfg

    def cells(self, batch: Sequence[Sequence[str]], keys: Sequence[str], numbers: Sequence[int]) -> list[Any]:
        """Combinations and their numbers -> their cells; those that are new lie there as pending afterwards.

        A cell is named by `keys`; one whose config has a cell already is that one, whatever its name.
        """
        from vaelab.sweeps.cells import cell_name, cells_in, claim, config_hash

        found, known = [], cells_in(self.folder)
        for number, overrides in zip(numbers, batch, strict=True):
            cfg = self.compose(overrides, number)
            own = any(each.startswith("hydra.sweep.subdir=") for each in self.config.hydra.overrides.hydra)
            task: Any = OmegaConf.to_container(cfg.hydra.overrides.task)
            name = str(cfg.hydra.sweep.subdir) if own else cell_name(task, keys)
            with open_dict(cfg):
                del cfg.hydra
            plain: Any = OmegaConf.to_container(cfg)
            config = config_hash(plain)
            if config in known and not own:
                name = known[config].name
            cell = claim(self.folder, name, task, config, self.revision)
            known.setdefault(config, cell.folder)
            found.append(cell)
        return found

    def launch(self, cells: Sequence[Any], batch: Sequence[Sequence[str]]) -> list[float]:
        """Has the launcher run what is not done, each cell once; -> each one's validation ELBO, NaN where it failed."""
        from vaelab.errors import one_sentence
        from vaelab.sweeps.cells import quoted, score

        left = {cell.folder: overrides for cell, overrides in zip(cells, batch, strict=True) if not cell.done}
        todo = [
            [*overrides, f"hydra.sweep.subdir={quoted(folder.relative_to(self.folder))}", "hydra.output_subdir=null"]
            for folder, overrides in left.items()
        ]
        if todo and not self.stopped:
            try:
                self.launcher.launch(todo, initial_job_idx=self.launched)
            except Exception as error:  # a launcher lost a job; the summary counts what is not done
                log.error("error: %s", one_sentence(error))
            self.launched += len(todo)
        return [score(cell) for cell in cells]
