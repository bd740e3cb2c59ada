"""The end of a run: once it is trained, no failure in showing or writing results makes it fail."""

import builtins
import json
import math
import re
import signal
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from helpers.runner import SHORT, TINY, compose_config
from vaelab import load_run
from vaelab.app.start import train
from vaelab.checkpoint import read_checkpoint
from vaelab.data import Sine
from vaelab.runs.final_numbers import format_metrics, format_summary
from vaelab.runs.run_state import read_state
from vaelab.signals import Stopped, stopping
from vaelab.sweeps.rows import read_row
from vaelab.training import LastCheckpoint
from vaelab.training.final_scores import _best_was_early
from vaelab.training.loggers import write_points

TERMS = ("elbo", "kl")
HERE = Path(__file__).stem


class LogsAnything(Callback):
    """Logs tags of every shape: for one split, without a slash, with several, long, many, whole and not finite."""

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.log("val/mse", torch.tensor(0.5))
        pl_module.log("val/by/class/3", 2)
        pl_module.log("accuracy", 0.25)
        pl_module.log("val/never", math.nan)
        pl_module.log_dict({f"val/dimension_{index}": float(index) for index in range(60)})

    def on_test_epoch_end(self, trainer, pl_module):
        pl_module.log("test/" + "a_long_name_" * 9, torch.tensor(7))
        pl_module.log("coverage", math.inf)


class FailsAtTheTest(Callback):
    """Raises when the test split is scored."""

    def on_test_start(self, trainer, pl_module):
        raise RuntimeError("no room for the test split")


class FailsAtTheEnd(Callback):
    """Raises, or ends the process, when training is over, or earlier."""

    def __init__(self, hook, kind="RuntimeError"):
        setattr(self, hook, self.fail)
        self.error = getattr(builtins, kind)("my own mistake")

    def fail(self, trainer, *_, stage="fit"):
        if stage == "fit":
            raise self.error


class WithoutTest(Sine):
    """A user's data without a test split."""

    def setup(self, stage=None):
        super().setup(stage)
        vars(self).pop("test", None)


class WithoutVal(Sine):
    """A user's data without a validation split."""

    def setup(self, stage=None):
        super().setup(stage)
        vars(self).pop("val", None)


def strict_json(path):
    """The content as strict JSON, which has no NaN and no Infinity."""

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def ended(folder, *keys, capsys):
    """-> the final numbers of a run that must be done, and what it printed."""
    train(compose_config(folder, *SHORT, *TINY, *keys))
    assert read_state(folder).state == "done"
    return strict_json(folder / "metrics.json"), capsys.readouterr().out


def test_a_callback_may_log_whatever_it_likes(tmp_path, capsys):
    metrics, printed = ended(tmp_path, f"+callbacks.mine._target_={HERE}.LogsAnything", capsys=capsys)
    assert metrics["val/mse"] == 0.5
    assert metrics["val/by/class/3"] == 2
    assert metrics["val/dimension_59"] == 59
    assert metrics["val/never"] is None
    assert metrics["coverage"] is None
    row = read_row(tmp_path)
    assert (row.state, row.metrics["val/mse"]) == ("done", 0.5)
    assert math.isnan(row.metrics["val/never"])
    assert math.isnan(load_run(tmp_path).metrics["coverage"])
    assert re.search(rf"^elbo +{metrics['val/elbo']:.3f} +{metrics['test/elbo']:.3f}$", printed, re.M)
    assert re.search(r"^val/mse +0\.5$", printed, re.M)
    assert re.search(r"^val/never +nan$", printed, re.M)
    assert "more" in printed
    assert len(printed.splitlines()) < 45


