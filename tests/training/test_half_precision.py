"""Training in any precision: scores are in float32 or better, and every model trains or an error says why not."""

import itertools
from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from vaelab import VAE, Conditional
from vaelab.checkpoint import read_checkpoint
from vaelab.data import DataModule
from vaelab.evaluation import evaluate
from vaelab.families import (
    Bernoulli,
    DiagonalGaussian,
    FullGaussian,
    IdentityGaussian,
    IsotropicGaussian,
    SharedDiagonalGaussian,
)
from vaelab.networks import MLP
from vaelab.objectives import ELBO, ELBOMonteCarlo, Terms
from vaelab.priors import LearnedPrior, StandardNormal
from vaelab.seeded import seeded
from vaelab.steps.traced_gradient import gradient
from vaelab.training import LastCheckpoint, VAEModule
from vaelab.training.running_means import RunningMeans

K, P, N = 5, 3, 23
MODELS = [Bernoulli, DiagonalGaussian, FullGaussian, IdentityGaussian, IsotropicGaussian, SharedDiagonalGaussian]
POSTERIORS = [DiagonalGaussian, FullGaussian]
PRIORS = [
    StandardNormal,
    lambda shape: LearnedPrior(DiagonalGaussian(shape)),
    lambda shape: LearnedPrior(FullGaussian(shape)),
]
PRECISIONS = ["bf16-true", "bf16-mixed", "16-true", "16-mixed", "64-true"]
QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
ADAM = partial(torch.optim.Adam, lr=1e-3, fused=True)


class Rows(DataModule):
    """Rows that half precision cannot hold, or binary ones."""

    x_shape = target_shape = (K,)
    batch_size, eval_batch_size = 7, 10

    def __init__(self, support="real"):
        super().__init__()
        self.support = support
        rows = 3 + torch.randn(3, N, K, generator=torch.Generator().manual_seed(1))
        self.train, self.val, self.test = (rows > 3).float() if support == "binary" else rows


def build(likelihood=DiagonalGaussian, posterior=DiagonalGaussian, prior=StandardNormal, **options):
    torch.manual_seed(0)
    network = partial(MLP, hidden=[4])
    vae = VAE.build((K,), posterior((P,)), likelihood((K,)), prior((P,)), network)
    return VAEModule(vae, **{"objective": ELBO(), "optimizer": ADAM} | options)


def fit(module, data, precision, **options):
    options = {"max_epochs": 1, "enable_checkpointing": False, **QUIET, **options}
    trainer = Trainer(accelerator="cpu", precision=precision, **options)
    trainer.fit(module, data)
    return trainer, {tag: value.item() for tag, value in trainer.callback_metrics.items()}


def scored_by_hand(vae, data, split):
    """The mean terms over a split, in float64 from terms in float32."""
    sums = 0
    for index, (x, target) in enumerate(data.batches(split)):
        with torch.no_grad(), seeded(index):
            sums = sums + torch.stack(ELBO()(vae, x, target)).double().sum(-1)
    return dict(zip(Terms._fields, (sums / N).tolist(), strict=True))


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_every_model_takes_a_step_in_every_precision(dtype, mixed):
    for index, (likelihood, posterior, prior) in enumerate(itertools.product(MODELS, POSTERIORS, PRIORS)):
        vae, data = build(likelihood, posterior, prior).vae, Rows("binary" if likelihood is Bernoulli else "real")
        x = data.train[:7] - (0 if likelihood is Bernoulli else 3)
        vae, x = (vae, x) if mixed else (vae.to(dtype), x.to(dtype))
        optimizer = ADAM(vae.parameters())
        with torch.autocast("cpu", dtype, enabled=mixed and dtype != torch.float64):
            found = gradient(vae, [ELBO(), ELBOMonteCarlo(samples=2)][index % 2], x, x)
        for parameter, value in zip(vae.parameters(), found.gradients, strict=True):
            assert value.isfinite().all()
            parameter.grad = value
        optimizer.step()
        assert all(parameter.isfinite().all() for parameter in vae.parameters())
        assert found.sums.dtype == torch.float64


@pytest.mark.parametrize("precision", PRECISIONS)
def test_scores_are_those_of_the_weights_in_float32(precision, tmp_path):
    module, data = build(), Rows()
    last = LastCheckpoint(dirpath=tmp_path)
    trainer, metrics = fit(module, data, precision, max_epochs=3, callbacks=[last], enable_checkpointing=True)
    (tested,) = trainer.test(module, data, verbose=False)
    (validated,) = trainer.validate(module, data, verbose=False)
    weights = read_checkpoint(tmp_path / "last.ckpt")["state_dict"]
    vae = build().vae
    if precision == "64-true":
        vae = vae.double()  # its draws of z are others than in float32
    vae.load_state_dict({name.removeprefix("vae."): value for name, value in weights.items()})
    for split, found in (("val", metrics), ("val", validated), ("test", tested)):
        for name, expected in scored_by_hand(vae, data, split).items():
            assert found[f"{split}/{name}"] == pytest.approx(expected, rel=1e-5, abs=1e-5), (split, name)
        assert found[f"{split}/elbo"] == pytest.approx(
            found[f"{split}/log_likelihood"] - found[f"{split}/kl"], rel=1e-6
        )
    report = evaluate(vae, data, samples=400)
    assert report["precision"] == ("float64" if precision == "64-true" else "float32")
    assert tested["test/log_likelihood"] == pytest.approx(
        report["log_likelihood"], abs=5 * report["log_likelihood_stderr"]
    )
    assert tested["test/kl"] == pytest.approx(report["kl"], rel=1e-5)
    assert {parameter.dtype for parameter in module.parameters()} == {
        {"bf16-true": torch.bfloat16, "16-true": torch.float16, "64-true": torch.float64}.get(precision, torch.float32)
    }


