"""The distribution of a row whose columns have different families."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from vaelab.families.moments import with_moments
from vaelab.families.rescaled import rescaled
from vaelab.precision import floating


class Part(NamedTuple):
    """The columns of one kind.

    Attributes:
        kind: `real`, `count`, `category` or `binary`.
        place: (n,), their places in the row, counted from 0.
        p: their distribution, batch_shape (…), event_shape (n,).
    """

    kind: str
    place: Tensor
    p: Distribution


class JointColumns(Distribution):
    """p(t) = Π_m p_m(t_m): a product over the columns of a row. log p is a sum of log-densities and log-probabilities.

    Every value is a number: a category is its code, from 0 to K−1. The mean and the standard deviation of a category
    are those of its code, so they depend on the order of the categories. `mode` is the likeliest value of each column.

    Args:
        parts: the columns of each kind.
        order: (columns,), the place of each column of the row among the columns of all parts, side by side.
        event_shape: the shape of the row.

    >>> from vaelab.families import Columns
    >>> columns = Columns((2,), kinds=["real", "category"], categories=[0, 3])
    >>> p = columns(torch.zeros(7, columns.num_parameters))
    >>> p.mode[0], p.log_prob(torch.tensor([0.0, 2.0])).shape
    (tensor([0., 0.]), torch.Size([7]))
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}
    has_rsample = False

    def __init__(self, parts: Sequence[Part], order: Tensor, event_shape: torch.Size) -> None:
        self.parts, self.order = [part._replace(p=with_moments(part.p)) for part in parts], order
        super().__init__(parts[0].p.batch_shape, event_shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """(…, *event_shape) -> (…), nats."""
        flat = self._flat(value)
        return torch.stack([part.p.log_prob(flat.index_select(-1, part.place)) for part in self.parts]).sum(0)

    @property
    def mean(self) -> Tensor:
        """(…, *event_shape)."""
        return self._joined([part.p.mean for part in self.parts])

    @property
    def variance(self) -> Tensor:
        """(…, *event_shape)."""
        return self._joined([part.p.variance for part in self.parts])

    @property
    def mode(self) -> Tensor:
        """(…, *event_shape): the likeliest value of each column; all families of real columns have it at their mean."""
        return self._joined([part.p.mean if part.kind == "real" else part.p.mode for part in self.parts])

    @property
    def kinds(self) -> list[str]:
        """The kind of each column, in their order in the row."""
        side_by_side = [part.kind for part in self.parts for _ in range(len(part.place))]
        return [side_by_side[place] for place in self.order.tolist()]

    @property
    def probabilities(self) -> dict[int, Tensor]:
        """Column of categories, counted from 0 -> the probability of each, (…, K)."""
        found: dict[int, Tensor] = {}
        for part in self.parts:
            if part.kind == "category":
                each: Tensor = part.p.base_dist.probs  # type: ignore[attr-defined]
                found |= dict(zip(part.place.tolist(), each.unbind(-2), strict=True))
        return found

    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """(*sample_shape, …, *event_shape), without a gradient."""
        return self._joined([part.p.sample(torch.Size(sample_shape)) for part in self.parts])

    def rescaled(self, loc: Tensor, scale: Tensor) -> "JointColumns":
        """The distribution in other units, t = loc + scale·u. Only columns of real numbers have units.

        Args:
            loc: the shift, event_shape.
            scale: the positive factors, event_shape.
        """
        units = loc.flatten(), scale.flatten()
        parts = [
            part._replace(p=rescaled(part.p, *(each[part.place] for each in units))) if part.kind == "real" else part
            for part in self.parts
        ]
        return JointColumns(parts, self.order, self.event_shape)

    def _flat(self, value: Tensor) -> Tensor:
        if not isinstance(value, Tensor):
            floating(value, self.order)  # raises the error about data that are no tensor
        return value.flatten(-len(self.event_shape))

    def _joined(self, columns: Sequence[Tensor]) -> Tensor:
        """The columns of each part, (…, n) -> all columns in their order in the row, (…, *event_shape)."""
        return torch.cat(list(columns), dim=-1).index_select(-1, self.order).unflatten(-1, self.event_shape)
