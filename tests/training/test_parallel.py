"""Several processes share one run: the numbers are those of one process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.distributions import Gamma, Independent, MultivariateNormal, Normal

from helpers.runner import ROOT, compose_config, messages, run_train
from vaelab.app.start import train
from vaelab.data.batches import Batches
from vaelab.families import Bernoulli, Flow, GaussianMixture, OneHotCategorical
from vaelab.objectives import Terms
from vaelab.runs.run_state import read_state
from vaelab.signals import stopping
from vaelab.training.batch_share import BatchShare
from vaelab.training.processes import agree
from vaelab.training.running_means import RunningMeans

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
ODD = (  # the last of 5 minibatches has one row: the other processes have none
    *("data.train_size=101", "data.val_size=23", "data.test_size=17", "data.batch_size=25", "network.hidden=[16]"),
    *("trainer.accelerator=cpu", "trainer.max_epochs=3", "trainer.log_every_n_steps=3", "callbacks.pictures=null"),
)


@pytest.mark.parametrize("examples", [1, 2, 5, 7])
@pytest.mark.parametrize("make", ["rsample", "sample"])
@pytest.mark.parametrize("family", ["diagonal", "full", "flow"])
def test_draws_are_the_rows_that_one_process_would_draw(family, make, examples):
    loc, scale, numbers = torch.randn(examples, 3), torch.rand(examples, 3) + 0.1, torch.randn(examples, 2 * 3 + 4)
    flow = Flow((3,), context=4, transforms=2, hidden=[7], bins=3)

    def posterior(rows):
        if family == "flow":
            return flow(numbers[rows])
        if family == "full":
            return MultivariateNormal(loc[rows], scale_tril=torch.diag_embed(scale[rows]))
        return Independent(Normal(loc[rows], scale[rows]), 1)

    torch.manual_seed(1)
    whole = getattr(posterior(slice(None)), make)((4,))
    following = torch.rand(1)
    for rank in range(3):
        torch.manual_seed(1)
        with BatchShare(rank, 3, examples):
            rows = slice(rank, None, 3) if rank < examples else slice(1)
            drawn = getattr(posterior(rows), make)((4,))
        if rank < examples:
            torch.testing.assert_close(drawn, whole[:, rank::3])
        assert drawn.shape == (4, len(loc[rows]), 3)
        assert torch.equal(torch.rand(1), following)


DISCRETE = {
    "bernoulli": (Bernoulli((3,)), lambda q: q.sample((4,))),
    "relaxed bernoulli": (Bernoulli((3,)), lambda q: q.relaxed_rsample((4,), 0.5)),
    "categorical": (OneHotCategorical(2, 3), lambda q: q.sample((4,))),
    "relaxed categorical": (OneHotCategorical(2, 3), lambda q: q.relaxed_rsample((4,), 0.5)),
    "mixture": (GaussianMixture((3,), components=2), lambda q: q.sample((4,))),
    "stratified": (GaussianMixture((3,), components=2), lambda q: q.stratified_rsample(4)[0]),
}


@pytest.mark.parametrize("examples", [1, 2, 5, 7])
@pytest.mark.parametrize("kind", DISCRETE)
def test_discrete_and_stratified_draws_are_those_of_one_process(kind, examples):
    family, draw = DISCRETE[kind]
    numbers = torch.randn(examples, family.num_parameters, generator=torch.Generator().manual_seed(2))
    torch.manual_seed(1)
    whole, following = draw(family(numbers)), torch.rand(1)
    for rank in range(3):
        torch.manual_seed(1)
        with BatchShare(rank, 3, examples):
            drawn = draw(family(numbers[rank::3] if rank < examples else numbers[:1]))
        if rank < examples:
            torch.testing.assert_close(drawn, whole[:, rank::3])
        assert torch.equal(torch.rand(1), following)


def test_other_draws_are_valid_and_unchanged():
    torch.manual_seed(1)
    before = Gamma(torch.ones(2, 3), 1.0).sample((4,)), torch.randn(4, 6), torch.randn(5)
    torch.manual_seed(1)
    with BatchShare(1, 2, 5):
        after = Gamma(torch.ones(2, 3), 1.0).sample((4,)), torch.empty(4, 6).normal_(), torch.empty(5).normal_()
    assert all(map(torch.equal, before, after))


@pytest.mark.parametrize("examples", [1, 2, 5, 7])
def test_the_parts_of_a_loss_average_to_its_mean(examples):
    loss, parts, counted = torch.randn(examples, dtype=torch.float64), [], 0
    for rank in range(3):
        share, rows = BatchShare(rank, 3, examples), slice(rank, None, 3) if rank < examples else slice(1)
        terms = share.without_stand_in(Terms(*[loss[rows]] * 5))
        parts.append(share.mean(terms.loss))
        counted += len(terms.loss)
    assert counted == examples
    torch.testing.assert_close(torch.stack(parts).mean(), loss.mean())


def test_batches_are_shared_row_by_row(monkeypatch):
    monkeypatch.setattr("torch.distributed.broadcast_object_list", lambda order: None)
    x, target = torch.arange(26.0).reshape(13, 2), torch.arange(13)

    def passes(share):
        torch.manual_seed(3)
        batches = Batches(x, target, 6, shuffle=True, prepare=lambda x: x + torch.rand(x.shape), share=share)
        return [[*zip(*batch, strict=True)] for batch in batches], [batches.examples(i) for i in range(len(batches))]

    (whole, sizes), shares = passes((0, 1)), [passes((rank, 3))[0] for rank in range(3)]
    assert sizes == [6, 6, 1]
    for i, batch in enumerate(whole):
        for row, (values, label) in enumerate(batch):
            own = shares[row % 3][i][row // 3]
            assert torch.equal(own[0], values)
            assert own[1] == label
    assert [len(share[2]) for share in shares] == [1, 1, 1]  # a stand-in where there is none


def test_a_signal_that_comes_while_processes_agree_is_for_the_next_time(monkeypatch):
    def all_reduce(told, operation):
        monkeypatch.setattr(stopping, "asked", signal.SIGTERM)

    monkeypatch.setattr("torch.distributed.all_reduce", all_reduce)
    assert agree(None, [False, True], torch.device("cpu")) == (None, [False, True])
    assert stopping.asked == signal.SIGTERM
    assert agree(stopping.asked, [False], torch.device("cpu")) == (signal.SIGTERM, [False])


def test_means_without_examples_are_added_up_on_the_same_device(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "vaelab.training.running_means.sum_over_processes", lambda numbers: seen.append(numbers) or torch.zeros(2)
    )
    RunningMeans().gather(torch.device("meta"))
    assert [numbers.device.type for numbers in seen] == ["meta"]


def run(cwd, name, *arguments):
    process = run_train(cwd, *ODD, *arguments, f"hydra.run.dir={name}")
    assert process.returncode == 0, process.stderr
    assert messages(process.stderr) == []
    return cwd / name


def test_the_first_process_draws_pictures_while_the_others_wait(tmp_path):
    arguments = [each for each in ODD if each != "callbacks.pictures=null"]
    process = run_train(tmp_path, *arguments, "trainer=ddp", "hydra.run.dir=run", timeout=60)
    assert (process.returncode, messages(process.stderr)) == (0, [])
    assert {path.stem for path in (tmp_path / "run" / "figures").glob("*.png")} >= {"surface", "latents", "manifold"}


def weights(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def curves(folder):
    """tag -> [(step, value)], of all event files."""
    found = {}
    for path in sorted(folder.glob("events.*")):
        events = EventAccumulator(str(path))
        events.Reload()
        for tag in events.Tags()["scalars"]:
            found.setdefault(tag, []).extend((e.step, e.value) for e in events.Scalars(tag))
    return found


@pytest.mark.parametrize(
    "choices",
    [
        ("trainer.devices=2",),
        (
            *(
                "trainer.devices=3",
                "model=gaussian_full",
                "posterior=full",
                "prior=learned_full",
                "objective.samples=3",
            ),
            *("objective.gradient=score_function_baseline", "trainer.gradient_clip_val=0.5", "scheduler=cosine"),
        ),
    ],
    ids=["two", "three"],
)
def test_the_result_is_that_of_one_process(choices, tmp_path):
    one = tmp_path / "one"
    train(compose_config(one, *ODD, *choices, "trainer.devices=1"))
    several = run(tmp_path, "several", "trainer=ddp", *choices)
    expected = weights(one)
    for name, tensor in weights(several).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-6)
    points = curves(several)
    for tag, values in curves(one).items():
        assert [step for step, _ in points[tag]] == [step for step, _ in values]
        assert [value for _, value in points[tag]] == pytest.approx([value for _, value in values], rel=1e-4, abs=1e-5)
    own = {path.name for path in several.iterdir() if not path.name.startswith("events")}
    assert own == {path.name for path in one.iterdir() if not path.name.startswith("events")} | {".hydra"}


LONG = (
    *("trainer=ddp", "data.train_size=1001", "trainer.max_epochs=8", "trainer.log_every_n_steps=20"),
    "callbacks.last.seconds=0.2",
)


def start(cwd, name, *arguments):
    """A run of two processes that has trained for a while."""
    command = [sys.executable, str(ROOT / "train.py"), *ODD, *LONG, *arguments, f"hydra.run.dir={name}"]
    process = subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not (cwd / name / "checkpoints" / "previous.ckpt").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    return process


def companions(folder):
    """The other processes that train in a folder."""
    named = f'hydra.run.dir="{folder}"'.encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if named in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the test looks for processes in /proc")
def test_a_killed_run_resumes_with_the_same_numbers(tmp_path):
    undisturbed = run(tmp_path, "undisturbed", *LONG)
    process = start(tmp_path, "killed")
    assert len(companions("killed")) == 1
    process.kill()
    _, said = process.communicate(timeout=30)
    assert (process.returncode, messages(said)) == (-signal.SIGKILL, [])
    deadline = time.monotonic() + 20
    while companions("killed"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    after = run_train(tmp_path, "resume=killed")
    assert after.returncode == 0, after.stderr
    assert (tmp_path / "killed" / "metrics.json").read_text() == (undisturbed / "metrics.json").read_text()
    expected = weights(undisturbed)
    assert all(torch.equal(tensor, expected[key]) for key, tensor in weights(tmp_path / "killed").items())
    points = curves(tmp_path / "killed")
    for tag, values in curves(undisturbed).items():  # what processes have seen is added up in another order
        assert [point[0] for point in points[tag]] == [point[0] for point in values]
        assert [point[1] for point in points[tag]] == pytest.approx([point[1] for point in values], rel=1e-5)


def test_a_signal_to_one_process_stops_all_of_them(tmp_path):
    process = start(tmp_path, "run")
    os.kill(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 143
    assert messages(said) == [f"stopped by SIGTERM; python train.py resume={tmp_path / 'run'} resumes it"]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the test looks for processes in /proc")
def test_a_process_that_dies_ends_the_run(tmp_path):
    process = start(tmp_path, "run")
    for companion in companions("run"):
        os.kill(companion, signal.SIGKILL)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert messages(said) == [
        "error: one of the run's 2 processes ended with exit code -9, so the others stopped too; read its messages, or "
        "check the free memory"
    ]
    assert read_state(tmp_path / "run").state == "failed"


def test_a_run_that_diverges_prints_one_line(tmp_path):
    process = run_train(tmp_path, *ODD, "trainer=ddp", "optimizer=sgd", "optimizer.lr=1e15", "hydra.run.dir=run")
    assert process.returncode == 1
    assert len(messages(process.stderr)) == 1
    assert "finite" in process.stderr
    assert read_state(tmp_path / "run").state == "failed"


def test_a_cell_of_a_sweep_may_use_several_processes(tmp_path):
    alone = tmp_path / "alone"
    train(compose_config(alone, *ODD, "latent_dim=1"))
    process = run_train(
        tmp_path, "-m", *ODD, "latent_dim=1,3", "trainer=ddp", "hydra.sweep.dir=sweep", "hydra.job.chdir=true"
    )
    assert process.returncode == 0, process.stderr
    assert {path.parent.name for path in tmp_path.glob("sweep/*/metrics.json")} == {"latent_dim=1", "latent_dim=3"}
    metrics = json.loads((tmp_path / "sweep" / "latent_dim=1" / "metrics.json").read_text())
    assert metrics == pytest.approx(json.loads((alone / "metrics.json").read_text()), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(
    ("typed", "environment", "answer"),
    [
        (("trainer=ddp", "compile=true"), {}, "compile must be false for a run with several processes"),
        (
            ("trainer=ddp", "trainer.strategy=ddp_spawn"),
            {},
            "trainer.strategy=ddp_spawn cannot share a run between processes",
        ),
        (
            (),
            {"LOCAL_RANK": "1"},
            "LOCAL_RANK=1 is in the environment, but a run starts its own processes; unset it",
        ),
        ((), {"RANK": "x"}, "RANK=x is in the environment"),
        (("trainer=ddp",), {"LOCAL_RANK": "0"}, "LOCAL_RANK=0 is in the environment"),
        (("trainer=ddp",), {"RANK": "1"}, "RANK=1 is in the environment"),
        (("trainer=ddp",), {"MASTER_PORT": "29777"}, "MASTER_PORT=29777 is in the environment"),
    ],
)
def test_settings_that_cannot_work_are_refused(typed, environment, answer, tmp_path, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=answer):
        train(compose_config(tmp_path, *ODD, *typed))
    assert not (tmp_path / "metrics.json").exists()