def test_training_batches_are_rounded_and_an_error_in_a_score_changes_nothing():
    seen, fails = [], [True]

    class Watch(VAEModule):
        def training_step(self, batch, batch_idx):
            seen.append(("train", batch[0].dtype, torch.get_default_dtype()))
            return super().training_step(batch, batch_idx)

        def validation_step(self, batch, batch_idx):
            seen.append(("val", batch[0].dtype, torch.get_default_dtype()))
            if fails and fails.pop():
                raise KeyError("in validation")
            return super().validation_step(batch, batch_idx)

    module, data = Watch(build().vae, ELBO(), ADAM), Rows()
    trainer = Trainer(accelerator="cpu", precision="bf16-true", max_epochs=1, enable_checkpointing=False, **QUIET)
    with pytest.raises(KeyError, match="in validation"):
        trainer.fit(module, data)
    assert seen == [("train", torch.bfloat16, torch.bfloat16)] * 4 + [("val", torch.float32, torch.float32)]
    assert torch.get_default_dtype() == torch.float32
    seen.clear()
    trainer.fit(module, data)  # another try with the same trainer
    assert seen[:5] == [("train", torch.bfloat16, torch.bfloat16)] * 4 + [("val", torch.float32, torch.float32)]


def test_an_eps_that_vanishes_in_float16_is_refused_before_the_first_step():
    module = build(optimizer=partial(torch.optim.Adam, lr=1e-3))
    with pytest.raises(ValueError, match=r"optimizer.eps must be at least 1e-7 .* but is 1e-08.*optimizer.fused=true"):
        fit(module, Rows(), "16-true")
    for optimizer in (partial(torch.optim.Adam, lr=1e-3, eps=1e-4), partial(torch.optim.SGD, lr=1e-3)):
        _, metrics = fit(build(optimizer=optimizer), Rows(), "16-true")
        assert metrics["val/elbo"] < 0


class Drop(nn.Module):
    """A user's network, with a buffer."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(P, 2 * K)
        self.register_buffer("scale", torch.tensor(0.1))

    def forward(self, z):
        return self.linear(z.to(self.linear.weight.dtype)) * self.scale


def test_your_own_network_is_scored_in_float32_too():
    module = build()
    module.vae.decoder = Conditional(Drop(), DiagonalGaussian((K,)))
    _, metrics = fit(module, Rows(), "bf16-true")
    assert metrics["val/elbo"] == pytest.approx(scored_by_hand(module.vae.float(), Rows(), "val")["elbo"], rel=1e-6)


# Sums


def test_sums_over_many_examples_stay_exact():
    """10,000 batches of 1e4 nats: in float32 the sum would be off by nats, in bfloat16 it would stop growing."""
    means = RunningMeans()
    for index in range(10_000):
        terms = torch.tensor([[1e4 + index % 7, 0.1], [3.0, -3.0]])
        means.add(("a", "b"), terms.sum(-1, dtype=torch.float64), 2)
    found = means.take()
    expected = sum(1e4 + index % 7 for index in range(10_000)) / 20_000 + torch.tensor(0.1).item() / 2
    assert found["a"].item() == pytest.approx(expected, rel=1e-12)
    assert found["b"].item() == 0


def test_train_terms_are_added_up_in_float64():
    module = build()
    trainer, _ = fit(module, Rows(), "32-true", limit_val_batches=0)
    assert {value.dtype for value in trainer.callback_metrics.values()} == {torch.float64}
    means = {tag: value.item() for tag, value in trainer.callback_metrics.items()}
    assert means["train/elbo"] == pytest.approx(means["train/log_likelihood"] - means["train/kl"], rel=1e-7)


# The first batch


class Loose(DataModule):
    """Serves the given tensors, as a user's data module may."""

    x_shape = target_shape = (K,)

    def __init__(self, **splits):
        super().__init__()
        for split in ("train", "val", "test"):
            setattr(self, split, splits.get(split, torch.ones(N, K)))


@pytest.mark.parametrize("steps", ["rows", "single"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_the_first_batch_of_each_loader_is_checked(split, steps):
    options = {"accumulate_grad_batches": 2} if steps == "single" else {}
    with pytest.raises(
        ValueError, match=r"must be 0 or 1 everywhere, because Bernoulli scores binary data, but it hold"
    ):
        fit(build(Bernoulli), Loose(**{split: torch.full((N, K), 0.5)}), "32-true", **options)
    with pytest.raises(ValueError, match="x must hold only finite numbers"):
        fit(build(), Loose(**{split: torch.full((N, K), float("nan"))}), "32-true", **options)


def test_integers_train_like_floats():
    rows = torch.randint(0, 2, (N, K), generator=torch.Generator().manual_seed(1))
    found = []
    for dtype in (torch.float32, torch.uint8, torch.bool, torch.int64, torch.float64):
        module = build(Bernoulli)
        torch.manual_seed(2)
        loaders = [DataLoader(TensorDataset(rows.to(dtype), rows.to(dtype)), 7) for _ in range(2)]
        trainer = Trainer(accelerator="cpu", max_epochs=1, enable_checkpointing=False, **QUIET)
        trainer.fit(module, *loaders)
        found.append(trainer.callback_metrics["val/elbo"].item())
    assert found == pytest.approx([found[0]] * 5, rel=1e-6)
