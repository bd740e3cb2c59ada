"""All ways to take a step give the same result, and a trace is dropped if its settings change."""

from functools import partial

import pytest
import torch
from torch import nn

from helpers.choices import build, diagonal, laplace
from vaelab import VAE, Conditional
from vaelab.families import DiagonalGaussian
from vaelab.objectives import ELBO, IWAE
from vaelab.steps import Stepper, stepper
from vaelab.steps.purity import why_impure


@pytest.fixture
def _traces_soon(monkeypatch):
    monkeypatch.setattr(stepper, "TRACE_AFTER", 2)


def batch(n=11):
    return torch.randn(n, 2, 3), torch.randn(n, 4, 1)


def nothing(found, batch):
    """A run would check and clip the gradient here."""


class Beta:
    """An objective that changes during training."""

    pure = True

    def __init__(self, beta):
        self.beta = beta

    def __call__(self, vae, x, target):
        return ELBO(beta=self.beta)(vae, x, target)


def train(vae, betas, pure):
    """Trains over stretches of steps, each with its own β -> the weights, and the number of traces after each."""
    objective = Beta(0)
    objective.pure = pure
    taker, optimizer = Stepper(vae, objective), torch.optim.Adam(vae.parameters(), lr=0.01)
    kept = []
    torch.manual_seed(5)
    for beta in betas:
        objective.beta = beta
        taker.look()
        for n in (11, 11, 11, 11, 4):
            taker.take(optimizer, batch(n), nothing)
        kept.append(len(taker.traced))
    return torch.cat([parameter.detach().flatten() for parameter in vae.parameters()]), kept


@pytest.mark.usefixtures("_traces_soon")
def test_a_setting_that_changes_drops_the_traces_and_gives_the_numbers_of_eager_steps():
    betas = [0.1, 0.1, 0.5, 0.5, 1.0]
    weights, kept = train(build(laplace).float(), betas, pure=True)
    expected, none = train(build(laplace).float(), betas, pure=False)
    assert torch.equal(weights, expected)
    assert kept == [1, 1, 1, 1, 1]
    assert none == [0] * 5
    constant, _ = train(build(laplace).float(), [0.1] * 5, pure=True)
    assert not torch.equal(weights, constant)


@pytest.mark.usefixtures("_traces_soon")
def test_fifty_settings_leave_no_more_behind_than_one(monkeypatch):
    made = []

    class Traced:
        def __init__(self, vae, objective, *_):
            made.append(objective.beta)
            self.of = vae, objective

        def __call__(self, *batch):
            return stepper.gradient(*self.of, *batch)

    monkeypatch.setattr(stepper, "TracedGradient", Traced)
    _, kept = train(build(laplace).float(), betas := [number / 50 for number in range(50)], pure=True)
    assert made == betas  # one trace for each
    assert max(kept) == 1


@pytest.mark.usefixtures("_traces_soon")
def test_parts_of_a_model_that_are_replaced_are_trained():
    vae = build(laplace).float()
    taker, optimizer = Stepper(vae, IWAE(samples=2)), torch.optim.SGD(vae.parameters(), lr=0.01)
    taker.look()
    for _ in range(4):
        taker.take(optimizer, batch(), nothing)
    vae.decoder = Conditional(nn.Sequential(nn.Linear(3, 8)), vae.decoder.family)
    optimizer = torch.optim.SGD(vae.parameters(), lr=0.01)
    taker.look()
    assert not taker.traced
    before = [parameter.clone() for parameter in vae.decoder.parameters()]
    for _ in range(4):
        taker.take(optimizer, batch(), nothing)
    assert len(taker.traced) == 1
    assert not any(map(torch.equal, before, vae.decoder.parameters()))


