"""Compares a traced gradient with the gradient itself."""

import torch

from vaelab import VAE
from vaelab.steps.gradient import Batch, Gradient, Objective, gradient
from vaelab.steps.traced_gradient import TracedGradient


def assert_the_same(vae: VAE, objective: Objective, data: Batch, traced: TracedGradient) -> Gradient:
    """Asserts that a trace gives the gradient of a batch and draws as much. Returns that gradient."""
    torch.manual_seed(1)
    expected = gradient(vae, objective, *data)
    after = torch.rand(3)
    torch.manual_seed(1)
    found = traced(*data)
    assert torch.equal(torch.rand(3), after)  # it drew as much
    assert found.names == expected.names
    assert torch.equal(found.loss, expected.loss)
    assert torch.equal(found.sums, expected.sums)
    for ours, theirs in zip(found.gradients, expected.gradients, strict=True):
        assert (ours is None) == (theirs is None)
        assert ours is None or torch.equal(ours, theirs)
    return expected
