"""Plots of sweeps name every run, show its numbers and the landmarks, and can be read at 300 pixels."""

import numpy as np
import pytest

from helpers.figure_texts import is_readable, shown_texts
from helpers.run_folders import write_run
from vaelab.figures.comparison import Compared, Looks, Panel, names_of_configurations, score_limits
from vaelab.figures.rate_distortion import LISTED, RateDistortion
from vaelab.figures.score_over import ENTRIES, ScoreOver
from vaelab.figures.score_rows import MOST, ScoreRows
from vaelab.figures.text_sizes import TICK, width_of
from vaelab.sweeps.plots import BY_KEY, ROWS, pictures
from vaelab.sweeps.rows import read_rows
from vaelab.sweeps.summary import summarise

LONG = "$a_very_long_name$of_a_network_that_was_trained_with_option_{}"
LANDMARKS = {"val/ceiling": -0.5, "val/baseline": -14.0}


def runs(folder, names, seeds=(1, 2, 3), **numbers):
    """Runs whose model has these names, each with a lower score than the one before."""
    for place, name in enumerate(names):
        for seed in seeds:
            score, overrides = -1 - place - seed / 10, (f"model={name}", f"seed={seed}")
            split = {"val/kl": place / 2, "val/log_likelihood": score + place / 2}
            write_run(folder / f"{place},{seed}", score, overrides, **split | numbers)
    return pictures(read_rows([folder]))


def written(figure):
    return [text.get_text() for text in shown_texts(figure)]


@pytest.mark.parametrize("count", [1, 2, 24])
def test_every_run_is_named_and_every_plot_can_be_read(count, tmp_path):
    drawn = runs(tmp_path, [LONG.format(index) for index in range(count)], **LANDMARKS)
    for picture in drawn.values():
        figure = picture.draw()
        is_readable(figure)
        names = [text for text in written(figure) if "a_very" in text or count == 1]
        assert len(set(names)) >= count
        assert not any(text.get_parse_math() for text in shown_texts(figure) if "$" in text.get_text())


def test_a_hundred_configurations_with_unicode_in_their_names_can_be_read(tmp_path):
    for place in range(100):
        overrides = (f"model=modèle_{place % 10}_très_long_ñ", f"prior=φ{place // 10}")
        score, kl = -2 - place % 10 * 0.1 - place // 10 * 0.03, 1 + place % 7 * 0.3
        write_run(tmp_path / str(place), score, overrides, **{"val/kl": kl, "val/log_likelihood": score + kl})
    drawn = pictures(read_rows([tmp_path]))
    assert set(drawn) == {ROWS, BY_KEY, "rate_distortion"}
    for picture in drawn.values():
        is_readable(picture.draw())
    rows = drawn[ROWS].draw().axes[0]
    assert len({text.get_text() for text in rows.get_yticklabels()}) == 100


def test_each_row_shows_the_mean_and_one_standard_error_of_its_seeds(tmp_path):
    axes = runs(tmp_path, ["a", "b"])[ROWS].draw().axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["1  a", "2  b"]
    for row, container in enumerate(axes.containers):
        scores = -1 - row - np.array([0.1, 0.2, 0.3])
        (bar,) = container[2]
        (ends,) = bar.get_segments()
        half = scores.std(ddof=1) / np.sqrt(3)
        np.testing.assert_allclose(ends[:, 0], [scores.mean() - half, scores.mean() + half])
        assert container[0].get_xdata() == pytest.approx([scores.mean()])
        assert set(ends[:, 1]) == {row}


@pytest.mark.parametrize(("seeds", "said"), [((1, 2, 3), True), ((1,), False)])
def test_bars_and_bands_are_explained_if_there_are_any(seeds, said, tmp_path):
    for name, picture in runs(tmp_path, ["1", "2"], seeds).items():
        assert any("seeds" in text for text in written(picture.draw())) == said, name


def test_landmarks_are_lines_at_their_numbers(tmp_path):
    drawn = runs(tmp_path, ["1", "2", "8"], **{"val/ceiling": -0.5, "val/baseline": -4.75})
    rows, over = drawn[ROWS].draw().axes[0], drawn["elbo_over_model"].draw().axes[0]
    for name, value, text in (("_ceiling", -0.5, "−0.500"), ("_baseline", -4.75, "−4.750")):
        (across,) = [line for line in rows.lines if line.get_label() == name]
        (down,) = [line for line in over.lines if line.get_label() == name]
        assert set(across.get_xdata()) == set(down.get_ydata()) == {value}
        assert any(text in shown for shown in written(rows.figure))
        assert any(text in shown for shown in written(over.figure))
    plane = drawn["rate_distortion"].draw()
    assert "ceiling −0.500" in written(plane)


