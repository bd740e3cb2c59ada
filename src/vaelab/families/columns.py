"""A family for each column of a mixed table, chosen by the column's kind."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaelab.checks import check_choice
from vaelab.families.bernoulli import Bernoulli
from vaelab.families.categorical import Categorical
from vaelab.families.family import Family, Support
from vaelab.families.gaussian import DiagonalGaussian, SharedDiagonalGaussian
from vaelab.families.joint_columns import JointColumns, Part
from vaelab.families.laplace import Laplace
from vaelab.families.learned_scale import INIT_STD, MIN_STD
from vaelab.families.negative_binomial import NegativeBinomial
from vaelab.families.poisson import Poisson
from vaelab.families.student_t import StudentT
from vaelab.precision import in_full
from vaelab.supports import outside

Kind = Literal["real", "count", "category", "binary"]

REAL: Mapping[str, type[Family]] = {
    "gaussian": DiagonalGaussian,
    "gaussian_shared": SharedDiagonalGaussian,
    "laplace": Laplace,
    "student_t": StudentT,
}
COUNT: Mapping[str, type[Family]] = {"poisson": Poisson, "negative_binomial": NegativeBinomial}
WANTED = {
    "count": "a whole number from 0",
    "category": "the number of a category, from 0 to {last}",
    "binary": "0 or 1",
}


class Columns(Family):
    """p(t|z) = Π_m p_m(t_m|z): each column of a mixed table has its own family, chosen by its kind.

    log p(t|z) is a sum of log-densities of the real columns and log-probabilities of all others, in nats. So compare it
    only with scores of the same columns of the same kinds. Nazábal et al. 2020, arxiv.org/abs/1807.03653.

    >>> family = Columns((3,), kinds=["real", "count", "category"], categories=[0, 0, 5])
    >>> family.num_parameters, family(torch.zeros(7, 9)).batch_shape
    (9, torch.Size([7]))

    Args:
        event_shape: the shape of one row; its numbers are the columns.
        kinds: the kind of each column: `real`, `count` (whole numbers from 0), `category` (0 to K−1) or `binary`.
        categories: K of each column that is a category; the entries of other columns are ignored.
        real: the family of real columns: `gaussian`, `gaussian_shared`, `laplace` or `student_t`.
        count: the family of counts: `negative_binomial` or `poisson`.
        min_std: the floor of σ of each real column.
        init_std: about where σ starts.

    Raises:
        ValueError: the kinds are missing, or there is not one for each column; or a setting is out of range.
    """

    pure = True
    support: ClassVar[Support] = "mixed"

    def __init__(
        self,
        event_shape: Sequence[int],
        kinds: Sequence[Kind] | None = None,
        categories: Sequence[int] | None = None,
        real: Literal["gaussian", "gaussian_shared", "laplace", "student_t"] = "gaussian",
        count: Literal["negative_binomial", "poisson"] = "negative_binomial",
        min_std: float = MIN_STD,
        init_std: float = INIT_STD,
    ) -> None:
        super().__init__(event_shape)
        self.kinds = _kinds(kinds, self.event_size)
        self.categories = _categories(self.kinds, categories)
        self.real, self.count = check_choice("real", real, REAL), check_choice("count", count, COUNT)
        self.min_std, self.init_std = min_std, init_std
        columns = list(zip(self.kinds, self.categories, strict=True))
        places = {group: [m for m, own in enumerate(columns) if own == group] for group in dict.fromkeys(columns)}
        self.groups = tuple(kind for kind, _ in places)
        self.parts = nn.ModuleList(self._family(*group, len(place)) for group, place in places.items())
        self.sizes = [part.num_parameters for part in self._families]
        self.num_parameters = sum(self.sizes)
        for number, place in enumerate(places.values()):
            self.register_buffer(f"place_{number}", torch.tensor(place), persistent=False)
        self.register_buffer("order", torch.tensor([*chain(*places.values())]).argsort(), persistent=False)
        self.order: Tensor

    def _family(self, kind: str, categories: int, count: int) -> Family:
        """The family of all columns of one kind."""
        if kind == "category":
            return Categorical((count,), categories=categories)
        if kind == "real":
            scales: Any = {"min_std": self.min_std, "init_std": self.init_std}
            return REAL[self.real]((count,), **scales)
        return Bernoulli((count,)) if kind == "binary" else COUNT[self.count]((count,))

    @property
    def _families(self) -> list[Family]:
        return list(self.parts)  # type: ignore[arg-type]

    @property
    def _places(self) -> list[Tensor]:
        """The columns of each part, counted from 0."""
        return [getattr(self, f"place_{number}") for number in range(len(self.parts))]

    def forward(self, parameters: Tensor) -> Distribution:
        """(…, num_parameters) numbers: those of each kind in turn -> a product over columns, batch_shape (…)."""
        numbers = parameters.split(self.sizes, dim=-1)
        made = [part(own) for part, own in zip(self._families, numbers, strict=True)]
        parts = [Part(*each) for each in zip(self.groups, self._places, made, strict=True)]
        return JointColumns(parts, self.order, self.event_shape)

    def at_mean(self, mean: Tensor) -> Tensor:
        """The data's mean, event_shape -> the numbers to start at. The mean says nothing about categories."""
        found = []
        for kind, part, place in zip(self.groups, self._families, self._places, strict=True):
            start = None if kind == "category" else part.at_mean(mean.flatten()[place])
            found.append(mean.new_zeros(part.num_parameters) if start is None else start)
        return torch.cat(found)

    def fit_(self, target: Tensor) -> Tensor:
        """See `Family.fit_`: the optimum of each column's own family."""
        rows = target.flatten(1)
        return torch.cat([part.fit_(rows[:, place]) for part, place in zip(self._families, self._places, strict=True)])

    def check_target(self, target: Tensor) -> None:
        """Raises a ValueError if a number of the targets, (…, *event_shape), is not of its column's kind."""
        columns = target.flatten(-len(self.event_shape)).flatten(0, -2).unbind(-1)
        for number, (values, kind, count) in enumerate(zip(columns, self.kinds, self.categories, strict=True), 1):
            if bool((bad := outside(values, kind, count)).any()):
                raise ValueError(
                    f"each value in column {number} of the target, a {kind}, must be "
                    f"{WANTED[kind].format(last=count - 1)}, but one is {in_full(values[bad][0])}; correct it, or "
                    "train a model with another kind for this column"
                )


def _kinds(kinds: Sequence[Kind] | None, columns: int) -> tuple[Kind, ...]:
    if kinds is None:
        raise ValueError(
            "kinds must say for each column if it is real, count, category or binary, but is null; use data=table, "
            "which finds them out"
        )
    for kind in kinds:
        check_choice("each of kinds", kind, get_args(Kind))
    if len(kinds) != columns:
        raise ValueError(f"kinds must have one entry for each of the {columns} columns, but has {len(kinds)}")
    return tuple(kinds)


def _categories(kinds: Sequence[Kind], categories: Sequence[int] | None) -> tuple[int, ...]:
    """The count of categories of each column, and 0 for other kinds."""
    given = [0] * len(kinds) if categories is None else list(categories)
    if len(given) != len(kinds):
        raise ValueError(f"categories must have one entry for each of the {len(kinds)} columns, but has {len(given)}")
    found = tuple(count if kind == "category" else 0 for kind, count in zip(kinds, given, strict=True))
    for kind, count in zip(kinds, found, strict=True):
        if kind == "category" and (type(count) is not int or count < 2):
            raise ValueError(
                f"categories must be a whole number of at least 2 for each column of categories, but one is {count}"
            )
    return found
