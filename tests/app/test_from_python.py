"""`vaelab.compose` and `vaelab.train`: the command line from Python."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
from hydra import initialize_config_dir
from omegaconf import OmegaConf

import vaelab
from helpers.runner import ROOT, SHORT, TINY, run_train
from vaelab.app import from_python
from vaelab.app.from_python import RunFailed, _sentence
from vaelab.runs.run_state import read_state

SLOW = ("trainer.max_epochs=-1", "hydra.run.dir=slow", "callbacks.last.seconds=0")
SCRIPT = f"""
import vaelab
try:
    vaelab.train({[*SHORT, *TINY, *SLOW]})
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.fixture
def own(tmp_path):
    """A folder with an option for your own data."""
    (tmp_path / "own" / "data").mkdir(parents=True)
    (tmp_path / "own" / "data" / "mine.yaml").write_text(
        "_target_: own_classes.Rows\nfile: rows.npy\nval_size: 0.1\ntest_size: 0.1\nbatch_size: 8\n"
    )
    return tmp_path / "own"


def test_a_config_is_that_of_the_command_line(own, tmp_path):
    given = ["data=mine", "model=gaussian_full", "latent_dim=7"]
    shown = run_train(tmp_path, "--cfg", "job", "--config-dir", "own", *given)
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):  # a notebook may use Hydra itself
        config = vaelab.compose(given, config_dir=own)
    assert OmegaConf.to_yaml(config) == shown.stdout.rstrip("\n") + "\n"


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        (["latent_dims=3"], "latent_dims is not a key, so nothing would read it; did you mean latent_dim"),
        (["latent_dim=1,2"], "latent_dim=1,2 must have one value for one run, but has several; add -m"),
        (["data=mine"], "data=mine is not known; use one of array, digits, fashion_mnist, images"),
    ],
)
def test_what_cannot_be_composed_is_said_in_a_sentence(given, answer):
    with pytest.raises(ValueError, match=answer):
        vaelab.compose(given)


def test_a_folder_of_options_must_be_there(tmp_path):
    with pytest.raises(ValueError, match=r"^--config-dir must name a folder of config files, but .* does not exist"):
        vaelab.compose(config_dir=tmp_path / "nowhere")


def test_a_sweep_from_python_returns_its_runs(own, tmp_path, monkeypatch, capfd, small_mnist):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "tests" / "helpers")
    (tmp_path / "rows.npy").write_bytes((small_mnist / "rows.npy").read_bytes())
    runs = vaelab.train(["-m", *SHORT, "data=mine", "latent_dim=1,3"], config_dir="own")
    assert [run.config["latent_dim"] for run in runs] == [1, 3]
    assert all(run.folder.parents[2] == tmp_path / "multirun" for run in runs)
    assert [run.vae.prior().event_shape for run in runs] == [(1,), (3,)]
    assert "2 runs: 2 done" in capfd.readouterr().out


def test_a_run_that_fails_raises_its_own_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunFailed, match=r"^latent_dim.* a whole number of at least 1"):
        vaelab.train(["latent_dim=0"])
    assert vaelab.RunFailed is RunFailed


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("Epoch 3\r12%\rerror: the run diverged\nrun  outputs\n", "the run diverged"),
        ("Epoch 3\n  Killed  \n", "Killed (exit code 137)"),
        ("", "the run said nothing (exit code 137)"),
    ],
)
def test_the_sentence_of_a_run_is_found_in_what_it_said(said, sentence):
    assert _sentence(said, 137) == sentence


def test_a_text_in_place_of_a_list_is_refused():
    with pytest.raises(ValueError, match=r"^overrides must be a list, but is 'latent_dim=3'; write \['latent_dim=3'\]"):
        vaelab.train("latent_dim=3")


def test_an_interrupted_run_saves_its_weights(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    until = time.monotonic() + 120
    while not list(tmp_path.glob("slow/checkpoints/last.ckpt")) and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert f"stopped by SIGINT; vaelab train resume={tmp_path / 'slow'} resumes it" in out
    assert out.endswith("interrupted\n")
    assert read_state(tmp_path / "slow").state == "pending"


def test_an_interrupted_run_that_does_not_end_is_killed(monkeypatch):
    monkeypatch.setattr(from_python, "PATIENCE", 0.1)
    deaf = ["sh", "-c", "trap '' INT; echo ready; exec sleep 60"]
    with subprocess.Popen(deaf, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        from_python._interrupt(process)
    assert process.returncode == -signal.SIGKILL
