"""Paths in latent space, compared with scipy's."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.spatial import geometric_slerp

from vaelab.evaluation import latent_path

A, B = torch.tensor([0.6, 0.8, 0.0], dtype=torch.float64), torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)


def test_a_spherical_path_is_the_arc_of_scipy():
    arc = geometric_slerp(A.numpy(), B.numpy(), np.linspace(0, 1, 7))
    assert_allclose(latent_path(A, B, 7, "spherical"), arc, atol=1e-6)
    centre = torch.tensor([3.0, -1.0, 2.0])
    assert_allclose(latent_path(A + centre, B + centre, 7, "spherical", centre), arc + centre.numpy(), atol=1e-6)


def test_a_linear_path_has_equal_steps_and_keeps_its_ends():
    path = latent_path(2 * A, B, 5)
    assert torch.equal(path[[0, -1]], torch.stack([2 * A, B]))
    assert_allclose(path.diff(dim=0), (B - 2 * A).expand(4, 3) / 4, atol=1e-6)


@pytest.mark.parametrize("angle", [0.0, 1e-6, 1e-3])
def test_a_small_angle_gives_the_straight_line(angle):
    b = torch.tensor([np.cos(angle), np.sin(angle), 0.0], dtype=torch.float64)
    a = torch.tensor([2.0, 0.0, 0.0], dtype=torch.float64)
    assert_allclose(latent_path(a, b, 4, "spherical"), latent_path(a, b, 4), atol=1e-6)


@pytest.mark.parametrize("end", [-A, 0 * A])
def test_ends_without_an_arc_are_refused(end):
    with pytest.raises(ValueError, match="use --path linear"):
        latent_path(A, end, 3, "spherical")


def test_bad_paths_are_refused():
    with pytest.raises(ValueError, match="path must be one of linear, spherical, but is round"):
        latent_path(A, B, 3, "round")
    with pytest.raises(ValueError, match="steps must be a whole number of at least 2, but is 1"):
        latent_path(A, B, 1)
