"""The curves, pictures and final numbers of a run for MLflow."""

import logging
import os
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from vaelab.training.missing_package import needed
from vaelab.whole_files import write_whole

DATABASE, ARTIFACTS, RUN = "mlflow.db", "mlflow", "mlflow.run"  # in the run's folder
WAITING = 200  # points that are kept in memory, at most: writing one by one would take as long as many steps
PARAMETERS = 100  # the most that MLflow takes at once
LONGEST = 6000  # the most characters of a parameter that MLflow stores
STATUS = {"success": "FINISHED", "failed": "FAILED"}


class MLFlowLogger(Logger):
    """Writes a run for MLflow, by default to `mlflow.db` in the run's folder: nothing is sent anywhere.

    MLflow's older store of plain files is in maintenance mode, so the local store is a SQLite database. Pictures and
    texts lie in `mlflow/`. A resumed run continues the same MLflow run, and points after its checkpoint are removed
    first.

    >>> trainer = Trainer(logger=MLFlowLogger("runs/wine"))  # doctest: +SKIP

    Args:
        save_dir: the run's folder.
        experiment: the experiment that the run belongs to.
        name: the name of the run; None takes the name of its folder.
        tracking_uri: the address of a server, or of a database that several runs share; None is `mlflow.db` in the
            run's folder.

    Raises:
        ModuleNotFoundError: mlflow is not installed.
    """

    def __init__(
        self,
        save_dir: str | os.PathLike[str],
        experiment: str = "vaelab",
        name: str | None = None,
        tracking_uri: str | None = None,
    ) -> None:
        super().__init__()
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # MLflow would send how it is used
        for package in ("mlflow", "sqlalchemy", "alembic"):
            needed(package, "mlflow")
        for name_of_log in ("mlflow", "alembic"):
            logging.getLogger(name_of_log).setLevel(logging.WARNING)
        self._folder = Path(save_dir)
        self._experiment_name, self._run_name, self._tracking_uri = experiment, name, tracking_uri
        self._client: Any = None
        self._run_id = ""
        self._waiting: list[Any] = []

    @property
    def name(self) -> str:
        """The experiment."""
        return self._experiment_name

    @property
    def version(self) -> str | None:
        """The id of the MLflow run; None before it has begun."""
        return self._run_id or written_id(self._folder)

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self._folder)

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The `MlflowClient`. The MLflow run begins, or continues, when this is first used."""
        if self._client is None:
            from mlflow.tracking import MlflowClient

            local = f"sqlite:///{(self._folder / DATABASE).absolute()}"
            client = MlflowClient(self._tracking_uri or local)
            self._run_id = written_id(self._folder) or self._begin(client)
            client.update_run(self._run_id, status="RUNNING")
            self._client = client
        return self._client

    def _begin(self, client: Any) -> str:
        """Begins a new MLflow run, and returns its id."""
        found = client.get_experiment_by_name(self._experiment_name)
        own = None if self._tracking_uri else (self._folder / ARTIFACTS).absolute().as_uri()
        number = found.experiment_id if found else client.create_experiment(self._experiment_name, own)
        run: str = client.create_run(number, run_name=self._run_name or self._folder.name).info.run_id
        write_whole(self._folder / RUN, run.encode(), self._folder)
        return run

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Writes the config, one parameter per key. MLflow keeps the first value if a resumed run changes a key."""
        from mlflow.entities import Param

        client = self.experiment
        known = client.get_run(self._run_id).data.params
        flat = {_plain(key): str(value)[:LONGEST] for key, value in _flat(params)}
        new = [Param(key, value) for key, value in flat.items() if key not in known]
        for start in range(0, len(new), PARAMETERS):
            client.log_batch(self._run_id, params=new[start : start + PARAMETERS])

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Adds one point of each curve."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._waiting += [Metric(_plain(tag), float(value), now, step or 0) for tag, value in metrics.items()]
        if len(self._waiting) >= WAITING:
            self.save()

    @rank_zero_only
    def log_picture(self, name: str, png: bytes, step: int) -> None:
        """Writes a picture, as the bytes of a PNG file."""
        self._write_artifact(f"views/{name}/{step:09d}.png", png)

    @rank_zero_only
    def log_text(self, name: str, markdown: str) -> None:
        """Writes a text, in Markdown."""
        self._write_artifact(f"about/{name}.md", markdown.encode())

    def _write_artifact(self, path: str, contents: bytes) -> None:
        """Writes a file of the run. A local one is written here, because a database may come from anyone."""
        client = self.experiment
        if self._tracking_uri is None:
            write_whole(self._folder / ARTIFACTS / self._run_id / "artifacts" / path, contents, self._folder)
            return
        with TemporaryDirectory() as folder:
            file = Path(folder, Path(path).name)
            file.write_bytes(contents)
            client.log_artifact(self._run_id, str(file), str(Path(path).parent))

    @rank_zero_only
    def save(self) -> None:
        """Writes the points that are kept in memory."""
        if self._waiting:
            self.experiment.log_batch(self._run_id, metrics=self._waiting)
            self._waiting = []

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Writes the points that are kept in memory."""
        self.save()

    @property
    def written(self) -> int:
        """The number of points in the run's own database, for a checkpoint."""
        return count_points(self._folder) if self._tracking_uri is None and self._client is not None else 0

    @rank_zero_only
    def close(self, status: str) -> None:
        """Ends the MLflow run."""
        if self._client is not None:
            self._client.set_terminated(self._run_id, STATUS.get(status, "KILLED"))


def _flat(node: Mapping[str, Any], key: str = "") -> Iterator[tuple[str, Any]]:
    """{"a": {"b": [1, 2]}} -> ("a.b", [1, 2])."""
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{key}{name}.")
        else:
            yield f"{key}{name}", value


def _plain(key: str) -> str:
    """A key or tag in the characters that MLflow takes."""
    return re.sub(r"[^\w/. -]", "_", key)


def written_id(folder: Path) -> str | None:
    """The id of the MLflow run in a folder; None if there is none."""
    path = folder / RUN
    if path.is_symlink() or not path.is_file():
        return None
    text = path.read_text(errors="replace")[:64]
    return text if re.fullmatch(r"[0-9a-f]{32}", text) else None


def count_points(folder: Path) -> int:
    """The number of points in a run's database."""
    with closing(sqlite3.connect(folder / DATABASE)) as database:
        (count,) = database.execute("SELECT COALESCE(MAX(rowid), 0) FROM metrics").fetchone()
    return int(count)


def cut_points(folder: Path, counts: Mapping[str, int]) -> None:
    """Removes the points after those that a checkpoint recorded; the whole database if it recorded none."""
    path = folder / DATABASE
    if path.is_symlink() or not path.is_file():
        return  # no run creates a link
    if DATABASE not in counts:
        for old in (path, folder / RUN):
            old.unlink(missing_ok=True)
        return
    try:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("DELETE FROM metrics WHERE rowid > ?", (counts[DATABASE],))
    except sqlite3.Error as error:
        raise OSError(f"{path} must be a database of MLflow, but is not ({error}); remove it and {RUN}") from error
