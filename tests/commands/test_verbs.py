"""Compares every verb, on models that are not Gaussian or have a condition, with their distributions."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import stats
from torch.distributions import Categorical, Independent
from torch.nn.functional import one_hot
from torch.testing import assert_close

from helpers.loaded_runs import Rows, loaded_run
from vaelab import VAE
from vaelab.app.cli import main
from vaelab.commands.encode import encode
from vaelab.commands.evaluate import evaluate_run
from vaelab.commands.interpolate import interpolate
from vaelab.commands.reconstruct import reconstruct
from vaelab.commands.report_text import format_reports
from vaelab.commands.rows import ROWS, rows_at_once
from vaelab.commands.sample import sample
from vaelab.commands.score import score_rows
from vaelab.commands.traverse import traverse
from vaelab.evaluation import SAMPLES, kl_per_dimension, views
from vaelab.families import Bernoulli, DiagonalGaussian, Family, Flow, IsotropicGaussian, Laplace
from vaelab.figures import Picture
from vaelab.networks import MLP
from vaelab.priors import ConditionalPrior, LearnedPrior, StandardNormal, VampPrior

N, K, P, CLASSES = 23, 5, 2, 3
NAMES = ("cat", "dog", "owl")
Gaussian = partial(DiagonalGaussian, init_std=1.0)
flow = partial(Flow, context=3, transforms=2, hidden=[7])


def build(posterior=Gaussian, likelihood=Gaussian, prior=StandardNormal, p=P, shape=(K,), **options):
    torch.manual_seed(0)
    size = options.get("condition_size", 0)
    prior = VampPrior(shape, 4, size) if prior is VampPrior else prior((p,))
    network = partial(MLP, hidden=options.pop("hidden", [6]))
    return VAE.build(shape, posterior((p,)), likelihood(shape), prior, network, **options)


def rows(seed=1, n=N):
    return torch.randn(n, K, generator=torch.Generator().manual_seed(seed))


def given(n=N):
    return one_hot(torch.arange(n) % CLASSES, CLASSES).float()


def flow_run(folder):
    vae = build(flow)
    for value in vae.encoder.parameters():
        torch.nn.init.normal_(value, std=0.4)
    return loaded_run(folder, vae, Rows(rows()))


def of_condition(shape):
    """p(z|c), different for each class."""
    prior = ConditionalPrior(Gaussian(shape), hidden=[4], condition_size=CLASSES)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return prior


def conditional_run(folder, **options):
    return loaded_run(folder, build(condition_size=CLASSES, **options), Rows(rows(), given(), NAMES))


RUNS = {
    "flow": flow_run,
    "vamp": lambda folder: loaded_run(folder, build(prior=VampPrior), Rows(rows())),
    "laplace": lambda folder: loaded_run(folder, build(likelihood=Laplace), Rows(rows())),
    "iwae": lambda folder: loaded_run(folder, build(), Rows(rows()), "IWAE", samples=5),
    "conditional": conditional_run,
    "conditional_prior": partial(conditional_run, prior=of_condition),
    "conditional_vamp": partial(conditional_run, prior=VampPrior),
    "flow_and_vamp": lambda folder: loaded_run(folder, build(flow, Laplace, VampPrior), Rows(rows())),
}


@pytest.fixture(params=RUNS)
def run(request, tmp_path):
    return RUNS[request.param](tmp_path)


@pytest.fixture
def conditional(tmp_path):
    return conditional_run(tmp_path)


def own_condition(run):
    return (run.data.conditions["test"],) if run.data.conditions else ()


@pytest.fixture
def drawn(monkeypatch):
    """The pictures that are saved, instead of files."""
    pictures = []
    monkeypatch.setattr(Picture, "save", lambda self, path: pictures.append(self))
    return pictures


# Every model goes through every verb.


@torch.no_grad()
def test_encode_and_reconstruct_follow_the_models_own_distributions(run, tmp_path):
    x, c = run.data.test, own_condition(run)
    q = run.vae.encode(x, *c)
    assert encode(run, "test", tmp_path / "z.npz", samples=4) == N
    table = np.load(tmp_path / "z.npz")
    assert_allclose(table["mean"], q.mean, rtol=1e-5, atol=1e-6)
    assert_allclose(table["std"], q.stddev, rtol=1e-5)
    z = (table["sample"] - table["mean"][:, None]) / table["std"][:, None]
    assert z.shape == (N, 4, P)
    assert abs(z.mean()) < 4 / math.sqrt(z.size)
    assert abs(z.std() - 1) < 0.3
    assert reconstruct(run, "val", tmp_path / "r.npz") == N
    table = np.load(tmp_path / "r.npz")
    assert_allclose(table["mean"], run.vae.decode(q.mean, *c).mean, rtol=1e-4, atol=1e-5)
    assert table["sample"].shape == (N, K)


@torch.no_grad()
def test_sample_decodes_draws_of_the_prior(run, tmp_path):
    n = 2 * N + 1
    assert sample(run, n, tmp_path / "s.npz") == n
    table = np.load(tmp_path / "s.npz")
    c = (given(n),) if run.data.conditions else ()
    assert_allclose(table["mean"], run.vae.decode(torch.from_numpy(table["z"]), *c).mean, rtol=1e-4, atol=1e-5)
    prior = run.vae.prior_given(*c)
    spread = 4 * prior.stddev.expand(n, P).square().mean(0).sqrt() / math.sqrt(n)
    assert (torch.from_numpy(table["z"]) - prior.mean).mean(0).abs().le(spread).all()


def test_every_verb_draws_pictures_of_finite_numbers(run, drawn, tmp_path):
    file = tmp_path / "a.png"
    reconstruct(run, "test", file)
    sample(run, 7, file)
    traverse(run, file)
    traverse(run, file, dimensions=[2, 1])
    interpolate(run, "test:0", f"val:{CLASSES}", file)  # rows of one class
    assert len(drawn) == 5
    assert all(picture.is_finite() for picture in drawn)


def test_score_agrees_with_evaluate(run, tmp_path):
    report = evaluate_run(run, samples=300)
    score_rows(run, "test", tmp_path / "s.npz", samples=300)
    table = np.load(tmp_path / "s.npz")
    for name, key, sign in (("log_p", "nll", -1), ("elbo", "elbo", 1), ("kl", "kl", 1)):  # from other draws
        assert sign * table[name].mean() == pytest.approx(report[key], abs=4 * report[f"{key}_stderr"]), name
    assert table["log_p"].shape == (N,)
    assert all(np.isfinite(table[name]).all() for name in ("log_p", "elbo", "kl", "pareto_k", "ess"))


@torch.no_grad()
def test_evaluate_keeps_the_order_of_the_bounds(run):
    report = evaluate_run(run, samples=300)
    assert report["iw_1"] <= report["iw_5"] <= report["iw_50"] <= -report["nll"]
    assert report["elbo"] == pytest.approx(report["iw_1"], abs=0.1 * report["iw_1_stderr"])
    q, prior = run.vae.encode(run.data.test, *own_condition(run)), run.vae.prior_given(*own_condition(run))
    assert_allclose(report["kl_per_dimension"], kl_per_dimension(q, prior).mean(0), rtol=1e-4)
    assert report["mutual_information_low"] <= report["mutual_information_high"]


def test_a_report_says_what_is_estimated(tmp_path):
    reports = {name: evaluate_run(make(tmp_path), samples=50) for name, make in RUNS.items()}
    said = {name: format_reports([name], [report]) for name, report in reports.items()}
    by_draws = {name for name, text in said.items() if "KL(q ‖ p) has no closed form here" in text}
    assert by_draws == {"flow", "vamp", "flow_and_vamp", "conditional_vamp"}
    assert {name for name, text in said.items() if "kl_per_dimension, in evaluation.json" in text} == by_draws
    of_means = {name for name, text in said.items() if "it is estimated from 1000 draws of each" in text}
    assert of_means == {"flow", "flow_and_vamp"}
    assert "trained with IWAE(samples=5), sigma floor 0.01" in said["iwae"]  # it has no beta
    assert (reports["iwae"]["objective"], reports["iwae"]["beta"]) == ("IWAE", None)
    assert reports["iwae"]["objective_settings"] == "samples=5"
    assert "of Rows given the label, test split" in said["conditional"]
    assert {name for name, text in said.items() if "these are I(x; z | c)" in text} == {"conditional_prior"}
    both = format_reports(["a", "b"], [reports["iwae"], reports["conditional"]])
    assert "CANNOT be compared by their scores, because they differ in condition: none | label" in both


class Categories(Family):
    """A user's own family: each dimension of the target is one of four categories."""

    support = "real"

    def __init__(self, event_shape):
        super().__init__(event_shape)
        self.num_parameters = 4 * self.event_size

    def forward(self, parameters):
        logits = parameters.unflatten(-1, (*self.event_shape, 4))
        return Independent(Categorical(logits=logits), len(self.event_shape))


