"""A user's own network."""

import math
from itertools import pairwise

from torch import nn


class Linear(nn.Module):
    """A linear map of its flattened input, through layers with the widths in `hidden`."""

    def __init__(self, shape, outputs, hidden=()):
        super().__init__()
        self.hidden = hidden
        widths = [math.prod(shape), *hidden, outputs]
        self.dims = len(shape)
        self.layers = nn.Sequential(*(nn.Linear(*pair) for pair in pairwise(widths)))

    def forward(self, given):
        return self.layers(given.flatten(-self.dims))


class Forgetful(Linear):
    """A network that does not keep an argument of its constructor."""

    def __init__(self, shape, outputs, width=4):
        super().__init__(shape, outputs, [width])
