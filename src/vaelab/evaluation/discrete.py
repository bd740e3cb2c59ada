"""Discrete latents: variables with a few classes each, as they appear in z.

A binary variable is one number of z, 0 or 1. A categorical variable is K numbers of z, a one-hot vector.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, MixtureSameFamily

from vaelab.families.bernoulli import JointBernoulli
from vaelab.families.one_hot import OneHots


class Variables(NamedTuple):
    """How discrete variables lie in z.

    Attributes:
        classes: the number of classes of each variable.
        columns: how many numbers of z belong to each variable: 1 if it is binary, else one for each class.
    """

    classes: int
    columns: int

    def classes_in(self, z: Tensor) -> Tensor:
        """z (…, numbers) -> the class of each variable, (…, variables), whole numbers."""
        return z.long() if self.columns == 1 else z.unflatten(-1, (-1, self.columns)).argmax(-1)

    def probabilities(self, mean: Tensor) -> Tensor:
        """E[z] (…, numbers) -> the probability of each class, (…, variables, classes)."""
        if self.columns == 1:
            return torch.stack([1 - mean, mean], dim=-1)
        return mean.unflatten(-1, (-1, self.columns))

    def walk(self, z: Tensor, variable: int) -> Tensor:
        """z (numbers,) with one variable at each of its classes, (classes, numbers)."""
        each = z.repeat(self.classes, 1)
        own = slice(variable * self.columns, (variable + 1) * self.columns)
        eye = torch.eye(self.classes, dtype=z.dtype, device=z.device)
        each[:, own] = eye if self.columns > 1 else eye[:, 1:].sum(-1, keepdim=True)
        return each

    def path(self, start: Tensor, end: Tensor, steps: int) -> Tensor:
        """From one z (numbers,) to another: the variables that differ change one after the other -> (steps, numbers).

        >>> Variables(2, 1).path(torch.tensor([0.0, 1.0, 0.0]), torch.tensor([1.0, 1.0, 1.0]), 3).tolist()
        [[0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]
        """
        differ = (self.classes_in(start) != self.classes_in(end)).nonzero().flatten()
        changed = torch.linspace(0, len(differ), steps).round().long().tolist()
        points = start.repeat(steps, 1).unflatten(-1, (-1, self.columns))
        for point, count in zip(points, changed, strict=True):
            point[differ[:count]] = end.unflatten(-1, (-1, self.columns))[differ[:count]]
        return points.flatten(-2)


def variables_of(distribution: Distribution) -> Variables | None:
    """How the variables of a discrete distribution over z lie in it; None if it is not one of vaelab's discrete ones.

    >>> from vaelab.families import Bernoulli, DiagonalGaussian
    >>> variables_of(Bernoulli((3,))(torch.zeros(3))), variables_of(DiagonalGaussian((3,))(torch.zeros(6)))
    (Variables(classes=2, columns=1), None)
    """
    while isinstance(distribution, MixtureSameFamily):
        distribution = distribution.component_distribution
    if isinstance(distribution, JointBernoulli):
        return Variables(2, 1)
    return Variables(distribution.classes, distribution.classes) if isinstance(distribution, OneHots) else None


def representative(q: Distribution) -> Tensor:
    """The z that stands for q(z|x), (…, p): its mean; or its mode if z is discrete, because a decoder knows no others.

    >>> from vaelab.families import Bernoulli
    >>> representative(Bernoulli((3,))(torch.tensor([-1.0, 2.0, 0.1])))
    tensor([0., 1., 1.])
    """
    found: Any = q
    return found.mode if variables_of(q) else q.mean
