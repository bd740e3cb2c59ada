"""Taking turns: only one of several processes works at a time, so the machine is the same for all of them."""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

ROOT = Path(__file__).parents[1]
PIPES = "VAELAB_BENCHMARK_PIPES"


class Turn:
    """The side of the timed process: it waits for its turn, and reports its times."""

    def __init__(self) -> None:
        read, write = map(int, os.environ[PIPES].split(","))
        self.start = os.fdopen(read)
        self.answer = os.fdopen(write, "w")

    def wait(self) -> None:
        """Waits until this process may work; ends the process if no more turns are asked for."""
        if not self.start.readline():
            os._exit(0)

    def report(self, **numbers: float) -> None:
        """Ends the turn."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({**numbers, "peak_bytes": peak}), file=self.answer, flush=True)


class Turns(Callback):
    """Makes a Lightning run take turns of some epochs, without a hook for each minibatch.

    A turn's `train` is the seconds from the start of an epoch to its validation, with the `last.ckpt` and the points of
    the curves that fall into it; `whole` is all of its seconds, with validation and `best.ckpt`.
    """

    def __init__(self, epochs: int = 1) -> None:
        self.turn = Turn()
        self.epochs = epochs
        self.done = 0
        self.train = 0.0
        self.started = self.epoch_started = self.first_step = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ends a turn that is complete, and waits for the next."""
        if self.done % self.epochs == 0:
            now = time.perf_counter()
            if self.done:
                steps = trainer.global_step - self.first_step
                self.turn.report(steps=steps, train=self.train, whole=now - self.started)
            self.turn.wait()
            self.train, self.started, self.first_step = 0.0, time.perf_counter(), trainer.global_step
        self.done += 1
        self.epoch_started = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Adds the time of an epoch's minibatches."""
        self.train += time.perf_counter() - self.epoch_started


class Contender:
    """Starts a process that takes turns.

    Args:
        command: after `python`.
        log: file for what it prints.
    """

    def __init__(self, command: list[str], log: Path) -> None:
        self.log = log
        read, ours = os.pipe()
        theirs, write = os.pipe()
        self.go, self.answers = os.fdopen(ours, "w"), os.fdopen(theirs)
        places = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, PIPES: f"{read},{write}", "PYTHONPATH": places}
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=environment,
                pass_fds=(read, write),
                stdout=output,
                stderr=output,
            )
        os.close(read)
        os.close(write)

    def take_turn(self) -> dict[str, Any]:
        """Gives the process a turn; -> its report."""
        print(file=self.go, flush=True)
        answer = self.answers.readline()
        if not answer:
            raise RuntimeError(f"a contender ended early; it said:\n{self.log.read_text()[-2000:]}")
        return json.loads(answer)

    def end(self) -> None:
        """Ends the process at once."""
        self.process.kill()
        self.process.wait()
        self.go.close()
        self.answers.close()
