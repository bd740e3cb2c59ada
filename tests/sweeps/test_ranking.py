"""Groups the runs that share a table, and the runs that repeat a configuration."""

import math

import pytest

from helpers.run_folders import MNIST, write_run
from vaelab.runs.run_state import State, write_state
from vaelab.sweeps.ranking import groups_of, why_not
from vaelab.sweeps.rows import read_rows
from vaelab.sweeps.statistics import Interval
from vaelab.sweeps.tables import as_text, format_interval


def titles(folder):
    return [group.title for group in groups_of(read_rows([folder]))]


def test_runs_of_one_config_are_one_run(tmp_path):
    for sweep, seeds in {"first": (1, 2), "second": (2, 3)}.items():
        for seed in seeds:
            write_run(tmp_path / sweep / f"seed={seed}", -float(seed), (f"seed={seed}", "latent_dim=2"))
    (group,) = groups_of(read_rows([tmp_path / "first", tmp_path / "second"]))
    (configuration,) = group.configurations
    assert configuration.scores("val/elbo") == {"1": -1.0, "2": -2.0, "3": -3.0}


@pytest.mark.parametrize("key", ["seed", "val_size", "splits", "validation", "binarisation", "of your own"])
def test_runs_on_other_draws_of_the_data_share_no_ranking(key, tmp_path):
    for place, value in enumerate(["7", "8"]):
        write_run(tmp_path / value, -1.0 - place, (f"data.seed={value}",), MNIST | {key: value})
    assert titles(tmp_path) == [f"log-density per image of MNIST ({key}: {value})" for value in "78"]
    assert "compare only the rows of one table." in " ".join(as_text(read_rows([tmp_path])).split())


def test_a_title_names_two_of_many_keys(tmp_path):
    for value in "78":
        data = MNIST | {"splits": f"drawn by seed {value}", "validation": value, "test": value, "train": "same"}
        write_run(tmp_path / value, -1.0, (), data)
    assert titles(tmp_path)[1] == "log-density per image of MNIST (splits: drawn by seed 8; validation: 8; 1 more)"


def test_a_title_names_what_people_can_read_before_checksums(tmp_path):
    for place, (checksum, splits) in enumerate([("d799", "50,000"), ("0bad", "50,000"), ("cafe", "4,000")]):
        write_run(tmp_path / str(place), -1.0, (), MNIST | {"val_checksum": checksum, "splits": splits})
    assert titles(tmp_path) == [
        "log-density per image of MNIST (splits: 4,000)",
        "log-density per image of MNIST (splits: 50,000; val_checksum: 0bad)",
        "log-density per image of MNIST (splits: 50,000; val_checksum: d799)",
    ]


def test_a_part_of_a_split_shares_no_ranking_with_all_of_it(tmp_path):
    write_run(tmp_path / "part", -1.0, (), MNIST | {"val_scored": "first 1000 of 3000"})
    write_run(tmp_path / "all", -2.0, (), MNIST)
    assert titles(tmp_path) == [
        "log-density per image of MNIST (val_scored: all)",
        "log-density per image of MNIST (val_scored: first 1000 of 3000)",
    ]


def test_a_trial_run_is_not_compared(tmp_path):
    write_run(tmp_path / "trial", -1.0, (), MNIST | {"fast_dev_run": "2 minibatches"})
    write_run(tmp_path / "whole", -2.0, (), MNIST)
    rows = read_rows([tmp_path])
    assert len(groups_of(rows)) == 1
    assert {row.folder.name: why_not(row) for row in rows} == {
        "trial": "trainer.fast_dev_run only tries a few minibatches",
        "whole": "",
    }


def test_a_run_of_an_older_version_has_a_table_of_its_own(tmp_path):
    write_run(tmp_path / "old", -1.0, (), MNIST)
    write_run(tmp_path / "new", -2.0, (), MNIST | {"validation": "0badcafe"})
    assert titles(tmp_path) == [
        "log-density per image of MNIST (validation: 0badcafe)",
        "log-density per image of MNIST (validation: unknown)",
    ]


def test_how_a_file_was_read_does_not_matter(tmp_path):
    for name in ("a.csv", "b.csv"):
        write_run(tmp_path / name, -1.0, (f"data.path={name}",), MNIST | {"read": f"300 rows of {name}"})
    (group,) = groups_of(read_rows([tmp_path]))
    assert [each.values for each in group.configurations] == [{"data.path": "a.csv"}, {"data.path": "b.csv"}]


@pytest.mark.parametrize("key", ["data.path", "data.root", "data.folder", "+mine.where"])
def test_two_data_sets_never_share_a_name(key, tmp_path):
    for seed in (1, 2):
        for path in ("/x/a", "/x/b"):
            write_run(tmp_path / path[-1] / str(seed), -1.0 - seed, (f"{key}={path}", f"seed={seed}"))
    (group,) = groups_of(read_rows([tmp_path]))
    name = key.lstrip("+")
    assert {each.values[name]: len(each.runs) for each in group.configurations} == {"/x/a": 2, "/x/b": 2}


def test_equal_runs_whose_data_moved_are_one_run(tmp_path):
    """The hash of a config also depends on the content of its data."""
    for path in ("/x/a", "/y/a"):
        run = write_run(tmp_path / path[1], -1.0, (f"data.path={path}",))
        write_state(run, State("done", "", (f"data.path={path}",), "cafe"))
    (group,) = groups_of(read_rows([tmp_path]))
    assert len(group.configurations) == 1


