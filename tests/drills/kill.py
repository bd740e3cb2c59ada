"""Kills runs with SIGKILL at random moments, resumes each, and compares: python -m tests.drills.kill --kills 100.

The kinds of runs in `KINDS` take turns. Each run is a fork of this process, which has everything imported, so that a
kill costs seconds. A third of the runs are killed again after they have resumed.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from tests.helpers.idx_files import TEST_LABELS, TRAIN_LABELS, write_idx_labels, write_small_mnist
from tests.helpers.remains import differences, remains
from tests.helpers.runner import compose_config
from vaelab.app.resume import resume
from vaelab.app.start import train
from vaelab.steps import stepper

KEYS = {
    **{"model": "bernoulli", "data": "mnist", "data.val_size": "100", "data.batch_size": "16"},
    **{"network.hidden": "[30]", "latent_dim": "3", "scheduler": "exponential", "callbacks": "early_stopping"},
    **{"~callbacks.pictures": "", "objective.samples": "2", "trainer.max_epochs": "6"},
    **{"trainer.log_every_n_steps": "10", "callbacks.last.seconds": "0.02"},
}
KINDS = {  # what each changes in KEYS
    "as it is": "trainer.max_epochs=15",
    "bernoulli posterior": "posterior=bernoulli prior=bernoulli objective.gradient=gumbel_softmax",
    "learned bernoulli prior": "posterior=bernoulli prior=bernoulli prior.learned=true "
    "objective.gradient=score_function",
    "categorical posterior": "posterior=categorical posterior.categories=4 prior=categorical "
    "objective.gradient=score_function_baseline",
    "mixture posterior": "posterior=mixture",
    "flow posterior": "posterior=flow posterior.hidden=[8]",
    "two layers": "posterior=two_layers prior=two_layers +network.decoder.inputs=2",
    "flow prior": "prior=flow prior.hidden=[8] objective.gradient=stl",
    "spline prior": "prior=flow prior.hidden=[8] prior.kind=spline",
    "mixture prior": "prior=mixture prior.components=3",
    "vamp": "prior=vamp prior.components=5",
    "vamp with conditions": "prior=vamp prior.components=5 condition=label",
    "conditional prior": "prior=conditional prior.hidden=[5] condition=label",
    "piwae and vimco": "objective=piwae objective.groups=2 objective.gradient=vimco "
    "posterior=bernoulli prior=bernoulli",
    "miwae and gumbel": "objective=miwae objective.groups=2 objective.gradient=gumbel_softmax "
    "posterior=bernoulli prior=bernoulli",
    "iwae and dreg": "objective=iwae objective.gradient=dreg",
    "ciwae": "objective=ciwae",
    "renyi": "objective=renyi",
    "beta_tc": "objective=beta_tc score=val/loss",
    "info": "objective=info score=val/loss",
    "free bits, cyclical": "objective.free_bits=0.1 objective.beta_schedule=cyclical score=val/loss",
    "capacity": "objective.capacity=2 score=val/loss",
    "conv": "network=conv network.channels=[3,4] network.hidden=[7]",
    "residual": "network=residual network.channels=[3,4] network.hidden=[7]",
    "gated_mlp": "network=gated_mlp network.hidden=[9]",
    "discretized_logistic": "model=discretized_logistic model.components=2",
    "continuous_bernoulli": "model=continuous_bernoulli",
    "low_rank": "model=low_rank model.rank=2",
    "student_t": "model=student_t model.df=learned",
    "laplace": "model=laplace",
    "optimal variance": "model=gaussian_isotropic model.optimal=true",
    "columns": "model=columns data=table data.path=PLACE/table.csv",
    "columns with conditions": "model=columns condition=[kind,age] data=table data.path=PLACE/table.csv",
}


def keys_of(kind: str, place: Path) -> list[str]:
    """The overrides of a kind of run."""
    changed = dict(key.partition("=")[::2] for key in KINDS[kind].replace("PLACE", str(place)).split())
    keys = KEYS | {"data.root": str(place / "images")} | changed
    if keys["data"] == "table":
        del keys["data.root"]
    return [f"{key}={value}".removesuffix("=") for key, value in keys.items()]


def write_table(path: Path, rows: int) -> None:
    """A table with a real number, a count, a 0/1 and a category in each row."""
    chance = random.Random(0)
    lines = [
        f"{chance.gauss(30, 9):.3f},{chance.randrange(9)},{chance.randrange(2)},{chance.choice('abc')}"
        for _ in range(rows)
    ]
    path.write_text("\n".join(["age,visits,member,kind", *lines]) + "\n")


def start(work: Callable[[], object], log: Path) -> int:
    """Does the work in a fork, and returns its process id."""
    if process := os.fork():
        return process
    code = 1
    try:
        with log.open("a") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        work()
        code = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def wait(process: int, seconds: float = 120.0) -> int:
    """Returns the exit code, negative for a signal."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return -signal.SIGALRM


