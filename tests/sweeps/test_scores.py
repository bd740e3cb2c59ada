"""The score of a run, and which runs it can be compared with."""

import doctest
import time
from itertools import pairwise

import numpy as np
import pytest
import yaml

from helpers.run_folders import MNIST, write_object, write_run
from vaelab.sweeps import scores
from vaelab.sweeps.cells import Cell, score, score_tag
from vaelab.sweeps.plots import pictures
from vaelab.sweeps.ranking import groups_of, why_not
from vaelab.sweeps.rows import read_row, read_rows
from vaelab.sweeps.scores import LARGEST_CONFIG, read_setting
from vaelab.sweeps.tables import as_markdown, as_text

ELBO = {"_target_": "vaelab.objectives.ELBO", "samples": 1, "gradient": "pathwise", "beta": 1.0}
IWAE = {"_target_": "vaelab.objectives.IWAE", "samples": 5}


def write(folder, elbo, bound, objective, named="val/bound", overrides=(), where="hparams.yaml", **more):
    """A finished run of version 0.2, whose config names its score."""
    terms = {"val/bound": bound, "test/bound": bound, "val/loss": -bound, "test/loss": -bound}
    run = write_run(folder, elbo, overrides, **terms, **more)
    (run / where).parent.mkdir(exist_ok=True)
    (run / where).write_text(yaml.dump({"seed": 1, "score": named, "objective": objective, "trainer": {"_x": [1, 2]}}))
    return run


def order(folder):
    (group,) = groups_of(read_rows([folder]))
    return group.ranked_by, [next(iter(each.runs.values())).folder.name for each in group.configurations]


def said(folder):
    return " ".join(as_text(read_rows([folder])).split())


def test_runs_of_one_objective_are_ranked_by_their_own_score(tmp_path):
    """The best run by the bound is not the best by the ELBO."""
    for name, elbo, bound in (("a", -2.0, -1.5), ("b", -3.0, -1.0)):
        write(tmp_path / name, elbo, bound, IWAE, overrides=(f"model={name}",))
    assert order(tmp_path) == ("val/bound", ["b", "a"])
    assert "Configurations are ranked by val/bound." in said(tmp_path)
    head = as_text(read_rows([tmp_path])).splitlines()[1].split()
    assert head[2:] == [
        "val/bound",
        "test/bound",
        "test/elbo",
        "test/log_likelihood",
        "test/kl",
        "val/bound",
        "−",
        "best",
    ]


@pytest.mark.parametrize("where", ["hparams.yaml", ".hydra/config.yaml"])
def test_the_lowest_loss_is_the_best(where, tmp_path):
    losses = {"a": [3.0, 3.4, 3.3], "b": [2.0, 2.1, 2.6]}
    for name, each in losses.items():
        for seed, loss in enumerate(each):
            overrides = (f"model={name}", f"seed={seed}")
            write(tmp_path / f"{name}{seed}", -9.0, -loss, ELBO, "val/loss", overrides, where)
    (group,) = groups_of(read_rows([tmp_path]))
    assert [each.values["model"] for each in group.configurations] == ["b", "a"]
    difference = np.subtract(losses["a"], losses["b"])
    half = 4.302653 * difference.std(ddof=1) / np.sqrt(3)  # a paired t test with 2 degrees of freedom
    found = [float(ends[1]) for ends in group.to_best]
    assert found == pytest.approx([difference.mean(), difference.mean() - half, difference.mean() + half], rel=1e-6)
    assert found[0] > 0


def test_a_bound_that_is_the_elbo_compares_under_every_objective(tmp_path):
    """β, the number of draws and the gradient change what is trained, but not what the ELBO means."""
    for place, settings in enumerate([{}, {"beta": 4.0}, {"samples": 7}, {"gradient": "score_function"}]):
        write(tmp_path / str(place), -1.0 - place, -1.0 - place, ELBO | settings, overrides=(f"objective.a={place}",))
    assert order(tmp_path) == ("val/bound", ["0", "1", "2", "3"])
    assert "test/bound" not in said(tmp_path)


def test_bounds_of_several_objectives_do_not_rank_and_a_sentence_says_what_to_run(tmp_path):
    write(tmp_path / "a", -2.0, -2.0, ELBO, overrides=("objective=elbo",))
    write(tmp_path / "b", -2.5, -1.5, IWAE, overrides=("objective=iwae",))
    write(tmp_path / "c", -2.6, -1.4, IWAE | {"samples": 50}, overrides=("objective=iwae", "objective.samples=50"))
    assert order(tmp_path) == ("", ["a", "b", "c"])
    text = said(tmp_path)
    assert "The runs are not ranked, because val/bound means something different for each objective" in text
    assert "(ELBO, IWAE(samples=5), IWAE(samples=50)); to rank them by test/nll, run `vaelab evaluate RUN`" in text
    assert "best" not in text
    assert "anked by val/bound" not in text
    (panel,) = pictures(read_rows([tmp_path]))["elbo_by_configuration"].panels
    assert [float(score) for each in panel.configurations for score in each.score] == [
        -2.0,
        -2.5,
        -2.6,
    ]  # ELBOs compare


@pytest.mark.parametrize(("samples", "ranked_by"), [([500, 500], "test/nll (500 samples)"), ([500, 5000], "")])
def test_several_objectives_are_ranked_by_the_nll_of_equal_samples(samples, ranked_by, tmp_path):
    write(tmp_path / "a", -2.0, -2.0, ELBO, overrides=("objective=elbo",), nll=1.9, samples=samples[0])
    write(tmp_path / "b", -2.5, -1.5, IWAE, overrides=("objective=iwae",), nll=1.2, samples=samples[1])
    assert order(tmp_path) == (ranked_by, ["b", "a"] if ranked_by else ["a", "b"])
    text = said(tmp_path)
    if ranked_by:
        assert "so the runs are ranked by test/nll (500 samples), where lower is better" in text
        assert as_text(read_rows([tmp_path])).splitlines()[3].endswith("  0.700")
    else:
        assert "to rank them by test/nll, run `vaelab evaluate RUN` for each of them, with the same --samples" in text