@torch.no_grad()
def test_categories_are_written_as_their_mode_and_probabilities(tmp_path):
    data = torch.randint(0, 4, (N, K), generator=torch.Generator().manual_seed(1)).float()
    run = loaded_run(tmp_path, build(likelihood=Categories), Rows(data))
    reconstruct(run, "test", tmp_path / "r.npz")
    table = np.load(tmp_path / "r.npz")
    logits = run.vae.decoder.network(run.vae.encode(data).mean).view(N, K, 4)
    assert_allclose(table["probabilities"], logits.softmax(-1), rtol=1e-5)
    assert (table["mode"] == logits.argmax(-1).numpy()).all()
    assert set(np.unique(table["sample"])) <= {0, 1, 2, 3}
    report = evaluate_run(run, samples=100)
    assert report["iw_1"] <= report["iw_10"] <= -report["nll"] < 0


def test_estimated_means_do_not_shrink_the_batches(tmp_path):
    assert rows_at_once(flow_run(tmp_path)) == ROWS


# What each model's numbers are in truth.


def test_a_flow_at_its_start_gives_the_numbers_of_its_gaussian(tmp_path):
    """With min_std = 0 the flow has σ = exp(a), and the Gaussian σ = exp(h/2): they are equal if h = 2a."""
    posteriors = partial(flow, min_std=0.0), partial(DiagonalGaussian, min_std=0.0, init_std=1.0)
    likelihood = partial(IsotropicGaussian, init_std=5.0)  # a wide one, so that few draws are enough
    flowing, gaussian = (build(posterior, likelihood, hidden=[]) for posterior in posteriors)
    with torch.no_grad():
        gaussian.decoder.load_state_dict(flowing.decoder.state_dict())
        for own, other in zip(gaussian.encoder.parameters(), flowing.encoder.network.parameters(), strict=False):
            own.copy_(other[: 2 * P])
            own[P:] *= 2
    one, other = (evaluate_run(loaded_run(tmp_path, vae, Rows(rows())), samples=2000) for vae in (flowing, gaussian))
    for name in ("elbo", "log_likelihood", "kl", "iw_50"):
        assert abs(one[name] - other[name]) < 0.05, name
    error = math.hypot(*(report["mutual_information_low_stderr"] for report in (one, other)))
    assert abs(one["mutual_information_low"] - other["mutual_information_low"]) < 4 * error  # by one draw per example
    assert one["exact_nll"] == pytest.approx(other["exact_nll"])
    assert_allclose(one["kl_per_dimension"], other["kl_per_dimension"], atol=0.03)
    assert one["active_units"] == other["active_units"]
    assert (one["kl_by"], other["kl_by"]) == ("draws", "closed form")
    table = {}
    for name, vae in (("flow", flowing), ("gaussian", gaussian)):
        encode(loaded_run(tmp_path, vae, Rows(rows())), "test", tmp_path / f"{name}.npz")
        table[name] = np.load(tmp_path / f"{name}.npz")
    tolerance = 4 * table["gaussian"]["std"] / math.sqrt(1000)
    assert (np.abs(table["flow"]["mean"] - table["gaussian"]["mean"]) < tolerance).all()
    assert_allclose(table["flow"]["std"], table["gaussian"]["std"], rtol=0.1)