def test_a_baseline_far_away_gets_an_arrow_instead_of_hiding_the_differences(tmp_path):
    axes = runs(tmp_path, ["a", "b"], **{"val/baseline": -206.0})[ROWS].draw().axes[0]
    assert "◀ baseline −206.0" in written(axes.figure)
    assert axes.get_xlim()[0] > -5


def test_a_few_bad_runs_do_not_press_the_others_together(tmp_path):
    names = ["a", "b", "c", "d", "e"]
    write_run(tmp_path / "bad", -900.0, ("model=bad", "seed=1"), **{"val/kl": 1.0})
    axes = runs(tmp_path, names)[ROWS].draw().axes[0]
    assert axes.get_xlim()[0] > -20
    assert "◀ −900.0" in written(axes.figure)


def test_lines_join_numbers_alone(tmp_path):
    """Names have no order, so nothing joins them, and they have no axis of their own."""
    assert not any(name.startswith("elbo_over") for name in runs(tmp_path / "names", ["a", "b"]))
    axes = runs(tmp_path / "numbers", ["2", "8", "4"])["elbo_over_model"].draw().axes[0]
    (line,) = [line for line in axes.lines if len(line.get_xdata()) == 3 and line.get_linestyle() == "-"]
    np.testing.assert_allclose(line.get_xydata(), [[2, -1.2], [4, -3.2], [8, -2.2]])


def test_the_band_of_a_line_is_one_standard_error(tmp_path):
    axes = runs(tmp_path, ["1", "2"])["elbo_over_model"].draw().axes[0]
    (band,) = axes.collections
    ends = band.get_paths()[0].vertices
    half = np.std([0.1, 0.2, 0.3], ddof=1) / np.sqrt(3)
    assert ends[ends[:, 0] == 1, 1].max() == pytest.approx(-1.2 + half)


def test_numbers_along_a_logarithmic_axis_are_plain(tmp_path):
    for place in range(9):
        write_run(tmp_path / str(place), -float(place), (f"optimizer.lr={10 ** -(1 + place / 3):.3g}",))
    figure = pictures(read_rows([tmp_path]))["elbo_over_optimizer_lr"].draw()
    assert {"0.001", "0.01"} <= set(written(figure))
    is_readable(figure)


def test_the_legend_names_the_keys_that_vary(tmp_path):
    for place, model in enumerate(["gaussian", "laplace"]):
        for size in (2, 5):
            overrides = (f"latent_dim={size}", f"model={model}", f"optimizer.lr=1e-{place + 3}")
            write_run(tmp_path / f"{model},{size}", -place - size / 10, overrides)
    legend = pictures(read_rows([tmp_path]))["elbo_over_latent_dim"].draw().axes[0].get_legend()
    assert legend.get_title().get_text() == "model, optimizer.lr"
    assert [text.get_text() for text in legend.get_texts()] == ["gaussian, lr 1e-3", "laplace, lr 1e-4"]


def test_lines_of_equal_elbo_have_their_values(tmp_path):
    axes = runs(tmp_path, ["a", "b", "c", "d"])["rate_distortion"].draw().axes[0]
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    shown = {text.get_text() for text in axes.texts}
    lines = [line for line in axes.lines if hasattr(line, "get_slope") and line.get_slope() == -1]
    assert len(lines) >= 3
    for line in lines:
        total = sum(line.get_xy1())
        assert left + low < total < right + high
        assert f"{-total:g}".replace("-", "−") in shown


def test_numbers_in_the_plane_stand_beside_their_marks_and_name_the_rows(tmp_path):
    drawn = runs(tmp_path, [f"m{index}" for index in range(12)])
    figure = drawn["rate_distortion"].draw()
    axes = figure.axes[0]
    listed = [text for text in written(figure) if "  m" in text]
    rows = [text.get_text() for text in drawn[ROWS].draw().axes[0].get_yticklabels()]
    assert listed == rows
    numbers = {text.get_text(): text for text in axes.texts if text.get_text().isdigit()}
    assert set(numbers) == {str(place) for place in range(1, 13)}
    for place in range(12):
        kl, score = place / 2, -1 - place - 0.2
        mark = axes.transData.transform((kl, -score - kl))
        box = numbers[str(place + 1)].get_window_extent()
        distance = np.linalg.norm(mark - [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2])
        assert distance < 0.25 * figure.dpi


def many(count):
    values = [(f"lr{index}", str(index % 50)) for index in range(count)]
    ones = np.ones(1)
    return tuple(Compared(each, -ones * i, ones * i, 0 * ones, float(i % 50)) for i, each in enumerate(values))


