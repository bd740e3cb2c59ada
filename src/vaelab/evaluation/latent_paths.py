"""Paths between two points of latent space."""

import torch
from torch import Tensor

from vaelab.checks import check_choice, check_whole

PATHS = ("linear", "spherical")
PARALLEL = 1e-4  # radians; a smaller angle makes both paths equal, and a larger one than π − this has no single arc


def latent_path(start: Tensor, end: Tensor, steps: int, path: str = "linear", centre: Tensor | None = None) -> Tensor:
    """Points on a path from `start` to `end`, both included: (p,), (p,) -> (steps, p).

    linear      (1 − s)·start + s·end
    spherical   sin((1 − s)ω)/sin ω · start + sin(sω)/sin ω · end, where ω is the angle between the two, seen from the
                centre (Shoemake 1985; White 2016, arxiv.org/abs/1609.04468)

    s takes evenly spaced values from 0 to 1.

    >>> latent_path(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 3, "spherical")[1]
    tensor([0.7071, 0.7071])

    Args:
        start: the first point.
        end: the last point.
        steps: the number of points, at least 2.
        path: `linear` or `spherical`.
        centre: (p,), the centre of the sphere; None is the origin.

    Raises:
        ValueError: `steps` or `path` is invalid, or there is no single arc, because a point is the centre or the two
            lie in opposite directions from it.
    """
    check_whole("steps", steps, 2)
    check_choice("path", path, PATHS)
    s = torch.linspace(0, 1, steps, dtype=torch.float64, device=start.device).unsqueeze(-1)  # (steps, 1)
    a, b = start.double(), end.double()
    if path == "spherical":
        middle = torch.zeros_like(a) if centre is None else centre.double()
        return (middle + _arc(a - middle, b - middle, s)).to(start)
    return ((1 - s) * a + s * b).to(start)


def _arc(a: Tensor, b: Tensor, s: Tensor) -> Tensor:
    """Points of the arc around the origin: (p,), (p,), (n, 1) -> (n, p)."""
    if not a.norm() or not b.norm():
        raise ValueError(
            "path must be linear if A or B is the centre of the sphere, because there is no arc then, but is "
            "spherical; use --path linear"
        )
    u, v = a / a.norm(), b / b.norm()
    angle = 2 * torch.atan2((u - v).norm(), (u + v).norm())  # exact for small angles too (Kahan 2006)
    if angle > torch.pi - PARALLEL:
        raise ValueError(
            "path must be linear if A and B lie in opposite directions, because no single arc joins them, but is "
            "spherical; use --path linear"
        )
    if angle < PARALLEL:  # the limit
        return (1 - s) * a + s * b
    return (((1 - s) * angle).sin() * a + (s * angle).sin() * b) / angle.sin()
