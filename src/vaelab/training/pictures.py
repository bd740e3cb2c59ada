"""Pictures of a model in training, drawn by other processes."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from vaelab.checks import check_number, check_whole
from vaelab.evaluation import views
from vaelab.figures import DrawingProcess, Picture, spare
from vaelab.training.tensorboard import add_graph, add_layout, add_png, add_projector, writers
from vaelab.vae import VAE
from vaelab.whole_files import write_whole

IMAGES, POINTS = 10, 300  # reconstructions
SAMPLES = 64  # prior samples, of images
SURFACE = 50  # points along x, and along y
WAITING = 20  # pictures that may still be to draw when the next snapshot is due
PROCESSES = 2  # so that the end of a run waits half as long

log = logging.getLogger(__name__)


class Examples(NamedTuple):
    """What the pictures show, on the device of the model.

    Attributes:
        x: (n, *x), the first validation examples.
        target: (n, *t).
        names: of the target's dimensions, or None.
        labels: what the labels are called and the labels, (n,); or None.
        surface: inputs on a grid (m·m, *x) and the true surface over them (m, m); or None.
    """

    x: Tensor
    target: Tensor
    names: tuple[str, ...] | None
    labels: tuple[str, Tensor] | None
    surface: tuple[Tensor, Tensor] | None


class Pictures(Callback):
    """Shows what a VAE has learned, at an interval and at the end: in TensorBoard and as PNG files.

    At the interval it copies some arrays and trains on: processes that take idle time alone draw them. Where they lag
    behind, that interval is left out. At the end it waits for what is not drawn yet. The graph, the embedding projector
    and the layout of the custom scalars are written too. Where any of this fails the run goes on, and one warning says
    why.

    A data module may offer `names` (of the target's dimensions), `labels("val")` -> (name, (n,)) or None, in the order
    of its validation loader, and `surface(n)` -> (inputs (n·n, *x), true surface (n, n)) or None.

    Args:
        every_n_epochs: epochs between two snapshots; None means at the end alone.
        examples: how many validation examples, the first, are shown.
        dirpath: folder for the PNG files; None means `figures` in the logger's folder.
        timeout: seconds to wait at the end, at most.

    Raises:
        ValueError: a number makes no sense.
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
        self._reset()

    def _reset(self) -> None:
        self._end_processes()
        self.examples: Examples | None = None
        self.last_step = -1  # of the last snapshot
        self.warned: set[str] = set()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the drawing processes, whose imports are then over when they are needed."""
        self._reset()
        if trainer.fast_dev_run or not trainer.is_global_zero:  # type: ignore[attr-defined]  # Lightning sets it late
            return
        with self._guarded("pictures are left out"):
            for _ in range(min(PROCESSES, os.cpu_count() or 1)):
                self.processes.append(spare.pop() if spare else DrawingProcess())
        with self._guarded("the custom-scalars layout is left out"):
            for writer in writers(trainer):
                add_layout(writer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes in what is drawn, and takes a snapshot where one is due."""
        if not self.processes:
            return
        self._take_in(trainer)
        due = self.every_n_epochs and (trainer.current_epoch + 1) % self.every_n_epochs == 0
        if due and sum(process.waiting for process in self.processes) <= WAITING:
            self._snapshot(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the last snapshot; while it is drawn, writes the graph and the projector."""
        if not self.processes:
            return
        if self.last_step != trainer.global_step:
            self._snapshot(trainer, pl_module)
        for process in self.processes:
            process.hurry()
        if self.examples is not None:
            with _ready(trainer, pl_module) as vae:
                self._write_tabs(trainer, vae, self.examples)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Waits for the last pictures; where a run goes on that had ended without them, they are drawn now."""
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
        """Keeps what is drawn, and waits for nothing."""
        self._take_in(trainer)
        self._end_processes()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leaves no process behind."""
        self._end_processes()

    def _end_processes(self) -> None:
        for process in self.processes:
            process.kill()
        self.processes = []

    def _why_missing(self, process: DrawingProcess) -> str:
        if process.timed_out:
            return f"drawing them took longer than callbacks.pictures.timeout={self.timeout:g} s; use a larger one"
        return f"a drawing process ended early with exit code {process.process.returncode}; see the memory left"

    def _snapshot(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hands all pictures of the model as it is to the drawing processes."""
        self.last_step = trainer.global_step
        step, now = max(trainer.global_step - 1, 0), time.time()  # Lightning counts steps from 0 in its curves
        with self._guarded("pictures are left out"), _ready(trainer, pl_module) as vae:
            if self.examples is None:
                self.examples = gather(trainer, self.count)
            if not _is_finite(vae, self.examples.x):
                return  # it diverged, and the final numbers say so
            for name, view in views_of(vae, self.examples).items():
                with self._guarded(f"the picture {name} is left out"):
                    picture = view()
                    if picture.is_finite():
                        free = [process for process in self.processes if process.alive] or self.processes
                        min(free, key=lambda process: process.waiting).draw((name, step, now), picture)

    def _take_in(self, trainer: Trainer) -> None:
        """Writes what is drawn since the last call to the folder and to TensorBoard, oldest first."""
        drawn = [drawn for process in self.processes for drawn in process.collect()]
        for (name, step, walltime), png, error in sorted(drawn, key=lambda drawn: drawn.key[1]):
            if error:
                self._warn(f"the picture {name} is left out, because drawing it failed ({error})")
                continue
            with self._guarded(f"the picture {name} is left out"):
                folder, run = self._folder(trainer), Path(trainer.log_dir or trainer.default_root_dir)
                write_whole(folder / f"{name}.png", png, run if folder.is_relative_to(run) else None)
                for writer in writers(trainer):
                    add_png(writer, f"pictures/{name}", png, step, walltime)

    def _folder(self, trainer: Trainer) -> Path:
        return Path(self.dirpath or Path(trainer.log_dir or trainer.default_root_dir) / "figures")

    def _write_tabs(self, trainer: Trainer, vae: VAE, examples: Examples) -> None:
        labels = None if examples.labels is None else [f"{label:.4g}" for label in examples.labels[1].tolist()]
        for writer in writers(trainer):
            with self._guarded("the graph is left out"):
                add_graph(writer, vae, examples.x[:1])
            with self._guarded("the embedding projector is left out"):
                add_projector(writer, vae, examples.x, labels, max(trainer.global_step - 1, 0))

    def _warn(self, sentence: str) -> None:
        """Says it once."""
        if sentence not in self.warned:
            self.warned.add(sentence)
            log.warning(sentence)

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        """A failure inside is a warning: a picture is not worth a run."""
        try:
            yield
        except Exception as error:
            self._warn(f"{what}, because of {type(error).__name__}: {' '.join(str(error).split())}")


def views_of(vae: VAE, examples: Examples) -> dict[str, Callable[[], Picture]]:
    """The pictures that fit a model and its data: name -> what makes it."""
    x, target, names, labels, surface = examples
    images = views.is_image(target.shape[1:])
    shown = IMAGES if images else POINTS
    found: dict[str, Callable[[], Picture]] = {}  # those that take long to draw first
    if surface is not None:
        found["surface"] = lambda: views.surface(vae, *surface)
    if vae.prior().event_shape == (2,):
        found["manifold"] = lambda: views.manifold(vae, names=names)
    else:
        dimensions = views.informative_dimensions(vae, x, views.TRAVERSED if images else 6)
        found["traversals"] = lambda: views.traversals(vae, names=names, dimensions=dimensions)
    found["kl_per_dimension"] = lambda: views.kl_per_dimension_bars(vae, x)
    found["latents"] = lambda: views.latents(vae, x, labels)
    if images:
        found["prior_samples"] = lambda: views.prior_samples(vae, SAMPLES)
    else:
        found["prior_samples"] = lambda: views.prior_samples(vae, len(target), "sample", target, names)
    found["reconstructions"] = lambda: views.reconstructions(vae, x[:shown], target[:shown], names)
    return found


def gather(trainer: Trainer, count: int) -> Examples:
    """The first `count` examples of the validation split, and what the data module says about them.

    Raises:
        ValueError: there is no validation split.
    """
    data: Any = getattr(trainer, "datamodule", None)
    loader = data.val_dataloader() if data is not None else trainer.val_dataloaders
    batches, held = [], 0
    with torch.random.fork_rng([]):  # an iterator may draw a seed for its workers
        for x, target in _first(loader):
            batches.append((x, target))
            held += len(x)
            if held >= count:
                break
    if not batches:
        raise ValueError("there are no validation examples to show; give the data a validation split")
    x, target = (torch.cat(parts)[:count] for parts in zip(*batches, strict=True))
    labels = data.labels("val") if hasattr(data, "labels") else None
    surface = data.surface(SURFACE) if callable(getattr(data, "surface", None)) else None
    return Examples(
        x=_to_device(trainer, x),
        target=_to_device(trainer, target),
        names=getattr(data, "names", None),
        labels=None if labels is None else (labels[0], labels[1][: len(x)]),
        surface=None if surface is None else (_to_device(trainer, surface[0]), surface[1]),
    )


@torch.no_grad()
def _is_finite(vae: VAE, x: Tensor) -> bool:
    """Whether q(z|x) and the p(t|z) at its mean are made of finite numbers."""
    q = vae.encode(x)
    p = vae.decode(q.mean)
    return all(bool(numbers.isfinite().all()) for numbers in (q.mean, q.stddev, p.mean, p.stddev))


def _first(loaders: Any) -> Iterable[Any]:
    """One loader, of what may be several or none."""
    if isinstance(loaders, dict):
        loaders = list(loaders.values())
    return (loaders[0] if loaders else []) if isinstance(loaders, list | tuple) else loaders or []


def _to_device(trainer: Trainer, tensor: Tensor) -> Tensor:
    """The tensor where, and of the precision in which, the model computes."""
    moved: Tensor = trainer.precision_plugin.convert_input(trainer.strategy.batch_to_device(tensor))
    return moved


@contextmanager
def _ready(trainer: Trainer, pl_module: LightningModule) -> Iterator[VAE]:
    """The VAE in evaluation mode, under the trainer's precision; afterwards in the modes in which it was."""
    vae: Any = pl_module.vae
    modes = [(module, module.training) for module in vae.modules()]
    vae.eval()
    try:
        with trainer.precision_plugin.forward_context():
            yield vae
    finally:
        for module, training in modes:
            module.training = training
