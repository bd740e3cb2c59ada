"""A run that is interrupted at any moment and then resumed leaves the same files as an uninterrupted run."""

import errno
import json
import os
import shlex
import shutil
import signal
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from lightning.pytorch.callbacks import ModelCheckpoint
from tensorboard.summary.writer.record_writer import RecordWriter

from helpers.remains import differences, points, remains
from helpers.runner import compose_config, run_train, start_train
from vaelab.app import fit
from vaelab.app.resume import resume
from vaelab.app.start import train
from vaelab.data import Sine
from vaelab.runs.folder import locked
from vaelab.runs.run_state import read_state
from vaelab.steps import stepper
from vaelab.training import LastCheckpoint, VAEModule

STEPS = 13  # in an epoch, the last of 5 examples
RUN = (
    *("model=gaussian", "data=sine_surface", "data.train_size=101", "data.val_size=23", "data.test_size=9"),
    *("data.batch_size=8", "network.hidden=[6]", "~callbacks.pictures", "trainer.log_every_n_steps=4"),
    *(
        "trainer.max_epochs=4",
        "callbacks.last.seconds=null",
        "callbacks.last.every_n_steps=3",
        "callbacks.last.filename=last",
    ),
)
KINDS = {
    "as it is": (),
    "a schedule by epochs": ("scheduler=cosine_by_epoch",),
    "no schedules": ("scheduler=constant", "objective.beta_schedule=constant"),
    "early stopping": ("callbacks=early_stopping", "callbacks.early_stopping.patience=1", "optimizer.lr=0.05"),
    "max_steps": ("trainer.max_epochs=-1", "trainer.max_steps=31"),
    "limited": ("trainer.limit_train_batches=7",),
    "in double precision": ("trainer.precision=64-true",),
    "accumulated": ("trainer.accumulate_grad_batches=2",),
    "validated within the epoch": ("trainer.val_check_interval=5",),
    "discrete latents": ("posterior=bernoulli", "prior=bernoulli", "objective.gradient=gumbel_softmax"),
    "clipped, monte carlo": ("trainer.gradient_clip_val=0.1", "objective=elbo_monte_carlo", "objective.samples=2"),
}


class Death(BaseException):
    """The process died: nothing is cleaned up."""


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(stepper, "TRACE_AFTER", 9)


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """Everything that the uninterrupted run of a kind leaves."""
    known = {}

    def of(kind):
        if kind not in known:
            folder = tmp_path_factory.mktemp("whole")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(stepper, "TRACE_AFTER", 9)
                train(compose_config(folder, *RUN, *KINDS[kind]))
            known[kind] = remains(folder)
        return known[kind]

    return of


def dies(owner, name, call, after=False):
    """A context in which the process dies at the call of a method, before or after its work."""
    method, calls = getattr(owner, name), iter(range(1, 10**9))

    def deadly(*arguments, **options):
        now = next(calls) == call
        if now and not after:
            raise Death
        result = method(*arguments, **options)
        if now:
            raise Death
        return result

    patch = pytest.MonkeyPatch()
    patch.setattr(owner, name, deadly)
    return patch


def interrupted(folder, overrides, *death, after=False):
    """Trains until the process dies. Returns True if it died."""
    patch = dies(*death, after=after)
    try:
        train(compose_config(folder, *overrides))
    except Death:
        return True
    finally:
        patch.undo()
    return False


def go_on(folder, **changes):
    resume({"resume": str(folder), **changes})


EVERYWHERE = [
    *((VAEModule, "_check_finite", call) for call in (1, 5, 12, 13, 14, 20)),
    (VAEModule, "validation_step", 2),
    (VAEModule, "on_validation_epoch_end", 2),
    (ModelCheckpoint, "_save_checkpoint", 2),
    (LastCheckpoint, "write", 3),
    (LastCheckpoint, "on_train_end", 1),
    (VAEModule, "test_step", 1),
    (fit, "write_metrics", 1),
    (fit, "Trained", 1),  # metrics.json says that the run is done, so nothing writes its final points again
]
HERE_AND_THERE = [EVERYWHERE[index] for index in (1, 3, 7, 10)]
OFTEN = {
    "as it is": [*HERE_AND_THERE, *EVERYWHERE[-2:]],
    **{kind: [EVERYWHERE[3]] for kind in KINDS if KINDS[kind]},
}  # the others are a drill
DEATHS = [
    pytest.param(kind, death, marks=() if death in OFTEN[kind] else pytest.mark.drill)
    for kind in KINDS
    for death in (HERE_AND_THERE if KINDS[kind] else EVERYWHERE)
]


