"""Contenders take turns on one case, and each turn is compared with the bare loop's turn next to it."""

import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cases import Case
from benchmarks.turns import Contender

LOOPS = ("bare", "plain", "lightning", "pythae")
SAVE_EVERY = 500  # steps between two checkpoints
WARM_UP = 1200  # steps that are not counted: vaelab traces its gradient after 500


@dataclass(frozen=True)
class Quartiles:
    """Median and quartiles over turns."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Quartiles":
        low, median, high = np.percentile(values, [25, 50, 75])
        return cls(float(median), float(low), float(high))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def available() -> tuple[str, ...]:
    """The contenders whose packages are installed, the bare loop first."""
    return ("bare", "train.py", "compiled", *(loop for loop in LOOPS[1:] if loop != "pythae" or find_spec("pythae")))


def race(
    case: Case, names: Sequence[str], turns: int, log: Path, warm_up: int = WARM_UP, device: str = "cpu"
) -> dict[str, list[dict[str, Any]]]:
    """-> for each contender its turns: steps, seconds of `train` and of the `whole` turn, and peak_bytes.

    The machine's rate of matrix products comes as the contender `matmul`, with its `flops` per second.
    """
    taken: dict[str, list[dict[str, Any]]] = {name: [] for name in (*names, "matmul")}
    with ExitStack() as stack:
        contenders = {}
        for name in names:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            contenders[name] = Contender(_command(name, case, folder, device), log / f"{case.name}-{name}.log")
            stack.callback(contenders[name].end)
            steps = 0
            while steps < warm_up:
                steps += contenders[name].take_turn()["steps"]
        for turn in range(turns):
            taken["matmul"].append({"flops": matmul_rate(device)})
            for place in range(len(names)):  # in each turn another one goes first
                name = names[(turn + place) % len(names)]
                time.sleep(0.02)  # the previous contender's threads keep spinning for a while
                taken[name].append(contenders[name].take_turn())
    return taken


def _command(name: str, case: Case, folder: str, device: str) -> list[str]:
    if name in LOOPS:
        return ["-m", "benchmarks.loops", name, str(case.epochs), folder, device, *case.overrides]
    turns = ["+callbacks.turns._target_=benchmarks.turns.Turns", f"+callbacks.turns.epochs={case.epochs}"]
    return [
        "train.py",
        *case.overrides,
        *turns,
        f"compile={name == 'compiled'}",
        "callbacks.last.seconds=null",  # the clock keeps running while a contender waits for its turn
        f"callbacks.last.every_n_steps={SAVE_EVERY}",
        f"trainer.accelerator={device}",
        "trainer.max_epochs=-1",
        f"hydra.run.dir={folder}",
    ]


def matmul_rate(device: str = "cpu", repeats: int = 3) -> float:
    """Floating-point operations per second of float32 square matrix products, the best of a few."""
    size = 1536 if device == "cpu" else 8192
    a, b = torch.randn(2, size, size, device=device)
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        (a @ b)[0, 0].item()  # waits for a GPU
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def per_step(turns: Sequence[dict[str, Any]], key: str) -> list[float]:
    """Seconds per optimiser step of each turn."""
    return [turn[key] / turn["steps"] for turn in turns if key in turn]


def ratio(taken: dict[str, list[dict[str, Any]]], name: str, other: str, key: str) -> Quartiles | None:
    """The ratio of two contenders' times per step in the same turns; None if one was not timed."""
    pairs = zip(per_step(taken[name], key), per_step(taken[other], key), strict=False)
    ratios = [own / others for own, others in pairs]
    return Quartiles.of(ratios) if ratios else None


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__, "gpu": gpu}