def test_a_vamp_prior_of_one_component_gives_the_numbers_of_a_learned_prior(tmp_path, drawn):
    vamp = build(prior=lambda shape: VampPrior((K,), 1))
    learned = build(prior=lambda shape: LearnedPrior(Gaussian(shape)))
    with torch.no_grad():
        for part in ("encoder", "decoder"):
            getattr(learned, part).load_state_dict(getattr(vamp, part).state_dict())
        learned.prior.numbers.copy_(vamp.encoder.network(vamp.prior.pseudo_inputs)[0])
    runs = [loaded_run(tmp_path, vae, Rows(rows())) for vae in (vamp, learned)]
    one, other = (evaluate_run(run, samples=300) for run in runs)
    for name in ("nll", "log_likelihood", "iw_1", "iw_50", "ess"):
        assert one[name] == pytest.approx(other[name], rel=1e-4)
    assert one["kl"] == pytest.approx(other["kl"], abs=0.05)
    assert_allclose(one["kl_per_dimension"], other["kl_per_dimension"], rtol=1e-3, atol=1e-5)
    assert one["active_units"] == other["active_units"]
    for run in runs:
        traverse(run, tmp_path / "a.png")
    by_draws, closed = drawn
    std = learned.prior().stddev[0].item()
    assert_allclose(by_draws.z1, closed.z1, atol=0.5 * std)  # quantiles of 10,000 draws, 0.13 % from the ends
    assert_allclose(by_draws.z1[5:-5], closed.z1[5:-5], atol=0.25 * std)


