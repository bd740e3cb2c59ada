"""The processes of a DDP run: how they add up numbers, agree on decisions, and end."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor, distributed


def sum_over_processes(numbers: Tensor) -> Tensor:
    """The sum over all processes, in the same shape."""
    distributed.all_reduce(numbers)
    return numbers


def agree(signal: int | None, decisions: Sequence[bool], device: torch.device) -> tuple[int | None, list[bool]]:
    """The signal that any process has received, and for each decision, True if any process decided so."""
    shared = torch.tensor([signal or 0, *decisions], device=device)
    distributed.all_reduce(shared, distributed.ReduceOp.MAX)
    agreed, *others = shared.tolist()
    return agreed or None, list(map(bool, others))


@contextmanager
def ddp_processes(trainer: Trainer) -> Iterator[None]:
    """Waits for the processes that the first one has started; kills them if the run fails.

    Raises:
        ChildProcessError: one of them failed.
    """
    launcher = trainer.strategy.launcher
    try:
        yield
        for process in getattr(launcher, "procs", []):
            process.wait()
    except BaseException as error:
        processes = getattr(launcher, "procs", [])
        lost = _exit_code(processes) if isinstance(error, RuntimeError) else None  # a connection was lost
        for process in processes:
            process.kill()  # only the first process writes files, so nothing is lost
        if lost:
            raise ChildProcessError(
                f"one of the run's {trainer.world_size} processes ended with exit code {lost}, so the others stopped "
                "too; read its messages, or check the free memory"
            ) from error
        raise


def _exit_code(processes: Sequence[Any], seconds: float = 2.0) -> int | None:
    """The exit code of a process that failed. Its connection is lost a moment before it ends."""
    until = time.monotonic() + seconds
    while True:
        if codes := [code for process in processes if (code := process.poll())]:
            return int(codes[0])
        if not processes or time.monotonic() > until:
            return None
        time.sleep(0.01)
