"""The terms of an objective as integrals over a latent with one dimension, by the trapezoidal rule, or as sums."""

import torch

from helpers.choices import build, every_z
from vaelab.evaluation.discrete import variables_of

POINTS = {1: 2_001, 2: 401, 3: 101}


class Integrals:
    """The terms of one example, by the trapezoidal rule or as sums over all discrete z; all of them differentiate."""

    def __init__(self, vae, x, target):
        self.vae, self.x, self.target = vae, x, target
        self.q, self.p = vae.encode(x), vae.prior()

    def over_q(self, n):
        """-> log p(t|z), log q(z|x) − log p(z), and q(z|x) dz at n points, or q(z|x) at all discrete z."""
        if variables_of(self.q):
            z = every_z(self.vae.encoder.family).unsqueeze(1)
            log_q = self.q.log_prob(z).flatten()
            log_pt_z = self.vae.log_likelihood(z, self.target).flatten()
            return log_pt_z, log_q - self.p.log_prob(z).flatten(), log_q.exp()
        u = torch.linspace(-5.3, 5.3, n, dtype=torch.float64).view(-1, 1, 1)
        z = (self.q.mean + self.q.stddev * u.sinh()).detach()  # 100 σ to either side, densely near the mean
        log_q = self.q.log_prob(z).flatten()
        mass = log_q.exp() * (self.q.stddev * u.cosh()).flatten().detach() * (u[1] - u[0]).item()
        log_pt_z = self.vae.log_likelihood(z, self.target).flatten()
        return log_pt_z, log_q - self.p.log_prob(z).flatten(), mass

    def expectation(self, bound, draws):
        """Of a function of the log-weights of this number of draws."""
        log_pt_z, log_ratio, mass = self.over_q(POINTS[draws])
        log_w = torch.stack(torch.meshgrid(*[log_pt_z - log_ratio] * draws, indexing="ij"))
        masses = torch.stack(torch.meshgrid(*[mass] * draws, indexing="ij")).prod(0)
        return (bound(log_w) * masses).sum()

    def terms(self, row):
        log_pt_z, log_ratio, mass = self.over_q(POINTS[1])
        log_likelihood, kl = (log_pt_z * mass).sum(), (log_ratio * mass).sum()
        bound = self.expectation(*(row.few or (row.bound, row.draws)))
        loss = (row.beta - 1) * kl - bound + row.penalty(self.q, self.p, kl)
        return {"elbo": log_likelihood - kl, "log_likelihood": log_likelihood, "kl": kl, "bound": bound, "loss": loss}

    def log_p(self):
        """log ∫ p(t|z) p(z) dz."""
        if variables_of(self.q):
            z = every_z(self.vae.encoder.family).unsqueeze(1)
            return (self.vae.log_likelihood(z, self.target) + self.p.log_prob(z)).logsumexp(0).item()
        z = (self.p.mean + self.p.stddev * torch.linspace(-15, 15, 30_001, dtype=torch.float64).unsqueeze(-1)).detach()
        log_joint = self.vae.log_likelihood(z.unsqueeze(1), self.target).flatten() + self.p.log_prob(z)
        return log_joint.logsumexp(0) + (z[1] - z[0]).log().item()


def model_and_example(likelihood, posterior, prior):
    vae = build(likelihood, posterior, prior, x_shape=(2,), target_shape=(3,), latents=posterior.unit)
    torch.manual_seed(1)
    return vae, torch.randn(1, 2).double(), vae.sample(1)
