"""Shows a network the categories of a table as one-hot vectors."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vaelab.instantiate import takes


class OneHotColumns(nn.Module):
    """A network whose input is a row of a mixed table, in which each column of categories becomes a one-hot vector.

    The vector of a code k is max(0, 1 − |k − j|) for j = 0, …, K−1. It is one-hot for whole k, and it has a gradient,
    so the pseudo-inputs of a VampPrior can be learned.

    >>> from vaelab.networks import MLP
    >>> network = OneHotColumns((3,), 4, network=MLP, categories=[0, 5, 0])
    >>> network(torch.zeros(7, 3)).shape, network.network.input_shape
    (torch.Size([7, 4]), (7,))

    Args:
        input_shape: (columns,), the shape of a row.
        output_size: the number of outputs.
        network: the constructor of the network.
        categories: how many categories each column has; 0 for a column of numbers, which stays as it is.
        condition_size, event_shape: passed on to the network.
    """

    pure = True

    def __init__(
        self,
        input_shape: Sequence[int],
        output_size: int,
        network: Callable[..., nn.Module],
        categories: Sequence[int],
        condition_size: int = 0,
        event_shape: Sequence[int] = (),
    ) -> None:
        super().__init__()
        if tuple(input_shape) != (len(categories),):
            raise ValueError(
                f"categories must have one entry for each column of x, but x has the shape {tuple(input_shape)} and "
                f"categories has {len(categories)}"
            )
        self.categories = tuple(categories)
        numbers = [column for column, count in enumerate(categories) if not count]
        coded = [column for column, count in enumerate(categories) for _ in range(count)]
        codes = [code for count in categories for code in range(count)]
        self.register_buffer("numbers", torch.tensor(numbers, dtype=torch.long), persistent=False)
        self.register_buffer("coded", torch.tensor(coded, dtype=torch.long), persistent=False)
        self.register_buffer("codes", torch.tensor(codes, dtype=torch.get_default_dtype()), persistent=False)
        self.numbers: Tensor
        self.coded: Tensor
        self.codes: Tensor
        more: dict[str, Any] = {"condition_size": condition_size} if condition_size else {}
        more |= {"event_shape": event_shape} if event_shape and takes(network, "event_shape") else {}
        self.network = network((len(numbers) + len(coded),), output_size, **more)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """x (…, columns), and a condition (…, c) for a conditional network -> (…, output_size)."""
        coded = (1 - (x.index_select(-1, self.coded) - self.codes).abs()).clamp_min(0)  # (…, all categories)
        wide = torch.cat([x.index_select(-1, self.numbers), coded], dim=-1)
        output: Tensor = self.network(wide) if condition is None else self.network(wide, condition)
        return output
