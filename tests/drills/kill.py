"""Kills runs with SIGKILL at random moments, resumes each, and compares: python -m tests.drills.kill --kills 100.

Each run is a fork of this process, which has everything imported, so that a kill costs seconds. A third of the runs are
killed again while they go on.
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

from tests.helpers.idx_files import write_small_mnist
from tests.helpers.remains import differences, remains
from tests.helpers.runner import compose_config
from vaelab.app.resume import resume
from vaelab.app.start import train
from vaelab.steps import stepper

KEYS = (
    *(
        "model=bernoulli",
        "data=mnist",
        "data.val_size=100",
        "data.batch_size=16",
        "network.hidden=[30]",
        "latent_dim=3",
    ),
    *("scheduler=exponential", "callbacks=early_stopping", "~callbacks.pictures", "objective.samples=2"),
    *("trainer.max_epochs=15", "trainer.log_every_n_steps=10", "callbacks.last.seconds=0.02"),
)


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
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    stepper.TRACE_AFTER = 200  # so that kills come before and after
    chance = random.Random(asked.seed)
    place = Path(tempfile.mkdtemp(prefix="kill-drill-"))
    write_small_mnist(place / "images", train=900, test=60, rows=8, columns=9)
    keys = [*KEYS, f"data.root={place / 'images'}"]

    def begin(folder: Path) -> int:
        return start(lambda: train(compose_config(folder, *keys)), place / "log.txt")

    def go_on(folder: Path) -> int:
        if not (folder / "checkpoints" / "last.ckpt").is_file():  # killed before training began
            shutil.rmtree(folder, ignore_errors=True)
            return begin(folder)
        return start(lambda: resume({"resume": str(folder)}), place / "log.txt")

    began = time.monotonic()
    if wait(begin(place / "whole")):
        sys.exit(f"error: the run that nobody kills failed; see {place / 'log.txt'}")
    lasts = time.monotonic() - began
    whole = remains(place / "whole")
    curve = len(whole["curves"]["train/elbo"])
    print(f"the whole run takes {lasts:.1f} s, {curve} points of train/elbo; {asked.kills} kills", flush=True)
    same = kills = before = ends = 0
    while kills < asked.kills:
        folder = place / f"run{kills}"
        if not kill_after(begin(folder), chance.uniform(0, 1.02 * lasts)):
            ends += 1  # it was over
            shutil.rmtree(folder)
            continue
        kills += 1
        before += not (folder / "checkpoints" / "last.ckpt").is_file()
        if chance.random() < 1 / 3:
            kill_after(go_on(folder), chance.uniform(0, lasts))
        code = wait(go_on(folder))
        found = ["no metrics.json"] if not (folder / "metrics.json").is_file() else differences(whole, remains(folder))
        if code or found:
            print(f"kill {kills}: exit code {code}; {found[:5]}; {folder}", flush=True)
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
