"""`vaelab score`: compared with closed forms, in every size of chunk."""

import csv
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import special, stats

from helpers.loaded_runs import Rows, loaded_run
from vaelab import VAE
from vaelab.commands.rows import Rows as ReadRows
from vaelab.commands.score import score_rows, summary, warn_if_unreliable
from vaelab.commands.score_conditions import score_conditions, summary_of_conditions
from vaelab.evaluation import score
from vaelab.families import DiagonalGaussian, IsotropicGaussian
from vaelab.networks import MLP
from vaelab.priors import StandardNormal

N, K, P = 23, 5, 2


class Labelled(Rows):
    """Rows whose classes have names."""

    label_names = ("ale", "stout")

    def labels(self, split):
        return "kind", torch.arange(N) % 2


@pytest.fixture
def x():
    rows = torch.randn(N, K, generator=torch.Generator().manual_seed(1))
    rows[17] *= 9  # the unusual one
    return rows


@pytest.fixture
def run(x, tmp_path):
    torch.manual_seed(0)
    families = DiagonalGaussian((P,), init_std=1.0), IsotropicGaussian((K,), init_std=2.0)
    vae = VAE.build((K,), *families, StandardNormal((P,)), partial(MLP, hidden=[]))
    return loaded_run(tmp_path, vae, Labelled(x))