@pytest.mark.parametrize(
    ("kind", "death"),
    DEATHS,
    ids=[f"{kind}, {death[1]} {death[2]}" for kind, death in (each.values for each in DEATHS)],
)
def test_it_ends_as_if_nothing_had_been(kind, death, references, tmp_path):
    if not interrupted(tmp_path, [*RUN, *KINDS[kind]], *death):
        assert kind == "max_steps"
        assert death[1] == "_save_checkpoint"
        return  # the run of this kind never gets there
    go_on(tmp_path)
    assert differences(references(kind), remains(tmp_path)) == []


EARLY = {
    "trainer.num_sanity_val_steps=1": (VAEModule, "validation_step", 1),
    "trainer.val_check_interval=1": (Sine, "train_dataloader", 1),
    "callbacks.last.every_n_steps=null": (VAEModule, "_check_finite", 1),
    "callbacks.last.every_n_steps=999": (VAEModule, "_check_finite", 2),
}


@pytest.mark.parametrize("key", EARLY)
def test_a_run_that_dies_around_its_first_step_is_resumed(key, tmp_path):
    keys = [*RUN, "trainer.max_epochs=1", key]
    assert interrupted(tmp_path / "parts", keys, *EARLY[key])
    assert {path.name for path in (tmp_path / "parts" / "checkpoints").iterdir()} == {"last.ckpt"}
    go_on(tmp_path / "parts")
    train(compose_config(tmp_path / "whole", *keys))
    assert differences(remains(tmp_path / "whole"), remains(tmp_path / "parts")) == []
    assert len(list((tmp_path / "parts").glob("events.out.tfevents.*"))) == len(
        list((tmp_path / "whole").glob("events.out.tfevents.*"))
    )


def test_a_run_that_dies_before_training_is_started_again_by_the_command_that_is_shown(tmp_path, monkeypatch):
    """It died while it read its data; its folder has blanks and quotes, and it was started elsewhere."""
    folder, typed = tmp_path / "it's mine", ["latent_dim=3", "hydra.run.dir=it's\\ mine", "data.seed='5'"]
    monkeypatch.setattr(sys, "argv", ["train.py", *typed])
    monkeypatch.chdir(tmp_path)
    assert interrupted(folder, RUN, Sine, "setup", 1)
    monkeypatch.undo()
    with pytest.raises(
        FileNotFoundError, match="holds no checkpoint, because its run ended before training began"
    ) as said:
        go_on(folder)
    words = shlex.split(str(said.value).split("start it again with ")[1])
    assert words[:3] == ["cd", str(tmp_path), "&&"]
    assert words[3:] == ["vaelab", "train", "latent_dim=3", "data.seed='5'", f"hydra.run.dir={folder}"]
    with locked(folder):
        refused("is in use by another process, which has not begun to train", folder)
    train(compose_config(folder, *RUN, "trainer.max_epochs=1"))
    assert (folder / "metrics.json").is_file()


def test_a_run_that_keeps_no_checkpoint_cannot_be_resumed(tmp_path):
    train(compose_config(tmp_path, *RUN, "trainer.fast_dev_run=true"))
    refused("is a finished run that kept no checkpoint", tmp_path)


def test_a_run_of_no_epochs_may_get_some_later(references, tmp_path, capsys):
    train(compose_config(tmp_path, *RUN, "trainer.max_epochs=0"))
    assert "nothing was trained" in capsys.readouterr().out
    go_on(tmp_path, **{"trainer.max_epochs": "4"})
    assert differences(references("as it is"), remains(tmp_path)) == []


@pytest.mark.parametrize("works_until", [9, 33])
def test_curves_that_cannot_be_written_end_a_run_that_is_resumed_later(
    works_until, references, tmp_path, monkeypatch, capfd
):
    """TensorBoard's thread meets a full disk, and the state has no room for a new file."""
    write, calls = RecordWriter.write, iter(range(10**9))

    def full(writer, data):
        if next(calls) >= works_until:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(writer, data)

    with monkeypatch.context() as patch:
        patch.setattr(RecordWriter, "write", full)
        patch.setattr("vaelab.runs.run_state.write_whole", no_room)
        (tmp_path / "state.json").write_text("{}")
        with pytest.raises(OSError, match=r"^the curves cannot be written \(No space left on device\); make room"):
            train(compose_config(tmp_path, *RUN))
    assert "Traceback" not in capfd.readouterr().err
    assert read_state(tmp_path).state == "failed"
    assert read_state(tmp_path).reason.startswith("the curves cannot be written")
    go_on(tmp_path)
    assert differences(references("as it is"), remains(tmp_path)) == []