@torch.no_grad()
def test_the_nll_under_a_laplace_likelihood_is_that_of_quadrature(tmp_path):
    vae = build(likelihood=partial(Laplace, init_std=2.0), p=1, hidden=[])
    data = rows(n=9)
    found = evaluate_run(loaded_run(tmp_path, vae, Rows(data)), samples=4000)
    z = torch.linspace(-9, 9, 4001).unsqueeze(-1)
    p = vae.decode(z)  # a linear mean and scale, of one latent
    loc, scale = p.mean.numpy(), p.stddev.numpy() / math.sqrt(2)
    log_joint = stats.laplace.logpdf(data.numpy()[:, None], loc, scale).sum(-1) + stats.norm.logpdf(z[:, 0].numpy())
    truth = -np.log(np.trapezoid(np.exp(log_joint), dx=18 / 4000, axis=1)).mean()
    assert found["nll"] == pytest.approx(truth, abs=0.02)
    assert "exact_nll" not in found


@torch.no_grad()
@pytest.mark.parametrize("prior", [StandardNormal, of_condition])
def test_log_p_of_a_linear_model_given_the_condition_is_exact(prior, tmp_path):
    """log p(t|c) = log N(t; W m_c + Vc + b, W S_c Wᵀ + R), with the moments m_c and S_c of p(z|c)."""
    run = conditional_run(tmp_path, likelihood=partial(IsotropicGaussian, init_std=1.0), prior=prior, hidden=[])
    weight, bias = (value.double().numpy() for value in run.vae.decoder.network.parameters())
    w, v = weight[:, :P], weight[:, P:]
    truth = []
    for t, c in zip(run.data.test.double().numpy(), given(), strict=True):
        p = run.vae.prior_given(c)
        mean = w @ p.mean.double().numpy() + v @ c.double().numpy() + bias
        covariance = w * p.variance.double().numpy() @ w.T + (0.01**2 + 1.0) * np.eye(K)
        truth.append(stats.multivariate_normal.logpdf(t, mean, covariance))
    found = evaluate_run(run, samples=2000)
    assert found["exact_nll"] == pytest.approx(-np.mean(truth), rel=1e-6)
    assert found["nll"] == pytest.approx(-np.mean(truth), abs=0.05)
    score_rows(run, "test", tmp_path / "s.npz", samples=2000)
    assert_allclose(np.load(tmp_path / "s.npz")["log_p"], truth, atol=0.3)


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        ("evaluate", [f"default {SAMPLES}"]),
        (
            "traverse",
            [f"default {views.STEPS}, or {views.MANIFOLD_STEPS} if", f"default {views.SPAN:g}"],
        ),
    ],
)
def test_the_help_states_the_defaults(verb, expected, capsys):
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert all(text in said for text in expected)


# Conditions


@torch.no_grad()
@pytest.mark.parametrize(("text", "number"), [("owl", 2), ("1", 1)])
def test_a_class_is_given_by_name_or_number(text, number, conditional, tmp_path):
    vae, c = conditional.vae, torch.eye(CLASSES)[number]
    sample(conditional, N, tmp_path / "s.npz", condition=text)
    table = np.load(tmp_path / "s.npz")
    assert (table["condition"] == number).all()
    assert_allclose(table["mean"], vae.decode(torch.from_numpy(table["z"]), c).mean, rtol=1e-4, atol=1e-5)
    np.save(tmp_path / "x.npy", rows(seed=2).numpy())
    encode(conditional, str(tmp_path / "x.npy"), tmp_path / "z.npz", condition=text)
    reconstruct(conditional, str(tmp_path / "x.npy"), tmp_path / "r.npz", condition=text)
    q = vae.encode(rows(seed=2), c)
    assert_allclose(np.load(tmp_path / "z.npz")["std"], q.stddev, rtol=1e-5)
    assert_allclose(np.load(tmp_path / "r.npz")["mean"], vae.decode(q.mean, c).mean, rtol=1e-4, atol=1e-5)


