"""σ at its optimum: the mean squared error of a batch in training, and of the training split in scores."""

import math

import pytest
import torch
from torch.testing import assert_close

import vaelab
from helpers.choices import OBJECTIVES, FamilyRow, build, diagonal
from helpers.runner import run_train
from vaelab.evaluation import score
from vaelab.families import IdentityGaussian, IsotropicGaussian
from vaelab.steps.gradient import gradient
from vaelab.steps.purity import why_impure
from vaelab.steps.traced_gradient import TracedGradient

L, B, K = 2, 7, 3
OPTIMAL = FamilyRow("optimal", lambda event_shape: IsotropicGaussian(event_shape, optimal=True))


def test_the_variance_in_training_is_the_mean_squared_error():
    torch.manual_seed(0)
    means, target = torch.randn(L, B, K).double().requires_grad_(), torch.randn(B, K).double()
    family = IsotropicGaussian((K,), optimal=True).double()
    log_p = family(means).log_prob(target)
    error = (means - target).square().mean().detach()
    assert_close(log_p.mean(), -K / 2 * (1 + (2 * math.pi * error).log()))
    fixed = IdentityGaussian((K,), std=error.sqrt().item())(means).log_prob(target)
    assert_close(log_p, fixed)
    assert_close(*(torch.autograd.grad(each.sum(), means)[0] for each in (log_p, fixed)))
    family.set_error(error)
    assert_close(family.eval()(means).log_prob(target), fixed)


def test_the_floor_holds_in_training():
    p = IsotropicGaussian((K,), min_std=0.3, optimal=True)(torch.zeros(B, K))
    assert_close(
        p.log_prob(torch.zeros(B, K)), IdentityGaussian((K,), std=0.3)(torch.zeros(B, K)).log_prob(torch.zeros(B, K))
    )


@pytest.mark.parametrize("row", [OBJECTIVES[0], OBJECTIVES[-1]], ids=lambda row: row.name)
def test_a_traced_step_follows_the_batch_and_outlives_a_new_error(row):
    vae = build(OPTIMAL, diagonal).train()
    assert why_impure(vae, row.objective) is None
    batches = [(torch.randn(B, 2, 3).double(), scale * torch.randn(B, 4, 1).double()) for scale in (1, 4)]
    traced = TracedGradient(vae, row.objective, batches[0])
    for batch in batches:
        vae.decoder.family.set_error(torch.tensor(5.0))
        torch.manual_seed(1)
        eager = gradient(vae, row.objective, *batch)
        torch.manual_seed(1)
        found = traced(*batch)
        assert_close(found.sums, eager.sums)
        for ours, theirs in zip(found.gradients, eager.gradients, strict=True):
            assert_close(ours, theirs)


def test_scores_do_not_depend_on_the_mode():
    vae = build(OPTIMAL, diagonal)
    batch = torch.randn(B, 2, 3).double(), torch.randn(B, 4, 1).double()
    one, other = (score(each, [batch], 30, seeds=range(B))["nll"] for each in (vae.train(), vae.eval()))
    assert torch.equal(one, other)


def test_a_run_scores_with_the_error_on_its_training_split(tmp_path):
    options = ("data.train_size=300", "data.noise_std=0.3", "data.batch_size=50", "callbacks.pictures=null")
    model = ("data=sine", "model=gaussian_isotropic", "model.optimal=true", "latent_dim=1")
    process = run_train(tmp_path, *model, *options, "trainer.max_epochs=3", "hydra.run.dir=run")
    assert process.returncode == 0, process.stderr
    run = vaelab.load_run(tmp_path / "run")
    data = run.datamodule()
    data.setup()
    x, target = data.examples("train")
    torch.manual_seed(5)
    with torch.no_grad():
        p = run.vae.decode(run.vae.encode(x).rsample((40,)))
        error = (p.mean - target).square().mean()
    assert p.variance.unique().item() == pytest.approx(error.item(), rel=0.06)  # one draw per example against 40
    assert run.metrics["test/log_likelihood"] == pytest.approx(-0.5 * math.log(2 * math.pi * math.e * error), abs=0.1)
