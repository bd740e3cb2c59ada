"""Prints what compiling one gradient costs and saves, as JSON: python -m benchmarks.compiling OVERRIDE…"""

import json
import sys
import time
from collections.abc import Callable
from statistics import median

import torch

from benchmarks.cases import Case
from vaelab.steps.traced_gradient import TracedGradient
from vaelab.training import worthwhile_threads

TURNS, CALLS = 21, 20


def main() -> None:
    module, data = Case("compiling", tuple(sys.argv[1:])).build()
    torch.set_num_threads(worthwhile_threads(module, data.batch_size))
    batch = next(iter(data.train_dataloader()))
    TracedGradient(module.vae, module.objective, batch)  # imports the tracer
    start = time.perf_counter()
    traced = TracedGradient(module.vae, module.objective, batch)
    middle = time.perf_counter()
    compiled = TracedGradient(module.vae, module.objective, batch, compiled=True)
    seconds = time.perf_counter() - middle - (middle - start)
    turns = [(per_call(traced, *batch), per_call(compiled, *batch)) for _ in range(TURNS)]
    taken = [median(column) for column in zip(*turns, strict=True)]
    print(json.dumps({"seconds": seconds, "traced": taken[0], "compiled": taken[1]}))


def per_call(take: Callable[..., object], *batch: torch.Tensor) -> float:
    """The seconds that a call takes."""
    start = time.perf_counter()
    for _ in range(CALLS):
        take(*batch)
    return (time.perf_counter() - start) / CALLS


if __name__ == "__main__":
    main()