def kill_after(process: int, seconds: float) -> bool:
    """Returns True if it was still alive."""
    time.sleep(seconds)
    done, _ = os.waitpid(process, os.WNOHANG)
    if done:
        return False
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.drills.kill", description=__doc__)
    parser.add_argument("kinds", nargs="*", default=list(KINDS), help="of runs, as KINDS names them; all unless given")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--begin", type=float, default=0.0, help="the fraction of a run before which nothing is killed")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    stepper.TRACE_AFTER = 200  # so that kills come before and after
    chance = random.Random(asked.seed)
    place = Path(tempfile.mkdtemp(prefix="kill-drill-"))
    write_small_mnist(place / "images", train=900, test=60, rows=8, columns=9)
    write_idx_labels(place / "images" / TRAIN_LABELS, torch.arange(900) % 3)
    write_idx_labels(place / "images" / TEST_LABELS, torch.arange(60) % 3)
    write_table(place / "table.csv", rows=900)

    def begin(folder: Path) -> int:
        return start(lambda: train(compose_config(folder, *keys_of(kind, place))), place / "log.txt")

    def resumed(folder: Path) -> int:
        if not (folder / "checkpoints" / "last.ckpt").is_file():  # killed before training began
            shutil.rmtree(folder, ignore_errors=True)
            return begin(folder)
        return start(lambda: resume({"resume": str(folder)}), place / "log.txt")

    began, lasts, wholes = time.monotonic(), {}, {}
    same = kills = before = ends = 0
    while kills < asked.kills:
        kind = asked.kinds[kills % len(asked.kinds)]
        if kind not in wholes:
            started, folder = time.monotonic(), place / f"whole {kind}"
            if wait(begin(folder)):
                sys.exit(f"error: {kind}: the uninterrupted run failed; see {place / 'log.txt'}")
            lasts[kind], wholes[kind] = time.monotonic() - started, remains(folder)
            print(f"{kind}: the whole run takes {lasts[kind]:.1f} s", flush=True)
        folder = place / f"run{kills}"
        if not kill_after(begin(folder), chance.uniform(asked.begin, 1.02) * lasts[kind]):
            ends += 1  # it was over
            shutil.rmtree(folder)
            continue
        kills += 1
        before += not (folder / "checkpoints" / "last.ckpt").is_file()
        if chance.random() < 1 / 3:
            kill_after(resumed(folder), chance.uniform(0, lasts[kind]))
        code = wait(resumed(folder))
        is_done = (folder / "metrics.json").is_file()
        found = differences(wholes[kind], remains(folder)) if is_done else ["no metrics.json"]
        if code or found:
            print(f"kill {kills}, {kind}: exit code {code}; {found[:5]}; {folder}", flush=True)
        else:
            same += 1
            shutil.rmtree(folder)
        if kills % 10 == 0:
            print(f"{same} of {kills} ended bit-identical", flush=True)
    minutes = (time.monotonic() - began) / 60
    print(
        f"{same} of {kills} ended bit-identical, {before} of them killed before the first checkpoint; {minutes:.1f} min"
    )
    if same < kills:
        sys.exit(1)
    shutil.rmtree(place)


if __name__ == "__main__":
    main()
