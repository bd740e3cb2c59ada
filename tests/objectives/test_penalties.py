"""Losses with a penalty: total correlation, MMD, free bits and capacity, against closed forms."""

import math

import pytest
import torch
from lightning.pytorch import Trainer
from torch.distributions import Independent, MultivariateNormal, Normal
from torch.testing import assert_close

from helpers.choices import bernoulli, build, diagonal, full, learned_diagonal, optimal, vamp
from helpers.runner import SHORT, TINY, messages, run_train
from vaelab import families
from vaelab.objectives import ELBO, BetaTC, InfoVAE, mmd2, total_correlation
from vaelab.objectives.groups import in_groups
from vaelab.objectives.terms import Terms
from vaelab.training import VAEModule
from vaelab.training.trainable import check_trainable

B, L, N = 7, 3, 800


def batch(n=B, of=None):
    torch.manual_seed(1)
    vae = of or build(bernoulli, diagonal, learned_diagonal)
    return vae, torch.randn(n, 2, 3).double(), vae.sample(n)


# Total correlation


def gaussian_channel(n, std=0.5):
    """x ~ N(0, Σ) and q(z|x) = N(x, std²), so q(z) is a Gaussian and its total correlation is known."""
    covariance = torch.tensor([[1.0, 0.8, 0.1], [0.8, 1.5, -0.4], [0.1, -0.4, 0.7]]).double()
    x = MultivariateNormal(torch.zeros(3).double(), covariance).sample((n,))
    total = covariance + std**2 * torch.eye(3)
    truth = (total.diagonal().log().sum() - total.logdet()) / 2
    return Independent(Normal(x, std), 1), truth


def test_the_total_correlation_of_a_whole_data_set_is_that_of_its_gaussian():
    q, truth = gaussian_channel(N)
    values = total_correlation(q, q.sample((2,)), train_size=N)
    assert values.shape == (2, N)
    assert 0.2 < truth < 1
    assert abs(values.mean() - truth) < 0.05
    weighted = total_correlation(q, q.sample((2,)), N, "weighted")  # log q̂ is log N too low everywhere
    assert abs(weighted.mean() - 2 * math.log(N) - truth) < 0.05


@pytest.mark.parametrize("sampling", ["stratified", "weighted"])
def test_the_estimate_is_its_formula(sampling):
    n, m = 900, 5
    q = Independent(Normal(torch.randn(m, 3).double(), torch.rand(m, 3).double() + 0.1), 1)
    z = q.sample((L,))
    found = total_correlation(q, z, n, sampling)
    for draw in range(L):
        for i in range(m):
            own, other = (1 / (n * m),) * 2 if sampling == "weighted" else (1 / n, (n - 1) / n / (m - 1))
            w = torch.full((m,), other).double().index_fill(0, torch.tensor(i), own)
            each = q.base_dist.log_prob(z[draw, i]).exp()  # (m, 3): q(z_ij|x_k)
            value = (w @ each.prod(-1)).log() - (w @ each).log().sum()
            assert_close(found[draw, i], value)


def test_a_full_covariance_has_the_marginals_of_its_gaussian():
    numbers = torch.randn(B, families.FullGaussian((3,)).num_parameters).double()
    q = families.FullGaussian((3,))(numbers)
    z = q.sample((L,))
    marginal = families.marginals(q)
    assert_close(marginal.variance, q.covariance_matrix.diagonal(dim1=-2, dim2=-1))
    assert total_correlation(q, z, 50).shape == (L, B)
    alone = total_correlation(families.FullGaussian((3,))(numbers[:1]), z[:, :1], 50)  # one example: q itself
    assert_close(alone, q.log_prob(z)[:, :1] - marginal.log_prob(z).sum(-1)[:, :1])


def test_beta_weights_the_total_correlation_and_nothing_else():
    vae, x, target = batch()
    losses = []
    for beta in (1.0, 2.0, 3.0):
        torch.manual_seed(5)
        terms = BetaTC(train_size=40, beta=beta)(vae, x, target)
        losses.append(terms.loss)
        assert_close(terms.bound, terms.elbo)
    assert_close(losses[0], -terms.elbo)
    assert_close(losses[2] - losses[1], losses[1] - losses[0])
    assert_close((losses[1] - losses[0]).std(), torch.zeros(()).double())  # equal in every example
    torch.manual_seed(5)
    q = vae.encode(x)
    tc = total_correlation(q, q.rsample((1,)), 40).mean()
    assert_close((losses[1] - losses[0])[0], tc)


