"""One run on several processes (DDP): their shares of a minibatch, and what they must agree on.

Each process sees every world-th row of a minibatch and adds to its loss what those rows add to the mean. So the weights
are those of one process with the whole minibatch, up to the order of summation: seeds are equal, and so are draws.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor, distributed
from torch.overrides import TorchFunctionMode

from vaelab.objectives import Terms


class Share(TorchFunctionMode):
    """A process's part of a minibatch; inside, what is drawn for its rows is what one process would draw for them.

    That holds for normal draws with the batch as their second dimension, (L, B, p), as in all of vaelab's posteriors.
    Other draws are valid, but not those of one process.

    Args:
        rank: of the process.
        world: the number of processes.
        examples: n, the rows of the minibatch in all of them.
    """

    def __init__(self, rank: int, world: int, examples: int) -> None:
        super().__init__()
        self.rank, self.world, self.examples = rank, world, examples

    def counted(self, terms: Terms) -> Terms:
        """(rows,) -> (rows,), or (0,) of the row that stands in where a minibatch has none for this process."""
        return terms if self.rank < self.examples else Terms(*(term[:0] for term in terms))

    def mean(self, loss: Tensor) -> Tensor:
        """(rows,) -> (), what averages over the processes to the mean over the minibatch."""
        return loss.sum() * (self.world / self.examples)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        own = range(self.rank, self.examples, self.world) or range(1)
        if function not in (torch.normal, Tensor.normal_) or args[0].shape[1:2] != (len(own),):
            return function(*args, **(kwargs or {}))
        drawn = args[0].new_empty(len(args[0]), self.examples, *args[0].shape[2:])
        if function is Tensor.normal_:
            return args[0].copy_(drawn.normal_(*args[1:], **(kwargs or {}))[:, own])
        mean, std = args
        return mean + std * drawn.normal_()[:, own]


def add_up(numbers: Tensor) -> Tensor:
    """The sum over the processes, of the same shape."""
    distributed.all_reduce(numbers)
    return numbers


def agree(asked: int | None, decisions: Sequence[bool], device: torch.device) -> tuple[int | None, list[bool]]:
    """What any process wants, all do: the signal that one has got before, and each decision."""
    told = torch.tensor([asked or 0, *decisions], device=device)
    distributed.all_reduce(told, distributed.ReduceOp.MAX)
    agreed, *others = told.tolist()
    return agreed or None, list(map(bool, others))


@contextmanager
def companions(trainer: Trainer) -> Iterator[None]:
    """Ends the processes that the first one has started for its run, when that ends inside.

    Raises:
        ChildProcessError: one of them ended before.
    """
    launcher = trainer.strategy.launcher
    try:
        yield
        for process in getattr(launcher, "procs", []):
            process.wait()
    except BaseException as error:
        processes = getattr(launcher, "procs", [])
        lost = _first_code(processes) if isinstance(error, RuntimeError) else None  # the connection's
        for process in processes:
            process.kill()  # it has nothing that anybody waits for
        if lost:
            raise ChildProcessError(
                f"one of the run's {trainer.world_size} processes ended with exit code {lost}, so the others stopped "
                "too; see what it said, or the memory left"
            ) from error
        raise


def _first_code(processes: Sequence[Any], seconds: float = 2.0) -> int | None:
    """The exit code of one that failed; a connection is lost a moment before its process has ended."""
    until = time.monotonic() + seconds
    while True:
        if codes := [code for process in processes if (code := process.poll())]:
            return int(codes[0])
        if not processes or time.monotonic() > until:
            return None
        time.sleep(0.01)