@torch.no_grad()
def test_log_p_is_that_of_a_linear_model_and_the_kl_that_of_gaussians(run, x, tmp_path):
    scored = score_rows(run, "test", tmp_path / "s.npz", samples=4000)
    table = np.load(tmp_path / "s.npz")
    w, bias = (value.double().numpy() for value in run.vae.decoder.network.parameters())
    truth = stats.multivariate_normal.logpdf(x.double(), bias, w @ w.T + (0.01**2 + 4.0) * np.eye(K))
    good = table["pareto_k"] < 0.7
    assert good.sum() > N / 2
    assert_allclose(table["log_p"][good], truth[good], atol=0.1)
    q = run.vae.encode(x)
    mean, variance = q.mean.double().numpy(), q.variance.double().numpy()
    assert_allclose(table["kl"], 0.5 * (mean**2 + variance - 1 - np.log(variance)).sum(-1), rtol=1e-4)
    assert (table["elbo"] < table["log_p"]).all()
    assert ((table["ess"] >= 1) & (table["ess"] <= 4000)).all()
    assert table["row"].tolist() == list(range(N))
    assert table["label"].tolist() == ["ale", "stout"] * (N // 2) + ["ale"]
    lowest = [row["row"] for row in scored.lowest]
    assert lowest == np.argsort(table["log_p"])[:5].tolist()
    assert (lowest[0], scored.lowest[0]["label"], scored.rows) == (17, "stout", N)
    assert scored.unreliable == (table["pareto_k"] > 0.7).sum()


@pytest.mark.parametrize("chunk", [1, 4, 1000])
def test_each_row_has_its_own_draws_whatever_the_chunks(chunk, run, x, tmp_path, monkeypatch):
    score_rows(run, "test", tmp_path / "whole.npz", samples=30, seed=3)
    monkeypatch.setattr("vaelab.commands.rows.ROWS", chunk)
    np.save(tmp_path / "first.npy", x[:7].numpy())
    score_rows(run, str(tmp_path / "first.npy"), tmp_path / "first.npz", samples=30, seed=3)
    score_rows(run, "test", tmp_path / "other.npz", samples=30, seed=4)
    whole, first, other = (np.load(tmp_path / f"{name}.npz") for name in ("whole", "first", "other"))
    for name in ("log_p", "elbo", "kl", "pareto_k", "ess"):
        assert (first[name] == whole[name][:7]).all(), name
    assert (other["log_p"] != whole["log_p"]).all()


def test_equal_rows_have_different_draws(run, tmp_path):
    np.save(tmp_path / "same.npy", np.ones((6, K), np.float32))
    score_rows(run, str(tmp_path / "same.npy"), tmp_path / "s.npz", samples=30)
    assert len(set(np.load(tmp_path / "s.npz")["log_p"])) == 6


def test_seeds_leave_the_generator_of_torch_alone(run, x):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one = score(run.vae, [(x[:4], x[:4]), (x[4:9], x[4:9])], 20, seeds=range(9))
    assert torch.equal(torch.rand(3), expected)
    again = score(run.vae, [(x[6:9], x[6:9])], 20, seeds=range(6, 9))
    assert torch.equal(one["nll"][6:], again["nll"])


def test_a_csv_has_a_line_for_each_row_in_order(run, tmp_path):
    score_rows(run, "val", tmp_path / "s.csv", samples=25)
    with (tmp_path / "s.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == ["row", "log_p", "elbo", "kl", "pareto_k", "ess", "label"]
    assert [line["row"] for line in lines] == [str(row) for row in range(N)]


def test_the_summary_says_what_the_numbers_are(run, tmp_path, caplog):
    scored = score_rows(run, "test", tmp_path / "s.csv", samples=10)  # too few for a tail
    said = summary(scored, 10)
    assert said.startswith("The most unusual of 23 rows (lowest log p):")
    assert len(said.splitlines()) == 1 + 1 + 5 + 2
    assert "log_p estimates log p(t), in nats" in said
    assert "log p(t|c), how likely t is given the label, in nats" in summary(scored, 10, "label")
    warn_if_unreliable(scored, 10)
    assert "pareto_k is above 0.7 for 23 of 23 rows" in caplog.text
    caplog.clear()
    warn_if_unreliable(replace(scored, unreliable=2), 10)
    assert not caplog.text


def test_inputs_without_targets_are_refused(run, x, tmp_path, monkeypatch):
    batches = [(ReadRows(x, None, None), None)]
    monkeypatch.setattr("vaelab.commands.score.read_labelled", lambda *_: iter(batches))
    with pytest.raises(ValueError, match=r"score needs a target for each row, but x.npy holds only inputs"):
        score_rows(run, "x.npy", tmp_path / "s.csv", samples=5)
    assert not (tmp_path / "s.csv").exists()


@pytest.fixture
def conditional(x, tmp_path):
    """A linear-Gaussian model of three classes, whose shares in the training split are 12, 8 and 3 of 23."""
    torch.manual_seed(0)
    families = DiagonalGaussian((P,), init_std=1.0), IsotropicGaussian((K,), init_std=2.0)
    vae = VAE.build((K,), *families, StandardNormal((P,)), partial(MLP, hidden=[]), condition_size=3)
    classes = torch.tensor([0] * 12 + [1] * 8 + [2] * 3)
    return loaded_run(tmp_path, vae, Rows(x, torch.eye(3)[classes], ("ale", "bock", "stout")))


@torch.no_grad()
def test_every_class_is_weighed_by_its_share(conditional, x, tmp_path):
    scored = score_conditions(conditional, "test", tmp_path / "s.npz", samples=3000)
    table = np.load(tmp_path / "s.npz")
    w, bias = (value.double().numpy() for value in conditional.vae.decoder.network.parameters())
    covariance = w[:, :P] @ w[:, :P].T + (0.01**2 + 4.0) * np.eye(K)
    means, shares = bias + w[:, P:].T, np.array([12, 8, 3]) / N
    truth = np.stack([stats.multivariate_normal.logpdf(x.double(), mean, covariance) for mean in means], -1)
    given = np.stack([table[f"log_p_{name}"] for name in ("ale", "bock", "stout")], -1)
    error = np.abs(np.delete(given - truth, 17, 0))  # row 17 is far from all draws
    assert error.mean() < 0.06
    assert error.max() < 0.3
    assert_allclose(table["log_p"], special.logsumexp(given, axis=-1, b=shares))
    assert (table["likeliest"] == np.array(["ale", "bock", "stout"])[(given + np.log(shares)).argmax(-1)]).all()
    own = np.repeat([0, 1, 2], [12, 8, 3])
    assert_allclose(scored.information, given[np.arange(N), own] - table["log_p"])
    assert scored.entropy == pytest.approx(stats.entropy(shares))
    assert scored.right == (table["likeliest"] == np.array(["ale", "bock", "stout"])[own]).sum()
    said = summary_of_conditions(scored, 3000)
    assert f"{np.mean(scored.information):.3f} ± {np.std(scored.information) / np.sqrt(N):.3f} nats" in said
    assert f"at most the entropy of the label, {stats.entropy(shares):.3f}" in said


def test_scores_under_a_class_are_those_of_a_file_of_that_class(conditional, x, tmp_path):
    np.save(tmp_path / "x.npy", x.numpy())
    score_conditions(conditional, "test", tmp_path / "every.npz", samples=50, seed=3)
    score_rows(conditional, str(tmp_path / "x.npy"), tmp_path / "bock.npz", samples=50, seed=3, condition="bock")
    every, bock = (np.load(tmp_path / f"{name}.npz") for name in ("every", "bock"))
    assert_allclose(every["log_p_bock"], bock["log_p"])