# Maximum mean discrepancy


def test_the_discrepancy_of_gaussians_is_that_of_the_closed_form():
    h, shift, p = 0.7, 0.9, 2
    a, b = torch.randn(5, 900, p).double(), shift + torch.randn(5, 700, p).double()
    within = (h**2 / (h**2 + 2)) ** (p / 2)
    truth = 2 * within * (1 - math.exp(-p * shift**2 / (2 * (h**2 + 2))))
    assert abs(mmd2(a, b, h).mean() - truth) < 0.01
    assert abs(mmd2(a, torch.randn(5, 900, p).double(), h).mean()) < 0.005


def test_the_discrepancy_is_unbiased_for_the_smallest_samples():
    values = mmd2(torch.randn(200_000, 2, 1), torch.randn(200_000, 3, 1), 1.0)
    assert abs(values.mean()) < 5 * values.std() / 200_000**0.5
    assert (values < 0).any()
    assert mmd2(torch.randn(4, 1, 2), torch.randn(4, 3, 2), 1.0).tolist() == [0.0] * 4


def test_kernels_are_their_formulas():
    a, b = torch.tensor([[0.0], [3.0]]), torch.tensor([[1.0], [1.0]])
    squares = torch.tensor([1.0, 4.0]) / (2 * 2.0**2)
    for kernel, k in (("gaussian", (-squares).exp()), ("inverse_multiquadratic", 1 / (1 + squares))):
        one = torch.tensor(9 / (2 * 2.0**2))
        within = (-one).exp() if kernel == "gaussian" else 1 / (1 + one)
        assert_close(mmd2(a, b, 2.0, kernel), within + 1 - 2 * k.mean())


def test_a_learned_prior_follows_the_discrepancy():
    vae, x, target = batch()
    InfoVAE(alpha=1.0, lam=5.0)(vae, x, target).loss.mean().backward()
    assert (vae.prior.numbers.grad != 0).any()


# Free bits and capacity


def test_free_bits_are_free_until_they_are_used_up():
    vae, x, target = batch()
    kl = torch.distributions.kl_divergence(vae.encode(x).base_dist, vae.prior().base_dist).mean(0)  # (P,)
    between = (kl.min() + kl.max()).item() / 2
    terms = ELBO(free_bits=between, beta=2.0)(vae, x, target)
    assert_close(terms.loss + terms.log_likelihood, 2 * kl.clamp(min=between).sum().expand(B))
    assert_close(terms.kl.mean(), kl.sum())
    grads = torch.autograd.grad(ELBO(free_bits=1e3)(vae, x, target).loss.mean(), vae.prior.numbers, allow_unused=True)
    assert grads[0] is None or (grads[0] == 0).all()


def test_the_schedule_raises_the_capacity():
    vae, x, target = batch()
    objective = ELBO(capacity=8.0, gamma=5.0, beta_schedule="linear", warmup=0.5)
    for progress, capacity in ((0.0, 0.0), (0.25, 4.0), (0.9, 8.0)):
        terms = objective(vae, x, target, beta=torch.tensor(objective.beta_at(progress)))
        assert_close(terms.loss + terms.log_likelihood, (5 * (terms.kl.mean() - capacity).abs()).expand(B))
    final = objective(vae, x, target)
    assert_close(final.loss + final.log_likelihood, terms.loss + terms.log_likelihood)


# Batches of other sizes


def test_large_batches_are_scored_in_groups_and_small_ones_whole():
    sizes = []

    def seen(x):
        sizes.append(len(x))
        return Terms(*[x] * 5)

    for n in (1, 99, 149, 151, 1_000):
        x = torch.arange(float(n))
        assert_close(in_groups(seen, 100, x, None).loss, x)
    assert sizes == [1, 99, 149, 76, 75, *[100] * 10]


