"""Runs with no, one or several loggers: what each holds, and that a resumed run continues it."""

import csv
import json
import logging
import re
import socket
import sqlite3
import struct
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from helpers.remains import points
from helpers.runner import TINY, compose_config, run_train
from vaelab.app.about import command_text, config_text, data_text
from vaelab.app.hparams import hparams_of
from vaelab.app.resume import resume
from vaelab.app.start import train
from vaelab.errors import one_sentence
from vaelab.runs.trust import check_config
from vaelab.training import CSVLogger, VAEModule
from vaelab.training.loggers import close, write_final, write_picture, write_points, write_text

RUN = (
    *("data=sine_surface", "data.train_size=101", "data.val_size=23", "data.test_size=9", "data.batch_size=8"),
    *("network.hidden=[6]", "callbacks.pictures=null", "trainer.log_every_n_steps=4", "trainer.max_epochs=3"),
    *("callbacks.last.seconds=null", "callbacks.last.every_n_steps=5"),
)
STEPS = [13 * epoch + step for epoch in range(3) for step in (3, 7, 11, 12)]  # of the points of training
ENDS = [12, 25, 38]
BLOCK = 2**15


class Death(BaseException):
    """The process died."""


def dies_and_resumes(folder, *overrides, call=31, **changes):
    """Trains, dies at a step between two checkpoints, and resumes."""
    check, calls = VAEModule._check_finite, iter(range(1, 10**9))

    def deadly(*arguments):
        if next(calls) == call:
            raise Death
        return check(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VAEModule, "_check_finite", deadly)
        with pytest.raises(Death):
            train(compose_config(folder, *RUN, *overrides))
    resume({"resume": str(folder), **changes})