def test_samples_take_the_classes_in_turn(conditional, tmp_path):
    sample(conditional, 7, tmp_path / "s.csv")
    lines = (tmp_path / "s.csv").read_text().splitlines()
    column = lines[0].replace('"', "").split(",").index("condition")
    assert [line.split(",")[column] for line in lines[1:]] == ["0", "1", "2", "0", "1", "2", "0"]


def test_other_chunks_give_the_same_classes(conditional, tmp_path, monkeypatch):
    monkeypatch.setattr("vaelab.commands.rows.ROWS", 5)
    sample(conditional, 17, tmp_path / "s.npz")
    assert np.load(tmp_path / "s.npz")["condition"].tolist() == [row % 3 for row in range(17)]


@torch.no_grad()
def test_a_picture_of_samples_has_a_row_for_each_class(tmp_path, drawn):
    vae = build(likelihood=Bernoulli, shape=(4, 6), condition_size=CLASSES)
    data = Rows(torch.rand(N, 4, 6).round(), given(), NAMES)
    run = loaded_run(tmp_path, vae, data)
    assert sample(run, 8, tmp_path / "s.png", seed=3) == 8
    assert sample(run, 8, tmp_path / "s.png", seed=3, condition="dog") == 8
    in_turn, one = drawn
    assert (in_turn.row_names, one.row_names) == (NAMES, None)
    assert "p(t|z, c = dog)" in one.title
    torch.manual_seed(3)
    z = vae.prior().sample((8,))
    assert_close(torch.from_numpy(in_turn.images), vae.decode(z, given(8)).mean)
    assert_close(torch.from_numpy(one.images), vae.decode(z, torch.eye(CLASSES)[1]).mean)


@torch.no_grad()
@pytest.mark.parametrize("prior", [StandardNormal, of_condition])
def test_the_same_styles_are_drawn_in_every_class(prior, tmp_path, drawn):
    run = conditional_run(tmp_path, prior=prior)
    assert sample(run, 4, tmp_path / "s.npz", condition="all") == 4 * CLASSES
    table = np.load(tmp_path / "s.npz")
    assert table["condition"].tolist() == [0, 1, 2] * 4
    p = run.vae.prior_given(c := given(4 * CLASSES))
    noise = ((torch.from_numpy(table["z"]) - p.mean) / p.stddev).view(4, CLASSES, P)  # the style
    assert_close(noise, noise[:, :1].expand(4, CLASSES, P), rtol=1e-4, atol=1e-4)
    assert (noise[0] - noise[1]).abs().min() > 1e-3
    assert_allclose(table["mean"], run.vae.decode(torch.from_numpy(table["z"]), c).mean, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="a picture of styles needs images"):
        sample(run, 4, tmp_path / "s.png", condition="all")


@torch.no_grad()
def test_a_picture_of_styles_has_a_row_for_each_z_and_a_column_for_each_class(tmp_path, drawn):
    vae = build(likelihood=Bernoulli, shape=(4, 6), condition_size=CLASSES)
    run = loaded_run(tmp_path, vae, Rows(torch.rand(N, 4, 6).round(), given(), NAMES))
    assert sample(run, None, tmp_path / "s.png", seed=3, condition="all") == 10 * CLASSES
    assert reconstruct(run, "test", tmp_path / "r.png", decode_as="all") == 10
    styles, examples = drawn

    def each(z):
        return z.unsqueeze(1).expand(-1, CLASSES, P)

    torch.manual_seed(3)
    z = vae.prior().sample((10,))
    assert_close(torch.from_numpy(styles.images), vae.decode(each(z), torch.eye(CLASSES)).mean)
    assert styles.names == examples.names == NAMES
    assert_close(torch.from_numpy(examples.originals), run.data.test[:10])
    z = vae.encode(run.data.test[:10], given(10)).mean
    assert_close(torch.from_numpy(examples.images), vae.decode(each(z), torch.eye(CLASSES)).mean)