class Moody(nn.Module):
    """A part that depends on more than its input."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 8)
        self.calls = 0

    def forward(self, z):
        self.calls += 1
        return self.calls * self.linear(z)


def with_decoder(network):
    whole = build(diagonal).float()
    return VAE(whole.encoder, Conditional(network, DiagonalGaussian((4, 1), init_std=1.0)), whole.prior)


@pytest.mark.usefixtures("_traces_soon")
def test_an_impure_part_trains_eagerly_and_is_named():
    vae = with_decoder(Moody())
    taker, optimizer = Stepper(vae, ELBO(), compile=True), torch.optim.SGD(vae.parameters(), lr=1e-6)
    assert taker.why_eager is None
    taker.look()
    assert taker.why_eager == "test_stepper.Moody does not declare `pure = True`"
    before = vae.decoder.network.linear.weight.clone()
    for _ in range(5):
        (found,) = taker.take(optimizer, batch(), nothing)
        assert found.loss.isfinite()
    assert not taker.traced
    assert vae.decoder.network.calls == 5
    assert not torch.equal(vae.decoder.network.linear.weight, before)


class Wrong(nn.Linear):
    """It declares to be pure, but looks at numbers."""

    pure = True

    def forward(self, z):
        return super().forward(z) if z.mean() > 0 else -super().forward(z)


@pytest.mark.usefixtures("_traces_soon")
def test_a_part_that_is_wrongly_declared_pure_trains_eagerly_after_one_warning_that_names_it(monkeypatch, caplog):
    def weights(start):
        """After 15 steps, in stretches; steps before `start` are taken by a first stepper, as in a resumed run."""
        torch.manual_seed(6)
        vae = with_decoder(Wrong(3, 8))
        for steps in (start, 15 - start):
            taker, optimizer = Stepper(vae, ELBO()), torch.optim.SGD(vae.parameters(), lr=0.01)
            for step in range(steps):
                if step % 4 == 0:
                    taker.look()
                taker.take(optimizer, batch(), nothing)
        assert not taker.traced
        assert taker.why_eager == "test_stepper.Wrong reads the values of tensors"
        return torch.cat([parameter.detach().flatten() for parameter in vae.parameters()])

    whole = weights(0)
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "vaelab.steps.stepper"]
    assert warning.startswith("test_stepper.Wrong reads the values of tensors, so its part must not declare")
    resumed = weights(7)
    monkeypatch.setattr(Wrong, "pure", False)
    monkeypatch.setattr(stepper, "why_impure", lambda *_: "test_stepper.Wrong reads the values of tensors")
    assert torch.equal(whole, weights(0))
    assert torch.equal(whole, resumed)


def test_purity_is_declared_by_each_class_itself():
    def objective(vae, x, target):
        return ELBO()(vae, x, target)

    class Subclass(DiagonalGaussian):
        pass

    vae = with_decoder(nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 8)))
    assert why_impure(vae, ELBO()) is None
    assert why_impure(vae, objective) == "builtins.function does not declare `pure = True`"
    objective.pure = True
    assert why_impure(vae, objective) is None
    vae.decoder.family = Subclass((4, 1))
    assert why_impure(vae, ELBO()).endswith("Subclass does not declare `pure = True`")
    Subclass.pure = True
    assert why_impure(vae, ELBO()) is None
    vae.decoder.network.append(nn.Dropout(0.5))
    assert why_impure(vae, ELBO()).startswith("torch.nn.modules.dropout.Dropout")
    hooked = build(laplace)
    hooked.encoder.network.layers[0].register_forward_hook(lambda *arguments: None)
    assert why_impure(hooked, ELBO()) == "Linear has a hook"


def test_an_optimiser_that_asks_for_several_gradients_gets_them():
    vae = build(laplace).float()
    taker = Stepper(vae, ELBO())
    taker.look()
    optimizer = torch.optim.LBFGS(vae.parameters(), max_iter=3)
    seen = []
    found = taker.take(optimizer, batch(), lambda gradient, data: seen.append((gradient.loss.item(), len(data[0]))))
    assert [(each.loss.item(), 11) for each in found] == seen
    assert len(found) > 1


@pytest.mark.usefixtures("_traces_soon")
def test_what_finish_raises_ends_the_step_before_the_weights_change():
    vae = build(laplace).float()
    taker, optimizer = Stepper(vae, ELBO()), torch.optim.SGD(vae.parameters(), lr=0.1)
    taker.look()

    def stop(found, data):
        raise ArithmeticError("not finite")

    for finish in (nothing, nothing, nothing, stop):  # the last one is traced
        before = [parameter.clone() for parameter in vae.parameters()]
        if finish is stop:
            with pytest.raises(ArithmeticError):
                taker.take(optimizer, batch(), partial(stop))
        else:
            taker.take(optimizer, batch(), finish)
    assert all(map(torch.equal, before, vae.parameters()))