def no_room(path, contents):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_each_point_of_a_curve_is_there_once(tmp_path):
    assert interrupted(tmp_path, RUN, VAEModule, "_check_finite", 31)
    go_on(tmp_path)
    for tag, curve in points(tmp_path).items():
        steps = [step for step, _ in curve]
        assert steps == sorted(set(steps)), tag
    expected = [STEPS * epoch + step for epoch in range(4) for step in (3, 7, 11, STEPS - 1)]
    assert [step for step, _ in points(tmp_path)["train/elbo"]] == expected


def test_it_may_die_again_and_again(references, tmp_path):
    assert interrupted(tmp_path, RUN, VAEModule, "_check_finite", 9)
    for call in (2, 7, 11, 4, 16):
        patch = dies(VAEModule, "_check_finite", call)
        try:
            with pytest.raises(Death):
                go_on(tmp_path)
        finally:
            patch.undo()
    go_on(tmp_path)
    assert differences(references("as it is"), remains(tmp_path)) == []


def test_a_finished_run_that_cannot_be_extended_stays_finished(tmp_path, monkeypatch):
    train(compose_config(tmp_path, *RUN, "trainer.max_epochs=1"))
    before = read_state(tmp_path), (tmp_path / "metrics.json").read_text()
    assert before[0].state == "done"
    monkeypatch.setattr(Sine, "fingerprint", lambda self: 0)
    refused("the data must be those that the run was trained on", tmp_path, **{"trainer.max_epochs": "2"})
    assert (read_state(tmp_path), (tmp_path / "metrics.json").read_text()) == before


def test_a_run_that_max_steps_ended_is_not_told_to_raise_max_epochs(tmp_path, capsys):
    train(compose_config(tmp_path, *RUN, "trainer.max_epochs=-1", "trainer.max_steps=5"))
    capsys.readouterr()
    go_on(tmp_path, **{"trainer.max_epochs": "9"})
    assert "trainer.max_steps=5 ended it, so train a new run; init_from=" in capsys.readouterr().out


def test_a_finished_run_says_so_and_is_left_alone(tmp_path, capsys):
    train(compose_config(tmp_path, *RUN))
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()}
    capsys.readouterr()
    go_on(tmp_path)
    assert f"{tmp_path} is finished after 4 epochs" in capsys.readouterr().out
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()}
    assert after.keys() == before.keys()
    assert all(after[path] == before[path] for path in before if path.name != ".lock")


def test_more_epochs_are_those_of_a_longer_run(references, tmp_path):
    train(compose_config(tmp_path, *RUN, *KINDS["no schedules"], "trainer.max_epochs=2"))
    resume({"resume": str(tmp_path), "trainer.max_epochs": "4"})
    assert differences(references("no schedules"), remains(tmp_path)) == []


def test_a_folder_that_has_moved_goes_on_where_it_is(references, tmp_path):
    assert interrupted(tmp_path / "before", RUN, VAEModule, "_check_finite", 49)
    shutil.move(tmp_path / "before", tmp_path / "after")
    go_on(tmp_path / "after")
    assert differences(references("as it is"), remains(tmp_path / "after")) == []
    assert not (tmp_path / "before").exists()