def test_an_nll_that_one_run_lacks_ranks_nothing(tmp_path):
    for name, objective, nll in (("a", ELBO, 1.0), ("b", IWAE, 2.0), ("c", IWAE | {"samples": 3}, None)):
        write(tmp_path / name, -2.0, -2.0 + len(objective) / 9, objective, overrides=(f"model={name}",), nll=nll)
    assert order(tmp_path)[0] == ""


def test_runs_whose_scores_differ_share_no_table(tmp_path):
    write(tmp_path / "a", -2.0, -2.0, ELBO, "val/bound", ("model=a",))
    write(tmp_path / "b", -3.0, -3.0, ELBO, "val/loss", ("model=b",))
    assert [(group.title, group.ranked_by) for group in groups_of(read_rows([tmp_path]))] == [
        ("log-density per image of MNIST (score: val/bound)", "val/bound"),
        ("log-density per image of MNIST (score: val/loss)", "val/loss"),
    ]
    assert "ranked by the number that the last column names" in said(tmp_path)


def test_a_run_of_version_0_1_is_ranked_by_its_elbo(tmp_path):
    """Version 0.1 has no bound and no key `score`. Its objectives can be compared, because the ELBO can."""
    for name, elbo in (("a", -2.0), ("b", -1.0)):
        run = write_run(tmp_path / name, elbo, (f"objective={name}",))
        (run / "hparams.yaml").write_text(yaml.dump({"objective": ELBO | {"beta": name}}))
    assert order(tmp_path) == ("val/elbo", ["b", "a"])


@pytest.mark.parametrize(
    ("metrics", "config", "tag", "value"),
    [
        ({"val/elbo": -2.0}, None, "val/elbo", -2.0),
        ({"val/elbo": -2.0, "val/bound": -1.0}, None, "val/bound", -1.0),
        ({"val/elbo": -2.0, "val/bound": -1.0, "val/loss": 7.0}, "score: val/loss\n", "val/loss", 7.0),
        ({"val/elbo": -2.0}, "score: val/mine\n", "val/mine", float("nan")),
        ([], None, "val/elbo", float("nan")),
    ],
)
def test_a_cells_score_is_what_its_config_names(metrics, config, tag, value, tmp_path):
    write_object(tmp_path / "metrics.json", metrics)
    if config:
        (tmp_path / "hparams.yaml").write_text(config)
    cell = Cell(tmp_path, (), "")
    assert score_tag(cell) == tag
    assert score(cell) == pytest.approx(value, nan_ok=True)


def test_a_run_without_its_score_is_named(tmp_path):
    write(tmp_path / "a", -2.0, -2.0, ELBO, "val/mine")
    assert why_not(read_row(tmp_path / "a")) == "has no val/mine"


REFERENCES = "".join(f"  {b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghij"))
HOSTILE = {
    "endless references": "objective:\n  a: &a [x, x]\n" + REFERENCES,
    "long": "objective:\n" + "  a: 1\n" * 5_000,
    "broken": "objective: [\n",
    "deep": "objective: " + "[" * 3_000,
    "large": "x" * (LARGEST_CONFIG + 1),
}


@pytest.mark.parametrize("config", HOSTILE.values(), ids=HOSTILE)
def test_a_config_that_no_run_writes_leaves_out_that_run_alone(config, tmp_path):
    for name, elbo in (("good", -3.0), ("bad", -2.0)):
        write(tmp_path / name, elbo, elbo + 1, IWAE, overrides=(f"model={name}",))
    (tmp_path / "bad" / "hparams.yaml").write_text(config)
    began = time.monotonic()
    rows = {row.folder.name: row for row in read_rows([tmp_path])}
    assert time.monotonic() - began < 2
    assert (rows["good"].state, rows["bad"].state) == ("done", "unreadable")
    assert "hparams.yaml" in rows["bad"].reason
    assert len(rows["bad"].reason) < 500


def test_a_setting_is_found_between_others(tmp_path):
    (tmp_path / "hparams.yaml").write_text(
        "a: 1\nlist:\n- objective: 3\n- 4\nobjective:\n  x:\n  - 1\n  y: b\nlast: 2\n"
    )
    assert read_setting(tmp_path, "objective") == {"x": [1], "y": "b"}
    assert read_setting(tmp_path, "list") == [{"objective": 3}, 4]
    assert read_setting(tmp_path, "last") == 2
    assert read_setting(tmp_path, "nothing") is None


def test_what_a_config_names_controls_no_page(tmp_path):
    hostile = "\x1b[2J<img>`|[a](b)"
    for name in "ab":
        write(tmp_path / name, -2.0, -1.0, IWAE | {"x": hostile + name}, f"val/{hostile}", **{f"val/{hostile}": 1.0})
    page, text = as_markdown(read_rows([tmp_path])), as_text(read_rows([tmp_path]))
    assert "\x1b" not in page + text
    assert "<img>" not in page
    assert "](b)" not in page.replace("\\](b)", "")
    assert "means something different for each objective" in page


def test_the_data_of_a_run_may_have_a_key_of_that_name(tmp_path):
    write_run(tmp_path / "a", -1.0, (), MNIST | {"score": "of the exam"})
    assert len(groups_of(read_rows([tmp_path]))) == 1


def test_the_examples_in_docstrings_run():
    found = doctest.testmod(scores)
    assert (found.failed, found.attempted > 0) == (0, True)
