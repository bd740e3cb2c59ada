"""Tables and plots of many runs, from folders made by hand."""

import csv
import io
import re

import numpy as np
import pytest
from scipy import stats
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers.run_folders import MNIST, write_object, write_run
from vaelab.app.cli import main
from vaelab.runs.run_state import State, write_state
from vaelab.sweeps.explanations import ASSUMPTIONS
from vaelab.sweeps.ranking import groups_of
from vaelab.sweeps.rows import read_rows
from vaelab.sweeps.summary import summarise
from vaelab.sweeps.tables import MOST_COLUMNS, as_csv, as_markdown

SCORES = {  # model -> latent_dim -> seed -> val/elbo
    "gaussian": {2: {1: -3.0, 2: -3.4, 3: -2.9}, 10: {1: -2.0, 2: -2.3, 3: -2.2}},
    "gaussian_full": {2: {1: -2.9, 2: -3.2, 3: -2.6}, 10: {1: -2.1, 2: -2.2, 3: -2.5}},
    "bernoulli": {2: {1: -150.0, 2: -151.0, 3: -152.5}, 10: {1: -100.0, 2: -101.0}},
}


@pytest.fixture
def sweep(tmp_path):
    """A run of each score; one that failed, and one that was killed while it ran."""
    for model, by_size in SCORES.items():
        measure = "mass" if model == "bernoulli" else "density"
        for size, by_seed in by_size.items():
            for seed, score in by_seed.items():
                name = f"model={model},latent_dim={size},seed={seed}"
                overrides = (*name.split(","), "data=mnist", "data.root=/x")
                write_run(tmp_path / name, score, overrides, MNIST | {"measure": measure})
    for state, reason in {"failed": "the loss of step 2 | is not finite", "running": ""}.items():
        (tmp_path / state).mkdir()
        seed = {"failed": 3, "running": 4}[state]
        overrides = ("model=bernoulli", "latent_dim=10", f"seed={seed}", "data=mnist")
        write_state(tmp_path / state, State(state, reason, overrides))
    return tmp_path


def test_configurations_are_ranked_where_they_compare_alone(sweep):
    density, mass = groups_of(read_rows([sweep]))
    assert density.title == "log-density per image of MNIST"
    assert mass.title == "log-probability per image of MNIST"
    ranks = [tuple(configuration.values.values()) for configuration in density.configurations]
    means = {(m, str(size)): np.mean(list(s.values())) for m in SCORES for size, s in SCORES[m].items()}
    assert ranks == sorted((key for key in means if key[0] != "bernoulli"), key=lambda key: -means[key])
    assert [c.values["latent_dim"] for c in mass.configurations] == ["10", "2"]


def test_the_table_holds_means_errors_and_differences(sweep):
    left, text = summarise([sweep], None)
    assert left == 2
    scores = {size: np.array(list(SCORES["gaussian"][size].values())) for size in (2, 10)}
    row = re.search(r"^gaussian +10 .*$", text, re.M)[0]
    low, high = stats.ttest_1samp(scores[10], 0).confidence_interval(0.95)
    assert f" {scores[10].mean():.3f} [{low:.3f}, {high:.3f}] " in row
    assert row.endswith("best")
    lag = scores[2].mean() - scores[10].mean()
    table = np.array([list(SCORES[m][size].values()) for m in ("gaussian", "gaussian_full") for size in (2, 10)])
    left_over = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    half = stats.studentized_range.ppf(0.95, 4, 6) * np.sqrt((left_over**2).sum() / 6 / 3)
    expected = f"{lag:.3f} [{lag - half:.3f}, {lag + half:.3f}]"
    assert re.search(rf"^gaussian +2 .* {re.escape(expected)}$", text, re.M)
    assert "17 runs" not in text
    assert f"{len(read_rows([sweep]))} runs: 1 pending, 17 done, 1 failed" in text
    assert re.search(r"^bernoulli +10 +3 +failed +the loss of step 2 \| is not finite$", text, re.M)
    assert re.search(r"^bernoulli +10 +4 +pending +was killed$", text, re.M)


def test_the_csv_has_a_line_per_run(sweep):
    rows = list(csv.DictReader(io.StringIO(as_csv(read_rows([sweep])))))
    assert len(rows) == 19
    one = next(row for row in rows if row["run"] == "model=gaussian,latent_dim=2,seed=3")
    assert (one["model"], one["latent_dim"], one["seed"], one["state"]) == ("gaussian", "2", "3", "done")
    assert float(one["val/elbo"]) == SCORES["gaussian"][2][3]
    assert (one["seconds"], one["measure"]) == ("12.5", "density")
    assert "data.root" not in one
    failed = next(row for row in rows if row["state"] == "failed")
    assert failed["reason"] == "the loss of step 2 | is not finite"
    assert failed["val/elbo"] == ""


def test_runs_that_share_no_numbers_do_not_make_the_table_large(sweep):
    rows = read_rows([sweep])
    for index, row in enumerate(rows):
        row.metrics.update({f"own/{index}-{number}": 1.0 for number in range(200)})
    names, *lines = csv.reader(io.StringIO(as_csv(rows)))
    tags = {tag for row in rows for tag in row.metrics}
    assert sum(name in tags for name in names) == MOST_COLUMNS
    assert names[-1] == f"{len(tags) - MOST_COLUMNS} more columns are left out"
    assert "val/elbo" in names  # which most runs have
    assert {len(line) for line in lines} == {len(names) - 1}


