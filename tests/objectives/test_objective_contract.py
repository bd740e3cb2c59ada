"""The contract of every objective in helpers/choices.py, tested against integrals over a latent with one dimension."""

import pytest
import torch
from torch.testing import assert_close

from helpers.choices import (
    LIKELIHOODS,
    OBJECTIVES,
    ONE,
    diagonal,
    has_integrals,
    is_possible,
    learned_diagonal,
    named,
    pairwise,
)
from helpers.integrals import Integrals, model_and_example
from vaelab.families import rsample_and_log_prob

N, GROUPS = 4_096, 64
OF_GAUSSIANS = [row for row in OBJECTIVES if is_possible(diagonal, learned_diagonal, row)]


@torch.no_grad()
@pytest.mark.parametrize("combination", **named([each for each in pairwise() if has_integrals(*each[1:3])]))
def test_the_terms_average_to_their_integrals_and_the_bound_is_one(combination):
    likelihood, posterior, prior, row = combination
    vae, x, target = model_and_example(likelihood, posterior, prior)
    integrals = Integrals(vae, x, target)
    expected = integrals.terms(row)
    assert expected["elbo"] <= expected["bound"] + 1e-6
    assert expected["bound"] <= integrals.log_p() + 1e-6
    torch.manual_seed(2)
    terms = row.objective(vae, x.expand(N, -1), target.expand(N, -1))
    stratified = hasattr(integrals.q, "stratified_rsample") and row.objective.gradient in ("pathwise", "stl")
    for name, values in terms._asdict().items():
        assert values.shape == (N,)
        tolerance = 4.5 * values.view(GROUPS, -1).mean(-1).std() / GROUPS**0.5 + 1e-5  # a group may share a term
        if stratified and name in ("bound", "loss") and row.few is not ONE:  # draws of each component, not of all
            assert expected["elbo"] - tolerance < -terms.loss.mean() < integrals.log_p() + tolerance
            continue
        assert (values.mean() - expected[name]).abs() < tolerance, name


@torch.no_grad()
@pytest.mark.parametrize("row", **named([row for row in OF_GAUSSIANS if not row.closed_form]))
def test_the_bound_is_its_function_of_the_weights_of_the_draws(row):
    vae, x, target = model_and_example(LIKELIHOODS[0], diagonal, learned_diagonal)
    torch.manual_seed(3)
    z, log_qz = rsample_and_log_prob(vae.encode(x), row.draws)
    log_w = vae.decode(z).log_prob(target) + vae.prior().log_prob(z) - log_qz
    torch.manual_seed(3)
    assert_close(row.objective(vae, x, target).bound, row.bound(log_w), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("row", **named(OF_GAUSSIANS))
def test_the_gradient_averages_to_that_of_the_integral(row):
    vae, x, target = model_and_example(diagonal, diagonal, learned_diagonal)
    parameters = list(vae.parameters())
    expected = torch.autograd.grad(Integrals(vae, x, target).terms(row)["loss"], parameters)
    if row.of_encoder:  # the encoder's parameters are the first ones
        loss = -Integrals(vae, x, target).expectation(*row.of_encoder)
        of_encoder = torch.autograd.grad(loss, list(vae.encoder.parameters()))
        expected = of_encoder + expected[len(of_encoder) :]
    torch.manual_seed(4)
    loss = row.objective(vae, x.expand(N, -1), target.expand(N, -1)).loss.view(GROUPS, -1).mean(-1)
    found = torch.autograd.grad(loss, parameters, torch.eye(GROUPS).double(), is_grads_batched=True)
    for (name, _), estimates, truth in zip(vae.named_parameters(), found, expected, strict=True):
        error = estimates.std(0) / GROUPS**0.5
        assert ((estimates.mean(0) - truth).abs() < 4.5 * error + 1e-6).all(), name
        assert truth.abs().sum() > 0, name
