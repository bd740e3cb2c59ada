"""A linear VAE with one learned variance per column reaches the optimum of factor analysis."""

from functools import partial

import numpy as np
import torch
from sklearn.decomposition import FactorAnalysis

from vaelab import VAE
from vaelab.evaluation import exact_log_marginal
from vaelab.families import FullGaussian, SharedDiagonalGaussian
from vaelab.networks import MLP
from vaelab.objectives import ELBO
from vaelab.priors import StandardNormal

K, P, N, STEPS = 7, 2, 411, 1500


def test_a_linear_vae_reaches_the_likelihood_of_factor_analysis():
    rng = np.random.default_rng(0)
    weight, spread = rng.normal(size=(P, K)), rng.uniform(0.2, 0.9, size=K)
    rows = 1.5 + rng.normal(size=(N, P)) @ weight + spread * rng.normal(size=(N, K))
    truth = FactorAnalysis(P, tol=1e-8, max_iter=10_000, svd_method="lapack").fit(rows).score(rows)
    t = torch.from_numpy(rows).float()
    posterior, likelihood = FullGaussian((P,), init_std=1.0), SharedDiagonalGaussian((K,), init_std=1.0)
    vae = VAE.build((K,), posterior, likelihood, StandardNormal((P,)), partial(MLP, hidden=[]))
    optimizer = torch.optim.Adam(vae.parameters(), lr=0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        ELBO(samples=3)(vae, t, t).loss.mean().backward()
        optimizer.step()
        schedule.step()
    reached = exact_log_marginal(vae, t).mean().item()
    assert truth - 0.05 < reached < truth + 1e-3  # the maximum of the likelihood, so nothing lies above it
    bound = ELBO(samples=500)(vae, t, t).elbo.mean().item()
    assert reached - 0.1 < bound < reached + 0.02  # the posterior of a linear model is a Gaussian, which q can be
