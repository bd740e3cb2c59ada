"""Plots of sweeps show every configuration, under different names, with nothing cut off."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from helpers.run_folders import write_run
from vaelab.figures.comparison import ENTRIES, Line, Panel, RateDistortion, ScoreOver
from vaelab.sweeps.plots import pictures
from vaelab.sweeps.rows import read_rows
from vaelab.sweeps.summary import summarise

LONG = "$a_very_long_name$of_a_network_that_was_trained_with_option_{}"


def runs(folder, names, seeds=(1, 2, 3)):
    for place, name in enumerate(names):
        for seed in seeds:
            write_run(
                folder / f"{place},{seed}", -place - seed / 10, (f"model={name}", f"seed={seed}"), **{"val/kl": place}
            )
    return pictures(read_rows([folder]))


def texts(figure):
    """All the text that a figure shows, laid out."""
    FigureCanvasAgg(figure).draw()
    (axis,) = figure.axes
    legend = axis.get_legend()
    left, right = axis.get_xlim()
    ticks = [label for label in axis.get_xticklabels() if left <= label.get_position()[0] <= right]
    labels = [*ticks, axis.title, axis.xaxis.label, axis.yaxis.label, *axis.texts]
    return [*labels, *([*legend.get_texts(), legend.get_title()] if legend else [])]


def is_inside(text, figure):
    box, page = text.get_window_extent(), figure.bbox
    return page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1


@pytest.mark.parametrize("count", [2, 12])
def test_long_names_stay_apart_and_inside(count, tmp_path):
    for picture in runs(tmp_path, [LONG.format(index) for index in range(count)]).values():
        figure = picture.draw()
        shown = texts(figure)
        assert all(is_inside(text, figure) for text in shown)
        named = [text for text in shown if text.get_text().startswith("$a_very")]
        assert len({text.get_text() for text in named}) == len(named) == count
        assert not any(text.get_parse_math() for text in named)


def test_lines_are_configurations_however_long_their_names(tmp_path):
    for place in range(12):
        for size in (2, 5):
            overrides = (f"model={LONG.format(place)}", f"latent_dim={size}", f"network.hidden=[500,500,{place % 2}]")
            write_run(tmp_path / f"{place},{size}", -place - size / 10, overrides)
    drawn = pictures(read_rows([tmp_path]))
    for picture in drawn.values():
        (panel,) = picture.panels
        assert len({line.label for line in panel.lines}) == len(panel.lines) == 12
        figure = picture.draw()
        assert all(is_inside(text, figure) for text in texts(figure))


@pytest.mark.parametrize(("seeds", "said"), [((1, 2, 3), True), ((1,), False)])
def test_a_band_says_what_it_is(seeds, said, tmp_path):
    figure = runs(tmp_path, ["a", "b"], seeds)["elbo_over_model"].draw()
    assert ("mean ± standard error over seeds" in figure.axes[0].get_title()) == said
    assert bool(figure.axes[0].collections) == said


def test_the_band_is_one_standard_error(tmp_path):
    (panel,) = runs(tmp_path, ["a", "b"])["elbo_over_model"].panels
    figure = ScoreOver((panel,), "model", "val/elbo", ticks=("a", "b")).draw()
    (band,) = figure.axes[0].collections
    ends = band.get_paths()[0].vertices[:, 1]
    values = panel.lines[0].y[panel.lines[0].x == 0]
    half = values.std(ddof=1) / np.sqrt(3)
    assert ends.max() == pytest.approx(values.mean() + half)


def test_numbers_along_a_logarithmic_axis_are_plain(tmp_path):
    for place in range(12):
        write_run(tmp_path / str(place), -float(place), (f"optimizer.lr={10 ** -(1 + place / 3):.3g}",))
    picture = pictures(read_rows([tmp_path]))["elbo_over_optimizer_lr"]
    labels = [text.get_text() for text in texts(picture.draw()) if text.get_text()]
    assert {"0.001", "0.01"} <= set(labels)
    assert not any("$" in label for label in labels)


def test_pictures_of_many_configurations_can_be_drawn():
    lines = tuple(Line(f"lr {index}", *np.full((4, 1), float(index % 50))) for index in range(70))
    panel = Panel("many", lines)
    ticks = tuple(f"name {index}" for index in range(50))
    for picture in (ScoreOver((panel,), "a", "val/elbo", "lr", ticks), RateDistortion((panel,), "lr")):
        figure = picture.draw()
        entries = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        assert f"and {70 - ENTRIES} more" in entries
        assert max(figure.get_size_inches()) < 15


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
    assert sum(np.isfinite(line.rate).sum() for line in picture.panels[0].lines) == 1
    assert picture.render().startswith(b"\x89PNG")


def test_a_key_from_a_file_cannot_name_another_folder(tmp_path):
    for place in range(2):
        write_run(tmp_path / "runs" / str(place), -1.0, (f"../../../etc/x={place}",))
    summarise([tmp_path / "runs"], tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == [
        "elbo_over__________etc_x.png",
        "rate_distortion.png",
    ]
