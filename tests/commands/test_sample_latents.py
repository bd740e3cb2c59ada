"""`vaelab sample --latents` decodes latents of training examples, and says how well they are fitted."""

import re
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from helpers.loaded_runs import Rows, loaded_run
from helpers.runner import SHORT, run_train
from vaelab import VAE
from vaelab.app.cli import main
from vaelab.commands.latents import with_latents
from vaelab.commands.sample import sample
from vaelab.evaluation import latent_fits
from vaelab.families import DiagonalGaussian, Flow
from vaelab.networks import MLP
from vaelab.priors import StandardNormal

N, K, P, CLASSES = 301, 5, 2, 3
KINDS = ("aggregate", "mixture", "flow")
Gaussian = partial(DiagonalGaussian, init_std=1.0)


def x_of(classes=None):
    """Rows in two clusters, or one cluster for each class."""
    generator = torch.Generator().manual_seed(1)
    classes = torch.arange(N) % 2 if classes is None else classes
    return 4 * classes.unsqueeze(-1) + 0.1 * torch.randn(N, K, generator=generator)


def build(posterior=Gaussian, **options):
    """A model whose q(z|x) is far from N(0, I)."""
    torch.manual_seed(0)
    vae = VAE.build((K,), posterior((P,)), Gaussian((K,)), StandardNormal((P,)), partial(MLP, hidden=[]), **options)
    vae.encoder.network.bias.data[:P] += 3
    return vae


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(latent_fits, "STEPS", 100)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_lie_where_the_latents_of_the_data_lie(kind, tmp_path):
    run = loaded_run(tmp_path, build(), Rows(x_of()))
    fitted, text = with_latents(run, kind)
    torch.manual_seed(0)
    assert sample(fitted, N, tmp_path / "s.npz") == N
    z, q = torch.from_numpy(np.load(tmp_path / "s.npz")["z"]), run.vae.encode(x_of())
    variance = q.variance.mean(0) + q.mean.var(0)
    assert ((z.mean(0) - q.mean.mean(0)).abs() < 5 * (2 * variance / N).sqrt()).all()
    assert z.var(0).numpy() == pytest.approx(variance.detach().numpy(), rel=0.4)
    numbers = dict(re.findall(r"^(the fit|the prior|difference) +(-?[\d.]+) ±", text, re.M))
    assert float(numbers["the fit"]) - float(numbers["the prior"]) == pytest.approx(
        float(numbers["difference"]), abs=0.011
    )
    assert float(numbers["difference"]) > 1
    assert f"latents of {N} validation examples" in text


def test_the_prior_of_the_table_is_the_models(tmp_path):
    vae = build()
    _, text = with_latents(loaded_run(tmp_path, vae, Rows(x_of())), "aggregate")
    q = vae.encode(x_of())
    expected = -0.5 * (q.variance + q.mean.square()).sum(-1).mean() - np.log(2 * np.pi)
    mean, error = map(float, re.search(r"the prior +(\S+) ± (\S+)", text).groups())
    assert abs(mean - expected) < 4.5 * error


@pytest.mark.parametrize("kind", KINDS)
def test_a_conditional_run_uses_the_examples_of_the_condition(kind, tmp_path):
    classes = torch.arange(N) % CLASSES
    data = Rows(x_of(classes), one_hot(classes, CLASSES).float(), ("cat", "dog", "owl"))
    vae = build(condition_size=CLASSES)
    run = loaded_run(tmp_path, vae, data)
    for condition in (None, "all"):
        with pytest.raises(ValueError, match=f"--condition must be one condition with --latents {kind}, .*but is"):
            with_latents(run, kind, condition)
    fitted, _ = with_latents(run, kind, "owl")
    torch.manual_seed(0)
    sample(fitted, N, tmp_path / "s.npz", condition="owl")
    table, owls = np.load(tmp_path / "s.npz"), classes == 2
    q = vae.encode(data.train[owls], data.conditions["train"][owls])
    variance = (q.variance.mean(0) + q.mean.var(0)).detach().numpy()
    difference = table["z"].mean(0) - q.mean.mean(0).detach().numpy()
    assert (abs(difference) < 5 * np.sqrt(2 * variance / owls.sum().item())).all()
    assert set(table["condition"]) == {2}


@pytest.mark.parametrize("kind", KINDS)
def test_a_posterior_that_is_no_gaussian_works_and_its_picture_says_where_z_comes_from(kind, tmp_path, monkeypatch):
    from vaelab.evaluation.views import generation

    titles = []
    monkeypatch.setattr(generation, "PointDraws", lambda *arguments: titles.append(arguments[3]) or Drawn())
    run = loaded_run(tmp_path, build(partial(Flow, context=3, transforms=1, hidden=[7])), Rows(x_of()[:31]))
    fitted, _ = with_latents(run, kind, seed=3)
    sample(fitted, 7, tmp_path / "s.png")
    assert titles == ["draws from p(t|z), z ~ " + ("q(z)" if kind == "aggregate" else f"a {kind} fitted to q(z)")]


class Drawn:
    def save(self, file):
        pass


def test_too_few_examples_are_refused(tmp_path):
    with pytest.raises(ValueError, match="--latents mixture needs at least 5 training examples, but there are 4"):
        with_latents(loaded_run(tmp_path, build(), Rows(x_of()[:4])), "mixture")
    conditions = torch.eye(CLASSES)[torch.zeros(N, dtype=torch.int64)]
    run = loaded_run(tmp_path, build(condition_size=CLASSES), Rows(x_of(), conditions, ("cat", "dog", "owl")))
    with pytest.raises(ValueError, match="examples with the condition dog, but there are 0; use --latents prior"):
        with_latents(run, "flow", "dog")


def test_discrete_latents_have_no_density_to_fit(tmp_path):
    run = loaded_run(tmp_path, build(), Rows(x_of()))
    run.vae.encoder.family.support = "binary"
    with pytest.raises(ValueError, match="--latents mixture needs real latents, but the latents are binary; use"):
        with_latents(run, "mixture")


def test_the_command_prints_the_table_and_names_the_data_if_they_have_moved(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = tmp_path / "rows of ü.npy"
    np.save(rows, x_of().numpy())
    sizes = "data.val_size=30", "data.test_size=30"
    trained = run_train(tmp_path, "data=array", f"data.path='{rows}'", *SHORT, *sizes, "hydra.run.dir=run")
    assert trained.returncode == 0, trained.stderr
    command = ["sample", "run", "-n", "3", "-o", "new.csv", "--latents", "aggregate"]
    main(command)
    said, table = capsys.readouterr().out, (tmp_path / "new.csv").read_text()
    assert said.startswith("new.csv  3 rows\n\nz from q(z|x) of 241 training examples")
    assert "latents of 30 validation examples, nats" in said
    main(command)
    assert (capsys.readouterr().out, (tmp_path / "new.csv").read_text()) == (said, table)
    moved = rows.rename(tmp_path / "moved.npy")
    with pytest.raises(SystemExit, match="--data path=FILE"):
        main(command)
    main([*command, "--data", f"path={moved}"])
    assert capsys.readouterr().out == said
