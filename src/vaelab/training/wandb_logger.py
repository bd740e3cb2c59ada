"""The curves, pictures and final numbers of a run for Weights & Biases."""

import io
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from vaelab.training.missing_package import needed

STEP = "step"  # the horizontal axis of every curve
ID = r"(?:offline-)?run-\d+_\d+-([\w-]{1,64})"  # the folder of a wandb run


class WandbLogger(Logger):
    """Writes a run for Weights & Biases, by default offline: nothing is sent before you type `wandb sync`.

    The files lie in `wandb/` in the run's folder. A resumed run keeps its id, so wandb shows one run. If the run was
    killed, the points since its last checkpoint are written twice, with equal values.

    >>> trainer = Trainer(logger=WandbLogger("runs/wine", project="wine"))  # doctest: +SKIP

    Args:
        save_dir: the run's folder.
        project: the project that the run belongs to.
        name: the name of the run; None takes the name of its folder.
        entity: the user or team that owns the project; None leaves that to your account.
        offline: False sends everything while the run trains.

    Raises:
        ModuleNotFoundError: wandb is not installed.
        ValueError: the folder holds settings of wandb, which vaelab never writes.
    """

    def __init__(
        self,
        save_dir: str | os.PathLike[str],
        project: str = "vaelab",
        name: str | None = None,
        entity: str | None = None,
        offline: bool = True,
    ) -> None:
        super().__init__()
        needed("wandb", "wandb")
        self._folder = Path(save_dir)
        self._project, self._run_name, self._entity, self._offline = project, name, entity, offline
        self._run: Any = None
        if (self._folder / "wandb" / "settings").exists():  # they could name a server
            raise ValueError(f"{self._folder / 'wandb'} must not hold settings of wandb, but does; remove the file")

    @property
    def name(self) -> str:
        """The project."""
        return self._project

    @property
    def version(self) -> str | None:
        """The id of the run; None before it has begun."""
        return written_id(self._folder)

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self._folder)

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The `wandb.Run`. It begins when this is first used."""
        if self._run is None:
            if self._offline:
                os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # wandb would send its own errors
            wandb = needed("wandb", "wandb")
            self._run = wandb.init(
                dir=str(self._folder),
                project=self._project,
                name=self._run_name or self._folder.name,
                entity=self._entity,
                id=written_id(self._folder) or secrets.token_hex(4),
                resume="allow",
                mode="offline" if self._offline else "online",
                reinit="create_new",  # a process may train several runs of a sweep
                # A run's folder must hold no links, and wandb must not replace the standard streams.
                settings=wandb.Settings(symlink=False, console="off", silent=self._offline),
            )
            self._remove_links()
            self._run.define_metric(STEP, hidden=True)
            self._run.define_metric("*", step_metric=STEP)
        return self._run

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Writes the config."""
        self.experiment.config.update(dict(params), allow_val_change=True)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Writes one point of each curve."""
        self.experiment.log({**metrics, STEP: step or 0})

    @rank_zero_only
    def log_picture(self, name: str, png: bytes, step: int) -> None:
        """Writes a picture, as the bytes of a PNG file."""
        wandb = needed("wandb", "wandb")
        self.experiment.log({f"views/{name}": wandb.Image(Image.open(io.BytesIO(png))), STEP: step})

    @rank_zero_only
    def log_final(self, metrics: Mapping[str, float]) -> None:
        """Writes the final numbers to the run's summary."""
        self.experiment.summary.update(dict(metrics))

    @rank_zero_only
    def close(self, status: str) -> None:
        """Ends the wandb run, which is complete on the disk afterwards."""
        if self._run is not None:
            self._run.finish(exit_code=0 if status == "success" else 1)
            self._remove_links()
            self._run = None

    def _remove_links(self) -> None:
        """Removes the link to wandb's own log, which it makes whatever `symlink` says."""
        for path in Path(self._run.dir).parent.glob("logs/*"):
            if path.is_symlink():
                path.unlink()


def written_id(folder: Path) -> str | None:
    """The id of the wandb run in a folder; None if there is none."""
    found = (re.fullmatch(ID, path.name) for path in sorted((folder / "wandb").glob("*run-*")))
    return next((match[1] for match in found if match), None)
