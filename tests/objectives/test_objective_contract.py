"""The contract of every objective in helpers/choices.py, tested against integrals over a latent with one dimension."""

import pytest
import torch
from torch.testing import assert_close

from helpers.choices import LIKELIHOODS, OBJECTIVES, build, diagonal, learned_diagonal, mean, named, pairwise
from vaelab.families import rsample_and_log_prob

N, GROUPS = 4_096, 64
POINTS = {1: 2_001, 2: 401, 3: 101}


class Integrals:
    """The terms of one example, by the trapezoidal rule on a grid over z; all of them differentiate."""

    def __init__(self, vae, x, target):
        self.vae, self.x, self.target = vae, x, target
        self.q, self.p = vae.encode(x), vae.prior()

    def over_q(self, n):
        """-> log p(t|z), log q(z|x) − log p(z), and q(z|x) dz at n points."""
        u = torch.linspace(-5.3, 5.3, n, dtype=torch.float64).view(-1, 1, 1)
        z = (self.q.mean + self.q.stddev * u.sinh()).detach()  # 100 σ to either side, densely near the mean
        log_q = self.q.log_prob(z).flatten()
        mass = log_q.exp() * (self.q.stddev * u.cosh()).flatten().detach() * (u[1] - u[0]).item()
        log_pt_z = self.vae.log_likelihood(z, self.target).flatten()
        return log_pt_z, log_q - self.p.log_prob(z).flatten(), mass

    def expectation(self, row):
        """That of a row's bound: over all of its draws of z, or one if it is a mean over them."""
        draws = 1 if row.bound is mean else row.draws
        log_pt_z, log_ratio, mass = self.over_q(POINTS[draws])
        log_w = torch.stack(torch.meshgrid(*[log_pt_z - log_ratio] * draws, indexing="ij"))
        masses = torch.stack(torch.meshgrid(*[mass] * draws, indexing="ij")).prod(0)
        return (row.bound(log_w) * masses).sum()

    def terms(self, row):
        log_pt_z, log_ratio, mass = self.over_q(POINTS[1])
        log_likelihood, kl = (log_pt_z * mass).sum(), (log_ratio * mass).sum()
        bound = self.expectation(row)
        loss = (row.beta - 1) * kl - bound + row.penalty(self.q, self.p, kl)
        return {"elbo": log_likelihood - kl, "log_likelihood": log_likelihood, "kl": kl, "bound": bound, "loss": loss}

    def log_p(self):
        """log ∫ p(t|z) p(z) dz."""
        z = (self.p.mean + self.p.stddev * torch.linspace(-15, 15, 30_001, dtype=torch.float64).unsqueeze(-1)).detach()
        log_joint = self.vae.log_likelihood(z.unsqueeze(1), self.target).flatten() + self.p.log_prob(z)
        return log_joint.logsumexp(0) + (z[1] - z[0]).log().item()


def model_and_example(likelihood, posterior, prior):
    vae = build(likelihood, posterior, prior, x_shape=(2,), target_shape=(3,), latents=1)
    torch.manual_seed(1)
    return vae, torch.randn(1, 2).double(), vae.sample(1)


@torch.no_grad()
@pytest.mark.parametrize("combination", **named(pairwise()))
def test_the_terms_average_to_their_integrals_and_the_bound_is_one(combination):
    likelihood, posterior, prior, row = combination
    vae, x, target = model_and_example(likelihood, posterior, prior)
    integrals = Integrals(vae, x, target)
    expected = integrals.terms(row)
    assert expected["elbo"] <= expected["bound"] + 1e-6
    assert expected["bound"] <= integrals.log_p() + 1e-6
    torch.manual_seed(2)
    terms = row.objective(vae, x.expand(N, -1), target.expand(N, -1))
    for name, values in terms._asdict().items():
        assert values.shape == (N,)
        tolerance = 4.5 * values.view(GROUPS, -1).mean(-1).std() / GROUPS**0.5 + 1e-5  # a group may share a term
        assert (values.mean() - expected[name]).abs() < tolerance, name


@torch.no_grad()
@pytest.mark.parametrize("row", **named([row for row in OBJECTIVES if not row.closed_form]))
def test_the_bound_is_its_function_of_the_weights_of_the_draws(row):
    vae, x, target = model_and_example(LIKELIHOODS[0], diagonal, learned_diagonal)
    torch.manual_seed(3)
    z, log_qz = rsample_and_log_prob(vae.encode(x), row.draws)
    log_w = vae.decode(z).log_prob(target) + vae.prior().log_prob(z) - log_qz
    torch.manual_seed(3)
    assert_close(row.objective(vae, x, target).bound, row.bound(log_w), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("row", **named(OBJECTIVES))
def test_the_gradient_averages_to_that_of_the_integral(row):
    vae, x, target = model_and_example(diagonal, diagonal, learned_diagonal)
    parameters = list(vae.parameters())
    expected = torch.autograd.grad(Integrals(vae, x, target).terms(row)["loss"], parameters)
    torch.manual_seed(4)
    loss = row.objective(vae, x.expand(N, -1), target.expand(N, -1)).loss.view(GROUPS, -1).mean(-1)
    found = torch.autograd.grad(loss, parameters, torch.eye(GROUPS).double(), is_grads_batched=True)
    for (name, _), estimates, truth in zip(vae.named_parameters(), found, expected, strict=True):
        error = estimates.std(0) / GROUPS**0.5
        assert ((estimates.mean(0) - truth).abs() < 4.5 * error + 1e-6).all(), name
        assert truth.abs().sum() > 0, name