@pytest.mark.parametrize("objective", [BetaTC(train_size=40), InfoVAE(), ELBO(free_bits=0.1), ELBO(capacity=1.0)])
def test_a_batch_of_one_example_has_a_finite_loss(objective):
    vae, x, target = batch(1)
    terms = objective(vae, x, target)
    terms.loss.sum().backward()
    assert all(term.isfinite().all() for term in terms)
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in vae.parameters())


# What is refused, and what a run says


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ELBO(free_bits=0.1, kl="monte_carlo"), "objective.free_bits must be 0 if the KL is by Monte Carlo"),
        (lambda: ELBO(free_bits=0.1, capacity=3.0), "objective.free_bits must be 0 for objective.capacity=3"),
        (lambda: ELBO(beta=2.0, capacity=3.0), "objective.beta must be 1 for objective.capacity=3, but is 2"),
        (lambda: ELBO(free_bits=-1.0), "objective.free_bits must be a number of at least 0, but is -1"),
        (lambda: ELBO(capacity=3.0, gamma=0.0), "objective.gamma must be a number greater than 0, but is 0"),
        (lambda: BetaTC(train_size=None), "objective.train_size must be a whole number of at least 1, but is None"),
        (lambda: BetaTC(10, sampling="all"), "objective.sampling must be one of stratified, weighted, but is all"),
        (lambda: InfoVAE(alpha=2), "objective.alpha must be a number of at most 1, but is 2"),
        (lambda: InfoVAE(alpha=0.5, lam=0.4), "objective.lam must be a number of at least 0.5, but is 0.4"),
        (lambda: InfoVAE(bandwidth=0.0), "objective.bandwidth must be a number greater than 0, but is 0"),
    ],
)
def test_values_that_cannot_work_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("objective", "posterior", "prior", "message"),
    [
        (
            ELBO(free_bits=0.1),
            full,
            learned_diagonal,
            "posterior must be a product over the latents for objective.free",
        ),
        (ELBO(free_bits=0.1), diagonal, vamp, "prior must be a product over the latents for objective.free_bits, but"),
        (ELBO(kl="monte_carlo"), optimal, None, "optimal must be false for the family of a posterior or a prior"),
        (InfoVAE(), diagonal, vamp, "prior must be fixed, or one whose draws carry a gradient, .* but is VampPrior"),
    ],
)
def test_pairs_that_cannot_work_are_refused(objective, posterior, prior, message):
    module = VAEModule(build(bernoulli, posterior, prior), objective, torch.optim.Adam)
    with pytest.raises(ValueError, match=message):
        Trainer(accelerator="cpu", limit_val_batches=0, logger=False, enable_checkpointing=False).fit(module)


@pytest.mark.parametrize(
    ("likelihood", "objective", "message"),
    [
        (bernoulli, BetaTC(train_size=40), r"trainer.devices must be 1 for this objective \(BetaTC\), .* but is 2"),
        (optimal, ELBO(), "trainer.devices must be 1 with model.optimal=true, .* but is 2"),
    ],
)
def test_what_needs_the_whole_minibatch_needs_one_process(likelihood, objective, message):
    vae = build(likelihood, diagonal, learned_diagonal)
    check_trainable(vae, objective, 1)
    with pytest.raises(ValueError, match=message):
        check_trainable(vae, objective, 2)


def test_a_run_knows_the_size_of_its_training_set_and_says_which_score_suits(tmp_path):
    from vaelab import load_run
    from vaelab.build import build_objective

    keys = *TINY, *SHORT, "objective=beta_tc", "hydra.run.dir=run"
    done = run_train(tmp_path, *keys)
    assert done.returncode == 0, done.stderr
    assert messages(done.stderr).count(
        "the weights are chosen by val/bound, but training minimises more than minus the bound; use score=val/loss to "
        "choose them by what is trained"
    ) == 1  # fmt: skip
    run = load_run(tmp_path / "run")
    objective = build_objective(run.config, run.vae)
    assert (objective.train_size, objective.batch_size) == (30, 8)
    done = run_train(tmp_path, *keys[:-1], "trainer=ddp", "trainer.accelerator=cpu", "hydra.run.dir=two")
    assert done.returncode != 0
    assert "trainer.devices must be 1 for this objective (BetaTC), because each example's loss" in done.stderr