def test_the_page_shows_tables_and_plots(sweep):
    page = as_markdown(read_rows([sweep]), ["a.png"])
    assert page.count("\n## ") == 3
    assert r"the loss of step 2 \| is not finite" in page
    widths = {line.replace(r"\|", "").count("|") for line in page.splitlines() if line.startswith("| gaussian ")}
    assert len(widths) == 1
    assert "![a.png](a.png)" in page
    scores = list(SCORES["gaussian"][10].values())
    low, high = stats.ttest_1samp(scores, 0).confidence_interval(0.95)
    assert f"| {np.mean(scores):.3f} [{low:.3f}, {high:.3f}] |" in page
    assert ASSUMPTIONS in page


def test_what_is_written_can_be_looked_at(sweep, tmp_path, capsys):
    main(["compare", str(sweep), "-o", str(tmp_path / "out")])
    assert "written" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"summary.csv", "summary.md", "rate_distortion.png", "elbo_over_latent_dim.png"}
    main(["compare", str(sweep), "-o", str(tmp_path / "out")])  # again: in place of the first
    events = EventAccumulator(str(tmp_path / "out"))
    events.Reload()
    assert sorted(events.Tags()["images"]) == [
        "view of all runs/elbo_by_configuration",
        "view of all runs/elbo_by_key",
        "view of all runs/elbo_over_latent_dim",
        "view of all runs/rate_distortion",
    ]
    for tag in events.Tags()["images"]:
        (image,) = events.Images(tag)
        png = (tmp_path / "out" / f"{tag.split('/')[1]}.png").read_bytes()
        assert image.encoded_image_string == png
        assert 500 < image.width < 900


def test_runs_without_a_state_compare_by_their_folders(tmp_path):
    for name, score in {"one": -2.0, "two": -1.0}.items():
        write_run(tmp_path / name, score, ())
        (tmp_path / name / "state.json").unlink()
    text = summarise([tmp_path / "one", tmp_path / "two"], None)[1]
    assert re.search(r"^two +1 +-1\.000.*best$", text, re.M)
    assert re.search(r"^one +1 +-2\.000.* -1\.000$", text, re.M)


def test_a_run_without_a_score_is_named(tmp_path):
    write_run(tmp_path / "one", -2.0, ("seed=1",))
    write_run(tmp_path / "two", -3.0, ("seed=2",))
    write_object(tmp_path / "two" / "metrics.json", {"test/elbo": -3.0})
    left, text = summarise([tmp_path], None)
    assert left == 0
    assert re.search(r"^2 +done +has no val/elbo$", text, re.M)


@pytest.mark.parametrize(
    ("name", "answer"), [("nowhere", "does not exist"), ("empty", "must hold a run, but holds none")]
)
def test_what_holds_no_run_is_said(name, answer, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit) as exit:
        main(["compare", str(tmp_path / name)])
    assert answer in str(exit.value)


def test_a_sweep_where_nothing_is_done_has_a_summary(tmp_path):
    (tmp_path / "cell").mkdir()
    write_state(tmp_path / "cell", State("failed", "why", ("seed=1",)))
    left, text = summarise([tmp_path], tmp_path)
    assert left == 1
    assert "1 run: 1 failed" in text
    assert sorted(path.name for path in tmp_path.glob("*.*")) == ["summary.csv", "summary.md"]


HOSTILE = "\x1b[2J\u202e=cmd()|<img src=x>`[a](b)"


@pytest.mark.parametrize("done", [True, False])
def test_what_comes_from_a_run_controls_no_terminal_page_or_spreadsheet(done, tmp_path, capsys):
    for seed in (1, 2):
        overrides = (f"=a\x1b[0m{seed}=1", f"model={HOSTILE}{seed}", f"seed={seed}")
        run = write_run(tmp_path / "runs" / f"@{HOSTILE.replace('/', '')}{seed}", -1.0 * seed, overrides)
        write_object(
            run / "data.json", {"measure": "=1+1", "per": HOSTILE, "data": "\x9b31m", "seed": HOSTILE + str(seed)}
        )
        state = State("done", "", overrides, str(seed)) if done else State("failed", HOSTILE, overrides)
        write_state(run, state)
    left, text = summarise([tmp_path / "runs"], tmp_path / "out")
    assert left == (0 if done else 2)
    page = (tmp_path / "out" / "summary.md").read_text()
    table = (tmp_path / "out" / "summary.csv").read_text()
    for shown in (text, page, table):
        assert not set(shown) & set("\x1b\x9b\u202e\r")
        assert r"\x1b[2J" in shown.replace("\\\\", "\\").replace("\\[", "[")
    assert "<img" not in page
    assert not re.search(r"(?<!\\)\]\(b\)", page)
    cells = {cell for line in csv.reader(io.StringIO(table)) for cell in line}
    assert not [
        cell for cell in cells if cell.startswith(("=", "+", "@")) or (cell.startswith("-") and cell[1] not in "12")
    ]
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    bars = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
    assert len(bars) == 1


def test_a_folder_whose_name_is_no_text_is_shown(tmp_path):
    write_run(tmp_path / "runs" / "a\udcff", -1.0)
    write_run(tmp_path / "runs" / "b", float("nan"))
    text = summarise([tmp_path / "runs"], tmp_path / "out")[1]
    assert text.encode()
    assert r"a\udcff" in (tmp_path / "out" / "summary.csv").read_text()


def test_a_cell_from_a_file_is_no_longer_than_a_line(tmp_path):
    for seed in (1, 2):
        write_run(tmp_path / str(seed), -1.0, (f"model={'x' * 100_000}{seed}",))
    text = summarise([tmp_path], None)[1]
    assert max(map(len, text.splitlines())) < 250
