"""A model that standardises is the model of standardised data, with its density in the units of the data."""

import math
from copy import deepcopy

import pytest
import torch

from helpers.choices import LIKELIHOODS, PRIORS, P, diagonal, has_closed_form
from vaelab import VAE, Baseline, Standardization
from vaelab.evaluation import evaluate
from vaelab.evaluation.linear_gaussian import exact_log_marginal
from vaelab.networks import MLP
from vaelab.objectives import ELBO
from vaelab.steps import Stepper, stepper

REAL = [row for row in LIKELIHOODS if row.make((1,)).support == "real"]
K, B = 5, 7
LOC, SCALE = torch.tensor([50.0, -3.0, 0.0, 1e3, 7e-3]).double(), torch.tensor([20.0, 1e-2, 1.0, 300.0, 5e-4]).double()


def pair(row, prior=PRIORS[0], network=MLP):
    """The same model twice: one that standardises, and one for standardised data."""
    models = []
    for standardize in (True, False):
        torch.manual_seed(0)
        families = diagonal.build((P,)).float(), row.build((K,)).float()
        models.append(VAE.build((K,), *families, prior.make((K,), (P,)), network, standardize=standardize).double())
    ours, plain = models
    ours.encoder.input_units.start_at(LOC, SCALE)
    ours.decoder.output_units.start_at(LOC, SCALE)
    return ours, plain


@pytest.mark.parametrize("prior", [row for row in PRIORS if row.support == "real"], ids=lambda prior: prior.name)
@pytest.mark.parametrize("row", REAL, ids=lambda row: row.name)
def test_every_term_is_that_of_standardised_data(row, prior):
    ours, plain = pair(row, prior)
    u = torch.randn(B, K).double()
    if hasattr(ours.prior, "start_from"):
        ours.prior.start_from(LOC + SCALE * u)
        plain.prior.start_from(u)
    objective = ELBO(samples=3, kl="closed_form" if has_closed_form(diagonal, prior) else "monte_carlo")
    terms = []
    for vae, x in ((ours, LOC + SCALE * u), (plain, u)):
        torch.manual_seed(1)
        terms.append(objective(vae, x, x))
    torch.testing.assert_close(terms[0].kl, terms[1].kl)
    torch.testing.assert_close(terms[0].log_likelihood, terms[1].log_likelihood - SCALE.log().sum(), atol=1e-6, rtol=0)


def test_a_linear_model_has_its_exact_density_in_the_units_of_the_data():
    shared = next(row for row in REAL if row.name == "shared")
    ours, plain = pair(shared, network=lambda shape, outputs: MLP(shape, outputs, hidden=[]))
    u = torch.randn(B, K).double()
    expected = exact_log_marginal(plain, u) - SCALE.log().sum()
    torch.testing.assert_close(exact_log_marginal(ours, LOC + SCALE * u), expected)


def test_training_starts_at_the_mean_of_the_data():
    ours, plain = pair(diagonal)
    for vae, mean in ((ours, LOC + 0.3 * SCALE), (plain, torch.full((K,), 0.3).double())):
        vae.decoder.start_at(mean)
        for parameter in vae.decoder.network.layers[:-1].parameters():
            parameter.data.zero_()  # the last hidden layer is then 0, so the output is the bias
        torch.testing.assert_close(vae.decode(torch.randn(B, P).double()).mean, mean.expand(B, K))


def test_traced_steps_equal_eager_steps(monkeypatch):
    weights = []
    for after in (2, 10**6):
        monkeypatch.setattr(stepper, "TRACE_AFTER", after)
        ours, _ = pair(diagonal)
        taker, optimizer = Stepper(ours, ELBO()), torch.optim.Adam(ours.parameters(), lr=0.01)
        taker.look()
        torch.manual_seed(5)
        for _ in range(5):
            x = LOC + SCALE * torch.randn(B, K).double()
            taker.take(optimizer, (x, x), lambda found, batch: None)
        assert bool(taker.traced) == (after == 2)
        weights.append(torch.cat([parameter.detach().flatten() for parameter in ours.parameters()]))
    torch.testing.assert_close(*weights, rtol=0, atol=0)


@pytest.mark.parametrize("row", REAL, ids=lambda row: row.name)
def test_a_baseline_has_the_units_of_its_decoder(row):
    ours, plain = pair(row)
    u = torch.randn(41, K).double()
    t = LOC + SCALE * u
    log_pt = Baseline(ours.decoder).double().fit_(t)().log_prob(t)
    expected = Baseline(plain.decoder).double().fit_(u)().log_prob(u) - SCALE.log().sum()
    numerical = row.name in ("low_rank", "student_t", "student_t_learned")  # an optimum that ends at a tolerance
    torch.testing.assert_close(log_pt, expected, atol=0.02 if numerical else 1e-6, rtol=0)


def test_a_baseline_leaves_its_model_alone_and_takes_no_gradient():
    ours, _ = pair(next(row for row in REAL if row.name == "shared"))
    before = deepcopy(ours.state_dict())
    baseline = Baseline(ours.decoder).fit_(torch.randn(41, K).double())
    torch.testing.assert_close(ours.state_dict(), before)
    assert not any(parameter.requires_grad for parameter in baseline.parameters())


def test_a_scale_must_be_positive():
    with pytest.raises(ValueError, match="every scale must be positive, but one is 0; use 1 for a constant"):
        Standardization((2,)).start_at(torch.zeros(2), torch.tensor([1.0, 0.0]))


def test_the_gain_is_paired_and_the_ceiling_is_the_entropy():
    from vaelab.data import Sine

    data = Sine(train_size=60, val_size=5, test_size=90)
    data.setup()
    torch.manual_seed(0)
    vae = VAE.build((2,), diagonal.build((P,)).float(), REAL[0].build((1,)).float(), PRIORS[0].make((2,), (P,)), MLP)
    baseline = Baseline(vae.decoder).fit_(data.examples("train")[1])
    report = evaluate(vae, data, samples=20, baseline=baseline)
    t, mean = data.test[1].double(), data.train[1].double().mean(0)
    by_hand = (-0.5 * (t - mean).square() - 0.5 * math.log(2 * math.pi)).squeeze(-1)
    assert report["baseline"] == pytest.approx(by_hand.mean().item(), abs=1e-6)
    assert report["baseline_stderr"] == pytest.approx(by_hand.std().item() / math.sqrt(90), rel=1e-4)
    assert report["gain"] == pytest.approx(-report["nll"] - report["baseline"], abs=1e-6)
    assert report["ceiling"] == pytest.approx(-math.log(math.pi / 2), abs=1e-6)
    assert report["gain_stderr"] < report["nll_stderr"] + report["baseline_stderr"]