@pytest.mark.parametrize(
    ("keys", "said", "splits"),
    [
        ("trainer.max_epochs=0", "nothing was trained: trainer.max_epochs=0", ()),
        ("trainer.max_steps=0", "nothing was trained: trainer.max_steps=0", ()),
        ("trainer.limit_train_batches=0", "nothing was trained: trainer.limit_train_batches=0", ()),
        ("trainer.limit_train_batches=0.0", "nothing was trained: trainer.limit_train_batches=0", ()),
        (
            "trainer.max_time=00:00:00:00",
            "nothing was trained: trainer.max_time or a callback ended the run",
            (),
        ),
        ("trainer.limit_val_batches=0", "not validated: trainer.limit_val_batches=0", ("test",)),
        ("trainer.check_val_every_n_epoch=5", "not validated: the run ended after 4 step", ("test",)),
        (f"data._target_={HERE}.WithoutVal", "not validated: the data have no validation split", ("test",)),
        ("trainer.limit_test_batches=0", "not tested: trainer.limit_test_batches=0", ("val",)),
        (f"data._target_={HERE}.WithoutTest", "not tested: the data have no test split", ("val",)),
        (f"+callbacks.mine._target_={HERE}.FailsAtTheTest", "not tested: .*no room for the test split", ("val",)),
        ("trainer.fast_dev_run=2", "nothing was saved: trainer.fast_dev_run", ("val", "test")),
        ("~callbacks.best", "these numbers belong to the last weights", ("val", "test")),
        ("~callbacks.best ~callbacks.last", "no checkpoint was kept", ("val", "test")),
        ("~logger", "run     ", ("val", "test")),
    ],
)
def test_a_run_explains_which_numbers_are_missing(keys, said, splits, tmp_path, capsys, caplog):
    metrics, printed = ended(tmp_path, *keys.split(), capsys=capsys)
    assert re.search(said, printed + caplog.text)
    assert tuple(dict.fromkeys(tag.split("/")[0] for tag in metrics)) == splits
    assert ("nats per example" in printed) == bool(splits)
    assert ("tensorboard --logdir" in printed) == ("logger" not in keys and "fast_dev_run" not in keys)
    assert {path.name for path in tmp_path.rglob("*.ckpt")} <= {"best.ckpt", "last.ckpt", "previous.ckpt"}
    if "nothing was trained" in said or "_val_" in keys:
        assert not (tmp_path / "checkpoints" / "best.ckpt").exists()


@pytest.mark.parametrize("kind", ["RuntimeError", "SystemExit"])
@pytest.mark.parametrize("hook", ["on_train_end", "on_fit_end", "teardown"])
def test_a_callback_that_fails_after_the_last_step_costs_nothing(hook, kind, tmp_path, capsys, caplog):
    mine = f"+callbacks.mine={{_target_:{HERE}.FailsAtTheEnd,hook:{hook},kind:{kind}}}"
    metrics, printed = ended(tmp_path, mine, "callbacks.last.seconds=null", capsys=capsys)
    assert "a callback failed after the last step" in caplog.text
    assert "my own mistake" in caplog.text
    last = read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    assert last["global_step"] == 4
    assert last["position"]
    assert math.isfinite(metrics["test/elbo"])
    assert "nats per example" in printed


@pytest.mark.parametrize(
    ("hook", "kind"),
    [
        ("on_train_epoch_end", "RuntimeError"),
        ("on_train_batch_end", "SystemExit"),
        ("on_train_end", "KeyboardInterrupt"),
    ],
)
def test_a_callback_that_fails_before_the_end_or_is_interrupted_ends_the_run(hook, kind, tmp_path):
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises((RuntimeError, SystemExit)):
            train(
                compose_config(
                    tmp_path,
                    *SHORT,
                    *TINY,
                    f"+callbacks.mine={{_target_:{HERE}.FailsAtTheEnd,hook:{hook},kind:{kind}}}",
                )
            )
    finally:
        signal.signal(signal.SIGINT, handler)  # which Lightning leaves ignored
    assert read_state(tmp_path).state == "failed"
    assert not (tmp_path / "metrics.json").exists()


def fails_after_a_signal():
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        raise AttributeError("the clean-up failed")


def test_a_signal_that_a_library_turns_into_its_own_error_still_stops_the_run():
    with pytest.raises(Stopped, match="stopped by SIGINT"), stopping.listening():
        fails_after_a_signal()
    with pytest.raises(AttributeError, match="without a signal"), stopping.listening():
        raise AttributeError("without a signal")


class Interrupts(TensorBoardLogger):
    """Gets a signal while it writes, and notes what it has written."""

    def __init__(self, folder, signals):
        super().__init__(folder)
        self.signals, self.noted = signals, []

    def log_metrics(self, metrics, step=None):
        for _ in range(self.signals):
            signal.raise_signal(signal.SIGINT)
        self.noted.append(step)