def test_pictures_of_thousands_of_configurations_can_be_drawn():
    panel = Panel("many", many(1500))
    rows = ScoreRows((panel,), ("lr", "size"), "val/elbo").draw()
    assert len(rows.axes[0].get_yticklabels()) == MOST
    assert any(f"{1500 - MOST} configurations" in text for text in written(rows))
    few = Panel("few", many(70))
    over = ScoreOver((few,), "size", "val/elbo", ("lr", "size")).draw()
    assert f"and {70 - ENTRIES} more" in written(over)
    plane = RateDistortion((few,), ("lr", "size"), "rows.png").draw()
    assert LISTED < 70
    assert "numbers: the rows of rows.png" in written(plane)
    assert max(plane.get_size_inches()) < 20


def test_tables_that_cannot_be_compared_have_panels_below_each_other(tmp_path):
    for place, measure in enumerate(["density", "probability", "density"]):
        data = {"measure": measure, "per": "image", "data": f"MNIST {place}"}
        for model in "ab":
            write_run(tmp_path / f"{place}{model}", -80.0 - place, (f"model={model}",), data, **{"val/kl": 20.0})
    for name, picture in pictures(read_rows([tmp_path])).items():
        figure = picture.draw()
        is_readable(figure)
        assert len({axes.get_position().y0 for axes in figure.axes}) == len(figure.axes), name
        assert name == BY_KEY or len(figure.axes) == 3


def test_many_tables_share_a_plot_of_the_largest(tmp_path, monkeypatch):
    monkeypatch.setattr("vaelab.sweeps.plots.PANELS", 1)
    monkeypatch.setattr("vaelab.sweeps.summary.PANELS", 1)
    for seed in (1, 2, 3):
        write_run(tmp_path / str(seed), -1.0, (f"seed={seed}",), {"data": "points", "seed": seed // 2})
    drawn = pictures(read_rows([tmp_path]))
    titles = {panel.title for picture in drawn.values() for panel in picture.panels}
    assert titles == {"log-density per example of points (seed: 1)"}
    assert "The plots show the tables with the most runs, at most 1." in summarise([tmp_path], tmp_path / "out")[1]


def test_a_missing_or_infinite_number_does_not_hide_the_others(tmp_path):
    for place, rate in enumerate([0.5, float("inf"), float("nan")]):
        write_run(tmp_path / str(place), -1.0, (f"latent_dim={place}",), **{"val/kl": rate})
    picture = pictures(read_rows([tmp_path]))["rate_distortion"]
    assert sum(np.isfinite(each.rate).sum() for each in picture.panels[0].configurations) == 1
    figure = picture.draw()
    is_readable(figure)
    assert "outside: 2, 3" in written(figure)


def test_a_key_from_a_file_cannot_name_another_folder(tmp_path):
    for place in range(2):
        write_run(tmp_path / "runs" / str(place), -1.0, (f"../../../etc/x={place}",))
    summarise([tmp_path / "runs"], tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == [
        f"{ROWS}.png",
        "elbo_over__________etc_x.png",
        "rate_distortion.png",
    ]


def test_names_are_shortened_to_fit_and_stay_different():
    values = [(LONG.format(index), f"prior_{index % 2}", "0.001") for index in range(9)]
    names = names_of_configurations(("model", "prior", "optimizer.lr"), values, 3.3)
    assert max(width_of(name, TICK) for name in names) <= 3.3
    assert len(set(names)) == 9
    assert all(name.endswith("lr 0.001") for name in names)


def test_colours_show_the_key_that_explains_most():
    scores = {("a", "x"): 1.0, ("a", "y"): 5.0, ("b", "x"): 1.1, ("b", "y"): 5.2}
    each = [Compared(values, np.array([score]), np.zeros(1), np.zeros(1)) for values, score in scores.items()]
    looks = Looks(("model", "prior"), each)
    assert [title for title, _ in looks.entries] == ["prior", "model"]
    assert looks.of(each[0])["color"] == looks.of(each[2])["color"] != looks.of(each[1])["color"]
    assert looks.of(each[0])["marker"] == looks.of(each[1])["marker"] != looks.of(each[2])["marker"]


@pytest.mark.parametrize(
    ("values", "landmarks", "inside", "beyond"),
    [
        ([-2.0, -3.0], [-1.5], [-1.5, -3.0], []),
        ([-2.0, -2.1], [-206.0], [-2.0, -2.1], [-206.0]),
        ([-5.0, -5.2, -5.3, -5.4, -90.0], [], [-5.4], [-90.0]),
        ([-1.0], [], [-1.0], [-1.2]),
    ],
)
def test_the_axis_holds_what_can_be_compared(values, landmarks, inside, beyond):
    low, high = score_limits(np.array(values), landmarks)
    assert all(low < value < high for value in inside)
    assert not any(low <= value <= high for value in beyond)
