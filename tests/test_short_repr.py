"""Short texts for notebooks: one line for each part, with its numbers."""

import json
from functools import partial

import pytest
import torch

from helpers.choices import FAMILIES, PRIORS, named
from helpers.loaded_runs import Rows, loaded_run
from vaelab import VAE, Baseline, families, networks, objectives, priors
from vaelab.short_repr import call_of


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (families.DiagonalGaussian((3, 5), init_std=0.05), "DiagonalGaussian((3, 5), min_std=0.01, init_std=0.05)"),
        (families.IdentityGaussian((2,), std=0.3), "IdentityGaussian((2,), std=0.3)"),
        (families.Bernoulli((1, 28, 28)), "Bernoulli((1, 28, 28))"),
        (priors.StandardNormal((3,)), "StandardNormal((3,))"),
        (priors.VampPrior((5,), components=4), "VampPrior((5,), components=4)"),
        (
            priors.LearnedPrior(families.FullGaussian((3,), min_std=0.2, init_std=1.0)),
            "LearnedPrior(FullGaussian((3,), min_std=0.2, init_std=1.0))",
        ),
        (objectives.IWAE(samples=7), "IWAE(samples=7, gradient='pathwise', temperature=0.5)"),
    ],
)
def test_a_part_shows_the_call_that_makes_it(made, text):
    assert repr(made) == text


@pytest.mark.parametrize("row", **named([*FAMILIES, *PRIORS]))
def test_the_text_of_every_part_makes_it_again(row):
    made = row.build((3,)) if row in FAMILIES else row.make((5,), (3,))
    names = {name: getattr(module, name) for module in (families, priors) for name in module.__all__}
    again = eval(repr(made), names)
    assert type(again) is type(made)
    assert repr(again) == repr(made)
    shapes = [{name: value.shape for name, value in each.state_dict().items()} for each in (made, again)]
    assert shapes[0] == shapes[1]


def model(**options):
    posterior, likelihood = families.DiagonalGaussian((3,)), families.FullGaussian((2,))
    return VAE.build(
        (5,), posterior, likelihood, priors.StandardNormal((3,)), partial(networks.MLP, hidden=[7]), **options
    )


def test_a_model_takes_four_lines_and_its_networks_keep_torchs_text():
    vae = model(standardize=True)
    first, *parts = repr(vae).splitlines()
    assert first == f"VAE with {5 * 7 + 7 + 7 * 6 + 6 + 3 * 7 + 7 + 7 * 5 + 5:,} parameters"
    assert [line.split()[0] for line in parts] == ["q(z|x)", "p(t|z)", "p(z)"]
    assert "hidden=(7,)" in parts[1]
    assert "Standardization((2,))" in parts[1]
    assert repr(vae.encoder.network).startswith("MLP(\n  (layers): Sequential(")
    assert repr(Baseline(vae.decoder)) == "Baseline(FullGaussian((2,), min_std=0.01, init_std=0.2))"


def test_a_long_argument_is_cut():
    text = call_of(networks.MLP((3,), 4, hidden=[100] * 99))
    assert len(text) < 150
    assert "…" in text


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs" / "a run").mkdir(parents=True)
    data = Rows(torch.zeros(1, 5))
    run = loaded_run(tmp_path / "outputs" / "a run", model(), data)
    run.config.update(choices={"model": "gaussian_full"}, data={"_target_": "mine.Rows"})
    return run


def write(run, name, content):
    (run.folder / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))


def test_a_run_shows_its_score(run):
    assert repr(run) == "Run(outputs/a run: gaussian_full on Rows, latent_dim 3, no final numbers yet)"
    run.config["data"]["path"] = "/somewhere/my wine.csv"
    assert repr(run).startswith("Run(outputs/a run: gaussian_full on my wine.csv, ")
    del run.config["data"]["path"]
    write(run, "data", {"data": "sin(x+y) on [-π, π]², no noise"})
    write(run, "metrics", {"val/elbo": -0.987})
    assert repr(run) == "Run(outputs/a run: gaussian_full on sin(x+y), latent_dim 3, val ELBO -0.99)"
    write(run, "metrics", {"val/elbo": -0.987, "test/elbo": -1.234})
    assert repr(run).endswith("test ELBO -1.23)")
    report = {"elbo": -1.2, "elbo_stderr": 0.014, "split": "test", "checkpoint": "best.ckpt"}
    write(run, "evaluation", report)
    assert repr(run).endswith("test ELBO -1.20 ± 0.01)")
    write(run, "evaluation", report | {"checkpoint": "last.ckpt"})  # the numbers of other weights
    assert repr(run).endswith("test ELBO -1.23)")


@pytest.mark.parametrize(
    "content", ["", "[1, 2]", "{", '{"elbo": "high", "data": 3, "test/elbo": [1], "val/elbo": null}']
)
def test_a_run_shows_itself_whatever_its_files_hold(content, run):
    for name in ("data", "metrics", "evaluation"):
        write(run, name, content)
    assert repr(run).startswith("Run(outputs/a run: gaussian_full on Rows, latent_dim 3, ")


def test_text_from_a_stranger_moves_no_cursor_and_fills_no_page(run):
    write(run, "data", {"data": "\x1b[2J" + "x" * 9999})
    write(run, "metrics", {"test/elbo": 1e300})
    assert len(repr(run)) < 200
    assert "\x1b" not in repr(run)