def table(folder):
    """Tag -> (step, value), from curves.csv."""
    with (folder / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    tags = [tag for tag in rows[0] if tag != "step"]
    return {tag: [(int(row["step"]), float(row[tag])) for row in rows if row[tag]] for tag in tags}


def test_csv_holds_each_point_once_and_as_tensorboard_does(tmp_path):
    train(compose_config(tmp_path / "whole", *RUN, "logger=many"))
    dies_and_resumes(tmp_path / "parts", "logger=many")
    whole = table(tmp_path / "whole")
    assert [step for step, _ in whole["train/elbo"]] == STEPS
    assert [step for step, _ in whole["val/kl"]] == ENDS
    assert table(tmp_path / "parts") == whole
    shown = points(tmp_path / "parts")
    for tag, curve in whole.items():
        assert [step for step, _ in shown[tag]] == [step for step, _ in curve]
        assert [value for _, value in shown[tag]] == pytest.approx([value for _, value in curve], rel=1e-6)
    assert (tmp_path / "parts" / "hparams.yaml").is_file()


def test_a_resumed_run_that_trains_longer_appends_to_its_csv(tmp_path):
    train(compose_config(tmp_path, *RUN, "logger=csv"))
    first = (tmp_path / "curves.csv").read_text()
    resume({"resume": str(tmp_path), "trainer.max_epochs": "4"})
    assert (tmp_path / "curves.csv").read_text().startswith(first)
    assert [step for step, _ in table(tmp_path)["val/elbo"]] == [*ENDS, 51]


def test_a_new_curve_gets_a_column_and_keeps_the_others(tmp_path):
    logger = CSVLogger(tmp_path)
    logger.log_metrics({"train/elbo": -2.5}, 3)
    logger.save()
    logger.log_metrics({"train/elbo": -2.25, "lr, of Adam": 1e-3}, 7)
    logger.finalize("success")
    assert (tmp_path / "curves.csv").read_text() == 'step,train/elbo,"lr, of Adam"\n3,-2.5,\n7,-2.25,0.001\n'
    assert logger.written == 2
    assert CSVLogger(tmp_path).written == 2


def test_a_run_without_a_logger_leaves_its_numbers_and_pictures(tmp_path, caplog):
    keys = [key for key in RUN if "pictures" not in key]
    with caplog.at_level(logging.WARNING, "vaelab"):
        train(compose_config(tmp_path, *keys, "logger=none", "callbacks.pictures.every_n_epochs=1"))
    assert not [record.getMessage() for record in caplog.records if record.name.startswith("vaelab")]
    assert not list(tmp_path.glob("events*"))
    assert "test/elbo" in json.loads((tmp_path / "metrics.json").read_text())
    assert (tmp_path / "figures" / "latents.png").is_file()
    resume({"resume": str(tmp_path), "trainer.max_epochs": "4"})


def test_nothing_happens_without_loggers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for loggers in ([], ()):
        write_points(loggers, {"train/elbo": 1.0}, 1)
        write_picture(loggers, "latents", b"", 1, 0.0)
        write_text(loggers, "command", "x")
        write_final(loggers, {}, {"test/elbo": 1.0}, 1, None)
        close(loggers, "success")
    assert not list(tmp_path.iterdir())


def test_wandb_holds_the_curves_and_keeps_its_id(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setattr(socket.socket, "connect", no_server(socket.socket.connect))
    dies_and_resumes(tmp_path, "logger=wandb", "callbacks.pictures={_target_: vaelab.training.Pictures}")
    files = sorted(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(files) == 2  # one per start
    assert len({path.stem for path in files}) == 1  # of one run
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]
    history, summary, pictures, config = {}, {}, set(), set()
    for path in files:
        for record in records_of_wandb(path):
            values = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            for key, value in values.items():
                if key.startswith("views/"):
                    pictures.add(key)
                elif not key.startswith("_") and key != "step":
                    history.setdefault(key, {}).setdefault(values["step"], value)
                    assert history[key][values["step"]] == value  # a point that is written again is the same
            for item in record.summary.update:
                summary[item.key or item.nested_key[0]] = json.loads(item.value_json)
            config |= {item.key or item.nested_key[0] for item in record.config.update}
    assert list(history["train/elbo"]) == STEPS
    assert list(history["val/elbo"]) == ENDS
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert {tag: summary[f"when_done/{tag}"] for tag in metrics} == pytest.approx(metrics)
    assert {"views/latents", "views/kl_per_dimension"} <= pictures
    assert {"latent_dim", "objective", "choices"} <= config


def records_of_wandb(path):
    """The records in a .wandb file, once wandb's own process has written the last one."""
    from wandb.proto.wandb_internal_pb2 import Record

    for _ in range(100):
        found = [Record.FromString(data) for data in written_by_wandb(path)]
        if found and found[-1].HasField("exit"):
            return found
        time.sleep(0.1)
    raise AssertionError(f"{path} is not complete")


def written_by_wandb(path):
    """The records in a .wandb file: LevelDB's log format, behind a header of seven bytes."""
    data, at, record = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        _, length, kind = struct.unpack_from("<IHB", data, at)
        if BLOCK - at % BLOCK < 7 or kind == 0:  # the end of a block is filled with zeros
            at += BLOCK - at % BLOCK
            continue
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or its last part
            yield record
            record = b""


def no_server(connect):
    """Fails if something connects to another machine. wandb talks to its own process on this one."""

    def checked(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
            pytest.fail(f"something reached for {address}")
        return connect(self, address)

    return checked


@pytest.mark.drill  # MLflow makes a database for each run, which takes seconds
def test_mlflow_holds_each_point_once_in_one_run(tmp_path):
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    from mlflow.tracking import MlflowClient

    pictures = "callbacks.pictures={_target_: vaelab.training.Pictures}"
    dies_and_resumes(tmp_path, "logger=mlflow", pictures, **{"trainer.max_epochs": "4"})
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (experiment,) = [each for each in client.search_experiments() if each.name == "vaelab"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    curve = sorted((point.step, point.value) for point in client.get_metric_history(run.info.run_id, "train/elbo"))
    assert [step for step, _ in curve] == [*STEPS, 42, 46, 50, 51]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert {tag: run.data.metrics[f"when_done/{tag}"] for tag in metrics} == pytest.approx(metrics)
    assert run.data.params["latent_dim"] == "2"
    assert run.data.params["choices.model"] == "gaussian"
    listed = [each.path for each in client.list_artifacts(run.info.run_id, "views/latents")]
    assert listed == ["views/latents/000000051.png"]
    assert [each.path for each in client.list_artifacts(run.info.run_id, "about")] == [
        f"about/{name}.md" for name in ("command", "config", "data")
    ]


@pytest.mark.drill
def test_every_cell_of_a_sweep_is_one_run_in_each_logger(tmp_path):
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    pytest.importorskip("wandb", reason="wandb is not installed")
    table_of = "{a: {_target_: vaelab.training.CSVLogger, save_dir: '${hydra:runtime.output_dir}'}, \
b: {_target_: vaelab.training.WandbLogger, save_dir: '${hydra:runtime.output_dir}'}, \
c: {_target_: vaelab.training.MLFlowLogger, save_dir: '${hydra:runtime.output_dir}'}}"
    keys = ("trainer.max_epochs=1", "callbacks.pictures=null", "network.hidden=[6]")
    process = run_train(
        tmp_path, "-m", "seed=1,2", *TINY, *keys, "~logger", f"+logger={table_of}", "hydra.sweep.dir=sweep", timeout=300
    )
    assert process.returncode == 0, process.stderr
    for cell in (tmp_path / "sweep" / "seed=1", tmp_path / "sweep" / "seed=2"):
        assert table(cell)["val/elbo"]
        assert len(list(cell.glob("wandb/offline-run-*"))) == 1
        with closing(sqlite3.connect(cell / "mlflow.db")) as database:
            assert database.execute("SELECT COUNT(*), MAX(status) FROM runs").fetchone() == (1, "FINISHED")


@pytest.mark.parametrize(("option", "package"), [("wandb", "wandb"), ("mlflow", "mlflow")])
def test_a_missing_package_is_said_with_the_command_that_installs_it(option, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    expected = f"logger={option} needs the package {package}, .*; run pip install 'vaelab\\[{option}\\]'"
    with pytest.raises(ModuleNotFoundError, match=expected) as raised:
        train(compose_config(tmp_path, *RUN, f"logger={option}"))
    assert one_sentence(raised.value, ["seed=1"]).startswith(f"logger={option} needs")


# Runs from anyone


def logged(folder, target, **keys):
    """The config of a run whose logger has these keys."""
    cfg = compose_config(folder, *RUN, "logger=none")
    from vaelab.app.fit import recipe

    config = recipe(cfg) | {"choices": {}, "folder": str(folder)}
    return config | {"logger": {"_target_": f"vaelab.training.{target}", "save_dir": str(folder), **keys}}


@pytest.mark.parametrize(
    ("target", "keys", "message"),
    [
        ("CSVLogger", {"save_dir": "/tmp/elsewhere"}, "must be a folder inside the run's own"),
        ("WandbLogger", {"save_dir": "/tmp/elsewhere"}, "must be a folder inside the run's own"),
        ("MLFlowLogger", {"save_dir": "/tmp/elsewhere"}, "must be a folder inside the run's own"),
        ("WandbLogger", {"offline": False}, r"must be true unless you allow wandb \(allow=wandb\), but is False"),
        ("MLFlowLogger", {"tracking_uri": "http://192.0.2.1"}, r"must be null unless you allow mlflow"),
        ("WandbLogger", {"settings": {"base_url": "http://192.0.2.1"}}, "is not a key of"),
        ("MLFlowLogger", {"artifact_location": "s3://bucket"}, "is not a key of"),
    ],
)
def test_a_run_from_anyone_logs_in_its_own_folder_and_sends_nothing(target, keys, message, tmp_path):
    config = logged(tmp_path, target, **keys)
    with pytest.raises(ValueError, match=message):
        check_config(config, tmp_path)
    with pytest.raises(ValueError, match=message):
        check_config({**config, "logger": [config["logger"]]}, tmp_path)
    with pytest.raises(ValueError, match=message):
        check_config({**config, "logger": {"mine": config["logger"]}}, tmp_path)


def test_a_logger_that_sends_is_resumed_only_if_you_allow_it(tmp_path):
    check_config(logged(tmp_path, "WandbLogger", offline=False), tmp_path, ("wandb",))
    check_config(logged(tmp_path, "MLFlowLogger", tracking_uri="http://192.0.2.1"), tmp_path, ("mlflow",))
    check_config(logged(tmp_path, "WandbLogger", offline=True, name="β = 2"), tmp_path)
    config = logged(tmp_path, "CSVLogger")
    with pytest.raises(ValueError, match="at most 10 loggers"):
        check_config({**config, "logger": [config["logger"]] * 11}, tmp_path)


def test_settings_of_wandb_in_a_runs_folder_are_refused(tmp_path):
    pytest.importorskip("wandb", reason="wandb is not installed")
    from vaelab.training import WandbLogger

    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "settings").write_text("[default]\nbase_url = http://192.0.2.1\n")
    with pytest.raises(ValueError, match="must not hold settings of wandb, but does; remove the file"):
        WandbLogger(tmp_path)


def test_a_database_that_is_none_is_said(tmp_path):
    from vaelab.training.mlflow_logger import cut_points

    (tmp_path / "mlflow.db").write_bytes(b"not a database" * 99)
    with pytest.raises(OSError, match=r"mlflow\.db must be a database of MLflow, but is not .*; remove it"):
        cut_points(tmp_path, {"mlflow.db": 3})
    cut_points(tmp_path, {})
    assert not list(tmp_path.iterdir())


# What the hyper-parameters and the texts hold


def test_hyper_parameters_are_under_the_keys_that_you_type():
    config = {
        "latent_dim": 3,
        "compile": False,
        "choices": {"model": "laplace", "scheduler": "None"},
        "network": {"hidden": [64], "encoder": {"_target_": "x", "hidden": [64], "depth": 2}},
        "posterior": {"_target_": "y", "event_shape": [3], "min_std": 1e-4},
        "callbacks": {"early_stopping": {"patience": 5}},
    }
    found = hparams_of(config, ["callbacks.early_stopping.patience", "latent_dim"])
    assert found["network.hidden"] == "[64]"
    assert found["network.encoder.depth"] == 2
    assert found["callbacks.early_stopping.patience"] == 5
    assert (found["model"], found["scheduler"], found["compile"]) == ("laplace", "null", "false")
    assert not [key for key in found if "event_shape" in key or "_target_" in key or key == "network.encoder.hidden"]


def test_texts_are_tables_and_blocks_of_code(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "data.path=my data.csv"])
    assert "'data.path=my data.csv'" in command_text(Path("/runs/one"))
    assert data_text({"data": "a | b <c>", "per": "row"}).splitlines()[2:] == [
        r"| data | a \| b &lt;c> |",
        "| per | row |",
    ]
    text = config_text({"latent_dim": 2, "choices": {"model": "gaussian"}, "folder": "/x", "x_names": ("a", "β")})
    assert "| model | gaussian |" in text
    assert re.search(r"^    latent_dim: 2$", text, re.M)
    assert re.search(r"^    - β$", text, re.M)
    assert "/x" not in text