@torch.no_grad()
@pytest.mark.parametrize("prior", [StandardNormal, of_condition])
def test_a_row_is_decoded_as_another_class_in_its_own_style(prior, tmp_path, drawn):
    run = conditional_run(tmp_path, prior=prior)
    vae, dog = run.vae, torch.eye(CLASSES)[1]
    z, own, other = vae.encode(run.data.test, given()).mean, vae.prior_given(given()), vae.prior_given(dog)
    expected = vae.decode(other.mean + other.stddev * (z - own.mean) / own.stddev, dog).mean
    assert reconstruct(run, "test", tmp_path / "r.npz", decode_as="dog") == N
    assert_allclose(np.load(tmp_path / "r.npz")["mean"], expected, rtol=1e-4, atol=1e-5)
    assert reconstruct(run, "test", tmp_path / "r.npz", decode_as="all") == N * CLASSES
    table = np.load(tmp_path / "r.npz")
    assert table["row"].tolist() == [row for row in range(N) for _ in range(CLASSES)]
    assert_allclose(table["mean"][table["condition"] == 1], expected, rtol=1e-4, atol=1e-5)
    reconstruct(run, "test", tmp_path / "r.png", decode_as="dog")
    assert drawn[0].likelihood == "p(t|z, c = dog)"
    assert_close(torch.from_numpy(drawn[0].mean), expected)
    with pytest.raises(ValueError, match=r"--as must be one of cat, dog, owl, or .* but is cow$"):
        reconstruct(run, "test", tmp_path / "r.npz", decode_as="cow")


@torch.no_grad()
@pytest.mark.parametrize(("text", "number"), [(None, 0), ("dog", 1)])
def test_traverse_shows_one_class_and_says_which(text, number, conditional, drawn, tmp_path):
    shown = traverse(conditional, tmp_path / "t.png", steps=3, dimensions=[2], condition=text)
    assert shown == f"latents 2 of 2, condition {NAMES[number]}"
    assert f"c = {NAMES[number]}" in drawn[0].title
    z = torch.tensor([[0.0, -3.0], [0.0, 0.0], [0.0, 3.0]])
    assert_close(torch.from_numpy(drawn[0].means[0]), conditional.vae.decode(z, torch.eye(CLASSES)[number]).mean)
    assert traverse(conditional, tmp_path / "t.png", condition=text).endswith(f"condition {NAMES[number]}")


def test_traverse_says_how_to_see_the_latents_with_the_most_kl(tmp_path, drawn, monkeypatch):
    run = loaded_run(tmp_path, build(p=3), Rows(rows()))
    monkeypatch.setattr(views, "TRAVERSED", 2)
    assert traverse(run, tmp_path / "t.png") == "latents 1 2 of 3; after `vaelab evaluate RUN`, those with the most KL"
    (run.folder / "evaluation.json").write_text('{"kl_per_dimension": [0.1, 0.3, 0.2]}')
    assert traverse(run, tmp_path / "t.png") == "latents 2 3 of 3"


def test_conditions_that_do_not_fit_are_refused(conditional, tmp_path):
    np.save(tmp_path / "x.npy", rows().numpy())
    file, out = str(tmp_path / "x.npy"), tmp_path / "z.npz"
    with pytest.raises(ValueError, match=r"x.npy needs --condition, because .* one of cat, dog, owl$"):
        encode(conditional, file, out)
    for wrong in ("cow", "3", "-1"):
        with pytest.raises(ValueError, match=f"--condition must be one of cat, dog, owl, or .* but is {wrong}$"):
            reconstruct(conditional, file, out, condition=wrong)
    with pytest.raises(ValueError, match=r"--condition is dog, but the rows of test have .*; leave it out"):
        encode(conditional, "test", out, condition="dog")
    plain = RUNS["laplace"](tmp_path)
    for verb in (
        lambda: encode(plain, "test", out, condition="dog"),
        lambda: sample(plain, 3, out, condition="dog"),
        lambda: sample(plain, 3, tmp_path / "s.png", condition="dog"),
        lambda: traverse(plain, tmp_path / "t.png", condition="dog"),
        lambda: sample(plain, 3, out, condition="all"),
    ):
        with pytest.raises(ValueError, match=r"--condition is (dog|all), but .* without a condition; leave it out"):
            verb()
    assert not out.exists()