def test_runs_of_the_same_values_and_seed_repeat_nothing(tmp_path):
    """Say that conf/ was changed between two sweeps: their hashes differ, their overrides do not."""
    for sweep in ("before", "after"):
        for seed in (1, 2):
            overrides = ("latent_dim=2", f"seed={seed}")
            run = write_run(tmp_path / sweep / f"seed={seed}", -float(seed), overrides)
            write_state(run, State("done", "", overrides, f"{sweep}{seed}"))
    (group,) = groups_of(read_rows([tmp_path]))
    found = {each.values["folder"]: sorted(each.runs) for each in group.configurations}
    assert found == {str(tmp_path / sweep): ["1", "2"] for sweep in ("before", "after")}


def test_runs_of_one_name_without_overrides_are_apart(tmp_path):
    for place in ("a", "b"):
        (write_run(tmp_path / place / "run", -1.0) / "state.json").unlink()
    (group,) = groups_of(read_rows([tmp_path]))
    assert [len(each.runs) for each in group.configurations] == [1, 1]


def test_a_pruned_run_is_not_compared(tmp_path):
    """It trained for fewer epochs than the others."""
    write_run(tmp_path / "whole", -2.0, ("latent_dim=1",))
    cut = write_run(tmp_path / "cut", -1.0, ("latent_dim=2",))
    write_state(cut, State("done", "pruned after epoch 4", ("latent_dim=2",), "cut"))
    rows = read_rows([tmp_path])
    assert {row.folder.name: why_not(row) for row in rows} == {"cut": "pruned after epoch 4", "whole": ""}
    (group,) = groups_of(rows)
    assert [next(iter(each.runs.values())).folder.name for each in group.configurations] == ["whole"]


def test_the_fit_ranks_configurations_with_different_seeds(tmp_path):
    """All gain 50 nats from seed 3, which the better one did not run with."""
    for name, scores in {
        "better": {1: 0.0, 2: 1.2},
        "worse": {1: -1.0, 2: 0.1, 3: 50.0},
        "worst": {1: -5.0, 2: -4.1, 3: 45.0},
    }.items():
        for seed, score in scores.items():
            write_run(tmp_path / f"{name}{seed}", score, (f"model={name}", f"seed={seed}"))
    (group,) = groups_of(read_rows([tmp_path]))
    assert [each.values["model"] for each in group.configurations] == ["better", "worse", "worst"]
    assert list(group.to_best.centre) == sorted(group.to_best.centre, reverse=True)
    text = " ".join(as_text(read_rows([tmp_path])).split())
    assert "The configurations have different seeds, so they are ranked by a fit of configuration + seed" in text
    assert "ranked by the mean of val/elbo, or by the fit if there is a note about it below the table" in text
    assert "Configurations are ranked by val/elbo." not in text


def test_equal_scores_show_no_sign(tmp_path):
    for name in "ab":
        for seed in (1, 2, 3):
            write_run(tmp_path / f"{name}{seed}", -float(seed), (f"model={name}", f"seed={seed}"))
    text = as_text(read_rows([tmp_path]))
    assert text.splitlines()[3].endswith("  0.000 [0.000, 0.000]")
    assert "-0.000" not in text
    assert "Configurations are ranked by val/elbo." in " ".join(text.split())


def test_a_number_keeps_its_sign_unless_it_rounds_to_nothing():
    assert format_interval(Interval(-0.0004, -0.0004, -0.0004)) == "0.000 [0.000, 0.000]"
    assert format_interval(Interval(-0.0006, math.nan, math.nan)) == "-0.001"
    assert format_interval(Interval(-1e-5, -2e-5, 0.0)) == "-0.000010 [-0.000020, 0.000000]"


def test_configurations_that_share_no_seeds_are_compared_by_their_means(tmp_path):
    for seed in range(6):
        write_run(tmp_path / str(seed), -float(seed), (f"latent_dim={seed % 2}", f"seed={seed}"))
    (group,) = groups_of(read_rows([tmp_path]))
    assert not group.paired
    assert "share too few seeds" in as_text(read_rows([tmp_path]))


def test_an_nll_has_a_column_for_each_number_of_samples(tmp_path):
    for seed, samples in {1: 50, 2: 50, 3: 5000}.items():
        write_run(tmp_path / str(seed), -2.0, (f"seed={seed}",), nll=1.0 + seed, samples=samples)
    write_run(tmp_path / "4", -2.0, ("seed=4",))
    head, line = as_text(read_rows([tmp_path])).splitlines()[1:3]
    assert head.index("test/nll (50 samples)") < head.index("test/nll (5000 samples)")
    assert "2.500 [-3.853, 8.853] (2 of 4 seeds)" in line
    assert "4.000 (1 of 4 seeds)" in line


def test_a_number_that_is_not_finite_is_left_out_of_a_mean(tmp_path):
    for seed in (1, 2):
        write_run(tmp_path / str(seed), -2.0, (f"seed={seed}",), **{"test/elbo": float("nan") if seed == 1 else -3.0})
    line = as_text(read_rows([tmp_path])).splitlines()[2]
    assert "-3.000 (1 of 2 seeds)" in line


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        (
            {"a": [1], "b": [1]},
            "There are no intervals, because no configuration ran with several seeds; add seed=1,2,3",
        ),
        ({"a": [1, 2], "b": [1]}, "A number without an interval comes from a single run; add seed=1,2,3"),
    ],
)
def test_a_single_run_has_no_interval_and_one_sentence_says_why(seeds, said, tmp_path):
    for name, each in seeds.items():
        for seed in each:
            write_run(tmp_path / f"{name}{seed}", -seed - len(name) / 7, (f"model={name}", f"seed={seed}"))
    text = " ".join(as_text(read_rows([tmp_path])).split())
    assert text.count(said) == 1
    assert text.count("add seed=1,2,3") == 1
