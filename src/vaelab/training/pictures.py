"""The callback that draws pictures of a model during training, in other processes."""

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from vaelab.checks import check_number, check_whole
from vaelab.evaluation.evaluation_mode import evaluation_mode
from vaelab.figures import DrawingProcess, Picture, spare
from vaelab.training.examples_shown import Examples, gather
from vaelab.training.loggers import write_layout, write_picture
from vaelab.training.non_finite import parameter_not_finite
from vaelab.training.pictures_of import curves_of, is_finite, pictures_of, posterior
from vaelab.training.projector import write_projector
from vaelab.training.tensorboard import add_graph, writers
from vaelab.vae import VAE
from vaelab.whole_files import write_whole

WAITING = 20  # if more pictures are waiting when the next snapshot is due, the snapshot is skipped
PROCESSES = 2  # with two, the end of a run waits half as long

log = logging.getLogger(__name__)


class Pictures(Callback):
    """Shows what a VAE has learned, at an interval and at the end: in the loggers and as PNG files.

    At each interval, it copies some arrays, and training continues while low-priority processes draw the pictures. If
    they fall behind, it skips an interval. At the end, it waits for the remaining pictures. It also writes the graph,
    the embedding projector and the layout of the custom scalars. If any of this fails, the run continues, and one
    warning says why.

    A data module may offer `names` (of the target's dimensions), `labels("val")` -> (name, (n,)) or None, in the order
    of its validation loader, `surface(n)` -> (inputs (n·n, *x), true surface (n, n)) or None, and `condition_names`
    (the classes of a conditional model).

    Args:
        every_n_epochs: epochs between two snapshots, with one more after the first epoch; None means only at the end.
        examples: the number of validation examples to show, from the first on.
        dirpath: the folder for the PNG files; None means `figures` in the logger's folder.
        timeout: the longest wait at the end, in seconds.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        every_n_epochs: int | None = 25,
        examples: int = 1000,
        dirpath: str | Path | None = None,
        timeout: float = 30.0,
    ) -> None:
        if every_n_epochs is not None:
            check_whole("callbacks.pictures.every_n_epochs", every_n_epochs, 1)
        self.every_n_epochs = every_n_epochs
        self.count = check_whole("callbacks.pictures.examples", examples, 1)
        self.dirpath = dirpath
        self.timeout = check_number("callbacks.pictures.timeout", timeout, 0)
        self.processes: list[DrawingProcess] = []
        self.run = self.folder = Path()
        self._reset()

    def _reset(self) -> None:
        self._end_processes()
        self.examples: Examples | None = None
        self.last_step = -1  # the step of the last snapshot
        self.warned: set[str] = set()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds the folder, in every process of the run: Lightning's `log_dir` waits for all of them."""
        self.run = Path(trainer.log_dir or trainer.default_root_dir)
        self.folder = Path(self.dirpath or self.run / "figures")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the drawing processes now, so that their imports are done when the first picture is due."""
        self._reset()
        if trainer.fast_dev_run or not trainer.is_global_zero:  # type: ignore[attr-defined]  # Lightning sets it late
            return
        with self._guarded("pictures are left out"):
            for _ in range(min(PROCESSES, os.cpu_count() or 1)):
                self.processes.append(spare.pop() if spare else DrawingProcess())
        with self._guarded("the custom-scalars layout is left out"):
            write_layout(trainer.loggers)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the pictures that are drawn, and takes a snapshot if one is due."""
        if not self.processes:
            return
        self._take_in(trainer)
        epochs = trainer.current_epoch + 1
        due = self.every_n_epochs and (epochs == 1 or epochs % self.every_n_epochs == 0)
        if due and sum(process.waiting for process in self.processes) <= WAITING:
            self._snapshot(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the last snapshot, and writes the graph and the projector while it is drawn."""
        if not self.processes:
            return
        if self.last_step != trainer.global_step:
            self._snapshot(trainer, pl_module)
        step = max(trainer.global_step - 1, 0)
        self._hand_over("curves", lambda: curves_of(trainer, pl_module), step, time.time())
        for process in self.processes:
            process.hurry()
        if self.examples is not None:
            with _ready(trainer, pl_module) as vae:
                self._write_tabs(trainer, vae, self.examples)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Waits for the last pictures. If a resumed run had ended without them, it draws them now."""
        if self.processes and self.last_step < 0 < trainer.global_step:
            self.on_train_end(trainer, pl_module)
        deadline = time.monotonic() + self.timeout
        for process in self.processes:
            process.finish(max(deadline - time.monotonic(), 0))
        self._take_in(trainer)
        for process in self.processes:
            if process.waiting:
                self._warn(f"{process.waiting} pictures are missing, because {self._why_missing(process)}")
        self._end_processes()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Writes the pictures that are drawn, without waiting for the others."""
        self._take_in(trainer)
        self._end_processes()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ends the drawing processes."""
        self._end_processes()

    def _end_processes(self) -> None:
        for process in self.processes:
            process.kill()
        self.processes = []

    def _why_missing(self, process: DrawingProcess) -> str:
        if process.timed_out:
            return f"drawing them took longer than callbacks.pictures.timeout={self.timeout:g} s; use a larger one"
        return f"a drawing process ended early with exit code {process.process.returncode}; check the free memory"

    def _snapshot(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hands all pictures of the current model to the drawing processes."""
        self.last_step = trainer.global_step
        step, now = max(trainer.global_step - 1, 0), time.time()  # Lightning counts steps from 0 in its curves
        with self._guarded("pictures are left out"), _ready(trainer, pl_module) as vae:
            if self.examples is None:
                self.examples = gather(trainer, self.count)
            q, examples = posterior(vae, self.examples)
            if not is_finite(vae, q, examples):
                if parameter_not_finite(vae) == "":  # a run that diverged says so itself
                    self._warn("pictures are left out, because a mean or standard deviation of the model is not finite")
                return
            for name, view in pictures_of(vae, q, examples).items():
                self._hand_over(name, view, step, now)

    def _hand_over(self, name: str, view: Callable[[], Picture | None], step: int, now: float) -> None:
        """Hands a picture to the drawing process with the least to do."""
        with self._guarded(f"the picture {name} is left out"):
            picture = view()
            if picture is not None and picture.is_finite():
                free = [process for process in self.processes if process.alive] or self.processes
                min(free, key=lambda process: process.waiting).draw((name, step, now), picture)

    def _take_in(self, trainer: Trainer) -> None:
        """Writes the pictures that were drawn since the last call to the folder and to the loggers, oldest first."""
        drawn = [drawn for process in self.processes for drawn in process.collect()]
        for (name, step, walltime), png, error in sorted(drawn, key=lambda drawn: drawn.key[1]):
            if error:
                self._warn(f"the picture {name} is left out, because drawing it failed ({error})")
                continue
            with self._guarded(f"the picture {name} is left out"):
                within = self.run if self.folder.is_relative_to(self.run) else None
                write_whole(self.folder / f"{name}.png", png, within)
                write_picture(trainer.loggers, name, png, step, walltime)

    def _write_tabs(self, trainer: Trainer, vae: VAE, examples: Examples) -> None:
        for writer in writers(trainer.loggers):
            with self._guarded("the graph is left out"):
                one = examples.first(1)
                add_graph(writer, vae, one.x, one.condition)
            with self._guarded("the embedding projector is left out"):
                q, shown = posterior(vae, examples)
                names = getattr(getattr(trainer, "datamodule", None), "label_names", None)
                labels = shown.labels and (shown.labels[0], _as_text(shown.labels[1], names))
                write_projector(Path(writer.log_dir), q.mean, shown.x, labels)

    def _warn(self, sentence: str) -> None:
        """Logs a warning once."""
        if sentence not in self.warned:
            self.warned.add(sentence)
            log.warning(sentence)

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        """Turns a failure inside into a warning, because a picture must not end a run."""
        try:
            yield
        except Exception as error:
            self._warn(f"{what}, because of {type(error).__name__}: {' '.join(str(error).split())}")


def _as_text(labels: Tensor, names: Sequence[str] | None) -> list[str]:
    """Labels (n,) as text: the names of codes, else four digits."""
    return [names[int(label)] if names else f"{label:.4g}" for label in labels.tolist()]


@contextmanager
def _ready(trainer: Trainer, pl_module: LightningModule) -> Iterator[VAE]:
    """Gives the VAE in evaluation mode, under the trainer's precision."""
    vae: Any = pl_module.vae
    with evaluation_mode(vae), trainer.precision_plugin.forward_context():
        yield vae