@pytest.mark.parametrize("signals", [1, 2])
def test_a_signal_waits_until_a_point_is_written(signals, tmp_path):
    """Inside a logger's queue, it would leave a lock behind that the end of the run waits for."""
    logger = Interrupts(tmp_path, signals)
    with pytest.raises(Stopped, match="stopped by SIGINT"), stopping.listening():
        write_points([logger], {"a": 1.0}, 7)
    assert logger.noted == [7] * (signals == 1)  # a second signal does not wait
    logger.signals = 1
    with stopping.listening(), stopping.patient():
        write_points([logger], {"a": 1.0}, 8)
    assert stopping.asked == signal.SIGINT  # and the loop over minibatches sees it
    assert logger.noted[-1] == 8


def test_a_checkpoint_that_cannot_be_written_at_the_end_still_ends_the_run(tmp_path, monkeypatch):
    written = LastCheckpoint.write

    def full(self, trainer):
        if trainer.global_step:
            raise OSError(28, "No space left on device")
        written(self, trainer)

    monkeypatch.setattr(LastCheckpoint, "write", full)
    with pytest.raises(OSError, match="No space"):
        train(compose_config(tmp_path, *SHORT, *TINY, "callbacks.last.seconds=null"))
    assert read_state(tmp_path).state == "failed"


@pytest.mark.parametrize("part", [True, False])
def test_data_json_says_if_only_a_part_was_scored(part, tmp_path, capsys):
    ended(tmp_path, "data.eval_batch_size=4", f"trainer.limit_val_batches={1 if part else 1.0}", capsys=capsys)
    described = json.loads((tmp_path / "data.json").read_text())
    found = {key: value for key, value in described.items() if key.endswith("_scored")}
    assert found == ({"val_scored": "first 4 of 7"} if part else {})


def test_columns_never_touch():
    metrics = {"val/elbo": -1e30, "test/elbo": math.nan, "val/kl": math.inf, "test/kl": -1e9, "other": 1e-9}
    lines = format_metrics(metrics, TERMS).splitlines()
    assert [line.split() for line in lines if line] == [
        ["nats", "per", "example", "val", "test"],
        ["elbo", "-1e+30", "nan"],
        ["kl", "inf", "-1e+09"],
        ["also", "logged"],
        ["other", "1e-09"],
    ]
    assert format_metrics({}, TERMS) == ""
    shown = format_metrics({"val/kl": 1.0, "x\x1b[2J": 2.0}, TERMS)
    assert "elbo" not in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(("best", "said"), [(7, True), (18, False), (20, False)])
def test_a_run_says_that_its_best_weights_are_much_older_than_its_last(best, said):
    assert (_best_was_early(best, 20) != []) == said


@pytest.mark.parametrize("place", [".", "deep/er", "../elsewhere"])
def test_a_summary_names_its_folder_wherever_it_lies(place, tmp_path, monkeypatch):
    here = tmp_path / "here"
    (here / place).mkdir(parents=True)
    (here / place / "events.out.tfevents.1").touch()
    (here / place / "figures").mkdir()
    (here / place / "figures" / "latents.png").touch()
    monkeypatch.chdir(here)
    shown = format_summary(Path(place), {"val/elbo": 1.0}, TERMS)
    expected = {".": here, "deep/er": Path("deep/er"), "../elsewhere": tmp_path / "elsewhere"}[place]
    assert f"run     {expected}\nfigures {expected / 'figures'}\n" in shown
    assert shown.endswith(f"--logdir {'deep' if place == 'deep/er' else expected}")


def test_an_output_that_fails_after_the_run_is_a_warning(tmp_path, capsys, caplog, monkeypatch):
    """A full disk and a broken standard output, after the run is done."""

    def broken(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vaelab.app.final_points.write_final", broken)
    monkeypatch.setattr("builtins.print", broken)
    train(compose_config(tmp_path, *SHORT, *TINY))
    monkeypatch.undo()
    assert read_state(tmp_path).state == "done"
    assert "the final numbers are missing in the loggers" in caplog.text
    assert "they cannot be printed" in caplog.text