@pytest.mark.parametrize("damage", ["torn", "a flipped bit", "empty", "gone"])
def test_a_broken_checkpoint_is_named_and_the_one_before_is_used(damage, references, tmp_path, caplog):
    assert interrupted(tmp_path, RUN, VAEModule, "_check_finite", 29)
    last = tmp_path / "checkpoints" / "last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 4
    damaged = {"torn": content[: len(content) // 2], "a flipped bit": content, "empty": b""}
    last.unlink()  # which is another name of the file that previous.ckpt may be
    if damage != "gone":
        last.write_bytes(damaged[damage])
    go_on(tmp_path)
    assert "resuming from" in caplog.text
    assert str(last) in caplog.text
    assert differences(references("as it is"), remains(tmp_path)) == []


def refused(answer, folder, **changes):
    with pytest.raises((ValueError, OSError), match=answer):
        resume({"resume": str(folder), **changes})


def test_what_cannot_go_on_is_said(tmp_path):
    refused("does not exist, so there is no run to resume", tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    refused("holds no checkpoint, so there is nothing to resume", tmp_path)
    assert interrupted(tmp_path, RUN, VAEModule, "_check_finite", 29)
    refused("is a file, but resume needs a run.s folder", tmp_path / "checkpoints" / "last.ckpt")
    refused("optimizer.lr cannot change when a run resumes", tmp_path, **{"optimizer.lr": "1"})
    refused("trainer.max_epochs must be .*, but is 'soon'", tmp_path, **{"trainer.max_epochs": "soon"})
    for name in ("last", "previous"):
        path = tmp_path / "checkpoints" / f"{name}.ckpt"
        path.unlink()
        path.write_bytes(b"PK nonsense")
    refused("previous.ckpt cannot be read as a checkpoint", tmp_path)


def test_a_folder_with_a_run_is_not_written_over(tmp_path):
    assert interrupted(tmp_path, RUN, VAEModule, "_check_finite", 29)
    before = (tmp_path / "checkpoints" / "last.ckpt").read_bytes()
    with pytest.raises(ValueError, match=r"already holds a run; vaelab train resume=.* resumes it"):
        train(compose_config(tmp_path, *RUN))
    assert (tmp_path / "checkpoints" / "last.ckpt").read_bytes() == before


def test_a_full_disk_ends_a_run_that_goes_on_later(references, tmp_path, monkeypatch):
    sync, calls = os.fsync, iter(range(1, 1000))

    def full(descriptor):
        if next(calls) > 9:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"ckpt cannot be written \(No space left on device\)"):
            train(compose_config(tmp_path, *RUN))
    go_on(tmp_path)
    assert differences(references("as it is"), remains(tmp_path)) == []


def test_a_disk_that_cannot_be_written_to_is_said(tmp_path, monkeypatch):
    def refuse(path, *arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError, match=r"cannot be written to \(Read-only file system\); choose another hydra.run.dir"):
        train(compose_config(tmp_path / "run", *RUN))


def test_the_same_command_gives_the_same_bits(references, tmp_path):
    train(compose_config(tmp_path / "again", *RUN))
    assert differences(references("as it is"), remains(tmp_path / "again")) == []
    train(compose_config(tmp_path / "other", *RUN, "seed=1"))
    assert any(
        "weights" in each or "state_dict" in each
        for each in differences(references("as it is"), remains(tmp_path / "other"))
    )


def test_a_folder_that_is_removed_is_missed(tmp_path, monkeypatch):
    step, calls = VAEModule._check_finite, iter(range(1, 1000))  # once a step

    def remove(module, *arguments):
        if next(calls) == 17:
            shutil.rmtree(tmp_path / "run" / "checkpoints")
        return step(module, *arguments)

    monkeypatch.setattr(VAEModule, "_check_finite", remove)
    with pytest.raises(FileNotFoundError, match="checkpoints was removed, so the run cannot be saved there"):
        train(compose_config(tmp_path / "run", *RUN))


def test_two_processes_in_one_folder(tmp_path):
    from vaelab.runs.folder import locked

    with locked(tmp_path), pytest.raises(ValueError, match="is in use by another process"):
        train(compose_config(tmp_path, *RUN))
    assert not (tmp_path / "checkpoints").exists()


def test_data_that_have_changed_are_noticed(small_mnist, tmp_path):
    images, folder = tmp_path / "images", tmp_path / "run"
    shutil.copytree(small_mnist, images)
    keys = ["model=bernoulli", "data=mnist", f"data.root={images}", "data.val_size=13", "data.batch_size=8"]
    overrides = [*keys, "network.hidden=[6]", "~callbacks.pictures", "trainer.max_epochs=2"]
    assert interrupted(folder, overrides, VAEModule, "_check_finite", 8)
    path = images / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:16] + path.read_bytes()[16:][::-1])
    refused("the data must be those that the run was trained on", folder)


def wait_for(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_signal_ends_a_run_that_goes_on_later(number, tmp_path):
    """In separate processes, from the command line."""
    keys = [*RUN, "trainer.max_epochs=60", "callbacks.last.seconds=0.1", "callbacks.last.every_n_steps=null"]
    whole = run_train(tmp_path, *keys, "hydra.run.dir=whole")
    assert whole.returncode == 0, whole.stderr
    process = start_train(tmp_path, *keys, "hydra.run.dir=parts")
    last = tmp_path / "parts" / "checkpoints" / "last.ckpt"
    wait_for(lambda: last.is_file() and (tmp_path / "parts" / "checkpoints" / "best.ckpt").is_file())
    time.sleep(0.3)
    asked = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert time.monotonic() - asked < 5
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number)
    if number != signal.SIGKILL:
        folder = tmp_path / "parts"
        assert said.strip().splitlines()[-1] == f"stopped by {number.name}; python train.py resume={folder} resumes it"
    resumed = run_train(tmp_path, "resume=parts")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.replace("parts", "whole") == whole.stdout
    assert differences(remains(tmp_path / "whole"), remains(tmp_path / "parts")) == []
    environment = json.loads((tmp_path / "parts" / "environment.json").read_text())
    assert [entry["command"].split()[-1] for entry in environment] == ["hydra.run.dir=parts", "resume=parts"]
    assert environment[0]["versions"]["torch"] == version("torch")
    assert environment[0]["threads"] == 1
