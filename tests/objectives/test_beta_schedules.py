"""β rises as its schedule says, in the loss of training alone, and by every way to take a step."""

from functools import partial

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers.choices import build, laplace
from helpers.runner import TINY, run_train
from vaelab.objectives import ELBO
from vaelab.objectives.beta_schedules import SCHEDULES
from vaelab.steps import Stepper, stepper


def test_the_mean_weight_of_a_schedule_is_the_area_under_it():
    progress = torch.linspace(0, 1, 200_001, dtype=torch.float64)[:-1].tolist()
    means = {
        (name, warmup, cycles): sum(schedule(t, warmup, cycles) for t in progress) / len(progress)
        for name, schedule in SCHEDULES.items()
        for warmup, cycles in ((0.5, 4), (0.3, 7), (1.0, 1))
    }
    expected = {key: 1.0 if key[0] == "constant" else 1 - key[1] / 2 for key in means}
    assert means == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kl", ["closed_form", "monte_carlo"])
def test_beta_weighs_the_kl_in_the_loss_alone(kl):
    vae = build(laplace).float()
    x, target = torch.randn(7, 2, 3), torch.randn(7, 4, 1)
    objective = ELBO(samples=3, beta=2.0, kl=kl, beta_schedule="linear")
    torch.manual_seed(1)
    final = objective(vae, x, target)
    torch.manual_seed(1)
    early = objective(vae, x, target, beta=torch.tensor(0.25))
    torch.testing.assert_close(final.loss, 2 * final.kl - final.log_likelihood)
    torch.testing.assert_close(early.loss, 0.25 * early.kl - early.log_likelihood)
    torch.testing.assert_close(early.elbo, final.elbo)


@pytest.mark.parametrize("kl", ["closed_form", "monte_carlo"])
def test_one_trace_serves_every_weight_and_gives_the_numbers_of_eager_steps(kl, monkeypatch):
    results = {}
    for after in (2, 10**6):
        monkeypatch.setattr(stepper, "TRACE_AFTER", after)
        vae = build(laplace).float()
        objective = ELBO(samples=3, kl=kl, beta_schedule="linear")
        taker, optimizer = Stepper(vae, objective), torch.optim.Adam(vae.parameters(), lr=0.01)
        torch.manual_seed(5)
        for step in range(9):
            if step % 3 == 0:
                taker.look()
            inputs = torch.randn(11, 2, 3), torch.randn(11, 4, 1), torch.tensor(objective.beta_at(step / 9))
            taker.take(optimizer, inputs, lambda found, batch: None)
        results[len(taker.traced)] = torch.cat([each.detach().flatten() for each in vae.parameters()])
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)


def test_a_run_logs_its_beta_and_more_epochs_stretch_the_schedule(tmp_path):
    common = ["objective.beta_schedule=cyclical", "objective.cycles=2", "objective.beta=3", "objective.warmup=0.5"]
    common += ["data.train_size=1000", *TINY[1:]]
    run_train(tmp_path, *common, "trainer.log_every_n_steps=4", "trainer.max_epochs=2", "hydra.run.dir=run")
    run_train(tmp_path, "resume=run", "trainer.max_epochs=4")
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    schedule = partial(SCHEDULES["cyclical"], warmup=0.5, cycles=2)
    points = {point.step: point.value for point in events.Scalars("train/weight_of_kl")}
    assert points == pytest.approx(
        {step: 3 * schedule(step / (20 if step < 20 else 40)) for step in (3, 7, 9, 13, 17, 19, 23, 27, 29, 33, 37, 39)}
    )
