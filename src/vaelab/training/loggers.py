"""What a run writes, sent to every logger that can hold it. All of it works with no, one or several loggers.

                 TensorBoard  csv  wandb  mlflow  others of Lightning
curve points     yes          yes  yes    yes     yes
pictures         yes               yes    yes
final numbers    yes               yes    yes     yes, as a last point
hyper-parameters yes               yes    yes     yes
texts            yes                      yes
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger

from vaelab.hparams_tab import Value, final_tag
from vaelab.signals import stopping
from vaelab.training import csv_logger, mlflow_logger
from vaelab.training.csv_logger import CSVLogger
from vaelab.training.event_files import cut_event_files, event_file_sizes
from vaelab.training.mlflow_logger import MLFlowLogger
from vaelab.training.tensorboard import add_final, add_layout, add_png, add_text
from vaelab.training.wandb_logger import WandbLogger

Loggers = Iterable[Any]  # of Lightning's `Logger`


@stopping.held()
def write_points(loggers: Sequence[Any], values: Mapping[str, float], step: int) -> None:
    """Writes one point of each curve: tag -> value."""
    for logger in loggers:
        logger.log_metrics(values, step)


@stopping.held()
def write_layout(loggers: Loggers) -> None:
    """Groups the curves into charts: each term's training curve beside its validation curve."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            add_layout(logger.experiment)


@stopping.held()
def write_picture(loggers: Loggers, name: str, png: bytes, step: int, walltime: float) -> None:
    """Writes a picture, as the bytes of a PNG file."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            add_png(logger.experiment, f"views/{name}", png, step, walltime)
        elif isinstance(logger, WandbLogger | MLFlowLogger):
            logger.log_picture(name, png, step)


@stopping.held()
def write_text(loggers: Loggers, name: str, markdown: str) -> None:
    """Writes a text, in Markdown."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            add_text(logger.experiment, f"about/{name}", markdown)
        elif isinstance(logger, MLFlowLogger):
            logger.log_text(name, markdown)


@stopping.held()
def write_final(
    loggers: Loggers,
    hparams: Mapping[str, Value],
    metrics: Mapping[str, float],
    step: int,
    first: Iterable[str] | None,
) -> None:
    """Writes the final numbers of a run, beside the hyper-parameters that led to them.

    Args:
        loggers: the run's loggers.
        hparams: key -> value. Loggers other than TensorBoard got the whole config when training began.
        metrics: tag -> final number, such as `test/elbo`. Loggers show it as `when_done/test/elbo`, because the last
            point of the curve `val/elbo` is not the number of the best weights.
        step: the last step.
        first: as for `vaelab.training.tensorboard.add_final`.
    """
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            add_final(logger.experiment, hparams, metrics, step, first)
        elif isinstance(logger, WandbLogger):
            logger.log_final({final_tag(tag): value for tag, value in metrics.items()})
        elif not isinstance(logger, CSVLogger):  # metrics.json lies beside the .csv file
            logger.log_metrics({final_tag(tag): value for tag, value in metrics.items()}, step)


@contextmanager
def without_points(loggers: Sequence[Any]) -> Iterator[None]:
    """Hides from the loggers what Lightning logs inside the block.

    The app writes the numbers of the test itself (`write_final`). Lightning would add a curve of the epoch, and
    TensorBoard would show both before the curves of training.
    """
    for logger in loggers:
        logger.log_metrics = lambda *args, **kwargs: None
    try:
        yield
    finally:
        for logger in loggers:
            del logger.log_metrics


@stopping.held()
def flush(loggers: Loggers) -> None:
    """Writes every point so far to the disk."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.flush()
        elif isinstance(logger, CSVLogger | MLFlowLogger):
            logger.save()


def sizes(loggers: Loggers, folder: Path) -> dict[str, int]:
    """Bytes of the event files, rows of curves.csv and points in MLflow's database so far, for a checkpoint."""
    found = event_file_sizes(folder)
    for logger in loggers:
        if isinstance(logger, CSVLogger):
            found[csv_logger.FILE] = logger.written
        elif isinstance(logger, MLFlowLogger):
            found[mlflow_logger.DATABASE] = logger.written
    return found


def cut_back(folder: Path, recorded: dict[str, int]) -> None:
    """Removes what a run wrote after a checkpoint, so that the curves hold each step once when it resumes.

    Args:
        folder: the run's folder. The run must not be running.
        recorded: what `sizes` returned when the checkpoint was written; empty if the run starts over.
    """
    cut_event_files(folder, recorded)
    csv_logger.cut_rows(folder, recorded)
    mlflow_logger.cut_points(folder, recorded)


@stopping.held()
def close(loggers: Loggers, status: str) -> None:
    """Writes everything to the disk and ends the loggers' threads and processes.

    Args:
        loggers: the loggers of a run.
        status: `success` or `failed`.
    """
    for logger in loggers:
        logger.finalize(status)
        if isinstance(logger, WandbLogger | MLFlowLogger):
            logger.close(status)
