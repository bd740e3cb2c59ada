"""Pictures can be read at 300 pixels: no text is cut off, touches another or is tiny, and axes tell the truth."""

import os
import subprocess
import sys

import matplotlib
import numpy as np
import pytest

from helpers.figure_texts import is_readable, outside, overlapping, shown_texts
from vaelab import figures
from vaelab.figures.curves import LEAST as LEAST_ELBO
from vaelab.figures.kl_bars import LEAST, OFF
from vaelab.figures.landmarks import number
from vaelab.figures.layout import spaced
from vaelab.figures.search import Search
from vaelab.figures.text_sizes import fitting, width_of

RANDOM = np.random.default_rng(1)
STEPS = np.linspace(-3, 3, 11)
CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
WINE = ("alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids")
WINE += ("nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue", "od280/od315_of_diluted_wines", "proline")
CANCER = tuple(f"{kind} {of}" for kind in ("mean", "error", "worst") for of in CLOTHES)
COLUMNS = {1: None, 2: ("$a$", "b_with_a_rather_long_name (μm)"), 3: ("x", "y", "sin(x+y)"), 13: WINE, 30: CANCER}


def normal(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


def table(n, d):
    """Targets, means, standard deviations and draws of columns with scales from 0.001 to 3,000."""
    scale = 10 ** RANDOM.uniform(-3, 3.5, d)
    target = (normal(n, d) + 3) * scale
    mean, std = target + 0.3 * scale * normal(n, d), np.broadcast_to(0.3 * scale, (n, d))
    return target, mean, std, mean + std * normal(n, d)


def points():
    """Pictures of tables."""
    for d, names in COLUMNS.items():
        target, mean, std, draw = table(41, d)
        walk = np.cumsum(normal(5, 11, d), axis=1) * std[0]
        plane = np.cumsum(np.cumsum(normal(7, 6, d), axis=0), axis=1) * std[0]
        stds = np.broadcast_to(std[0], walk.shape)
        yield f"reconstructions {d}", figures.PointReconstructions(target, mean, std, draw, names)
        yield f"traversals {d}", figures.PointTraversals(walk, stds, STEPS, np.arange(5), names)
        if d < 30:
            yield f"draws {d}", figures.PointDraws(draw, target, names, "draws from p(t|z), z ~ p(z)")
            yield f"manifold {d}", figures.PointManifold(plane, STEPS[:6], STEPS[:7], names)


def interpolations():
    """Pictures of walks between two examples."""
    for d, names in ((1, None), (3, COLUMNS[3]), (13, WINE)):
        means, stds = normal(11, d) * 1000, np.ones((11, d))
        yield f"walk {d}", figures.PointInterpolation(means, stds, means[[0, -1]], names, "From A to B, mean of p(t|z)")
    yield "image walk", figures.ImageInterpolation(RANDOM.random((11, 8, 9)), RANDOM.random((2, 8, 9)), "From A to B")


def images():
    """Pictures of images of many shapes."""
    for shape in ((8, 8), (32, 32, 3), (9, 60), (60, 9)):
        some = RANDOM.random((10, *shape))
        yield f"reconstructions {shape}", figures.ImageReconstructions(some, some, some, some)
        yield f"grid {shape}", figures.ImageGrid(some, "Prior samples: means of p(t|z, c), z ~ p(z)", CLOTHES[:4])
        walk = RANDOM.random((10, 11, *shape))
        yield f"traversals {shape}", figures.ImageTraversals(walk, STEPS, np.arange(10))
        yield f"manifold {shape}", figures.ImageManifold(walk, STEPS, STEPS[:10])


def latents():
    """Pictures of the encoder."""
    z, small, k = normal(53, 2), 1e-4 * normal(53, 2), np.arange(53)
    near = {"posterior_mean": np.array([0.5, -1.0]), "posterior_cov": np.array([[0.2, 0.1], [0.1, 0.3]])}
    pair, one = np.array([3, 11]), np.array([0])
    yield "classes", figures.LatentScatter(z, pair, 20, k % 10, "class", CLOTHES, **near)
    yield "long names", figures.LatentScatter(z, pair, 2, k % 3, "$a$" * 20, ("a" * 60, "Müller-Thurgau", "ß"), **near)
    yield "26 classes", figures.LatentScatter(z, pair, 2, k % 26, "letter", tuple("abcdefghijklmnopqrstuvwxyz"), **near)
    yield "collapsed", figures.LatentScatter(small, pair, 2, normal(53), "sin(x+y)", **near)
    yield "draws", figures.LatentScatter(z, pair, 5, prior_draws=normal(99, 2) * 3, **near)
    yield "one", figures.LatentScatter(z[:, :1], one, 1)
    yield (
        "one, classes",
        figures.LatentScatter(z[:, :1], one, 1, k % 3, "species", ("setosa", "versicolor", "virginica")),
    )
    yield "one, quantity", figures.LatentScatter(z[:, :1], one, 1, normal(53), "sin(x+y)")
    yield "class map", figures.ClassMap(RANDOM.random((10, 30, 1)), np.arange(30), 50, CLOTHES, "class", 1000)
    long = ("a" * 60, "Müller-Thurgau", "ß")
    yield "class map, long names", figures.ClassMap(RANDOM.random((3, 3, 10)), np.arange(3), 3, long, "$a$" * 20, 5)
    few = figures.ImageTraversals(RANDOM.random((10, 2, 8, 8)), np.arange(2), np.arange(10), axis="class")
    yield "traversals of classes", few
    for d, names in ((2, None), (13, WINE)):
        walk, shown = normal(3, 4, d), np.arange(3)
        yield (
            f"points of classes {d}",
            figures.PointTraversals(walk, np.ones_like(walk), np.arange(4), shown, names, axis="class", classes=True),
        )
    for p in (1, 2, 10, 11, 24, 25, 50, 200):
        yield f"kl {p}", figures.KLBars(np.where(np.arange(p) % 3, RANDOM.random(p) + 0.1, 1e-5))
    curve = np.stack([np.linspace(0.1, 50, 99), -1.2 - 9 / np.linspace(0.1, 50, 99)])
    yield "curves", figures.Curves(curve, curve[:, ::9] - 0.1, {"baseline": -1.31, "ceiling": -1.3})
    yield "large curves", figures.Curves(curve, curve[:, ::9] * 345_230, {"baseline": -400_000.0})
    keys = ("latent_dim", "optimizer.lr", "a.very.long.name.of.a.key.that.somebody.made")
    yield "search", Search.of(range(20), list(normal(20)), False, "val/bound", keys, [0.5, 0.3, 0.2])
    x, y = np.meshgrid(STEPS, STEPS)
    yield "surface", figures.Surface(x, y, np.sin(x + y), np.cos(x), RANDOM.random((11, 11)))


PICTURES = {
    **dict(latents()),
    **dict(interpolations()),
    **{f"points: {k}": v for k, v in points()},
    **{f"images: {k}": v for k, v in images()},
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_can_be_read_at_300_pixels(name):
    is_readable(PICTURES[name].draw())


# Latent space


def limits_in_inches(axes):
    box, (w, h) = axes.get_position(), axes.figure.get_size_inches()
    return np.ptp(axes.get_xlim()) / (box.width * w), np.ptp(axes.get_ylim()) / (box.height * h)


@pytest.mark.parametrize("name", ["classes", "collapsed", "draws", "long names"])
def test_both_latent_axes_have_the_same_scale_and_hold_the_prior_and_all_points(name):
    picture = PICTURES[name]
    axes = picture.draw().axes[0]
    across, down = limits_in_inches(axes)
    assert across == pytest.approx(down)
    for (low, high), values in zip((axes.get_xlim(), axes.get_ylim()), picture.z.T, strict=True):
        assert low < min(-2, values.min())
        assert high > max(2, values.max())


def test_the_ellipses_lie_at_two_standard_deviations():
    mean, cov = np.array([1.0, -2.0]), np.array([[2.0, 0.6], [0.6, 0.5]])
    place, near = np.array([0.25, 0.5]), np.array([[0.3, -0.1], [-0.1, 0.2]])
    picture = figures.LatentScatter(
        normal(7, 2), np.array([0, 1]), 2, None, "", None, mean, cov, None, place, near
    )  # fmt: skip
    for line, (middle, spread) in zip(picture.draw().axes[0].lines, ((mean, cov), (place, near)), strict=True):
        offsets = line.get_xydata() - middle
        distances = np.einsum("ni,ij,nj->n", offsets, np.linalg.inv(spread), offsets)
        np.testing.assert_allclose(distances, 4.0)


def test_one_latent_is_shown_beside_two_standard_deviations_of_the_prior():
    picture = figures.LatentScatter(
        1e-3 * normal(7, 1), np.array([0]), 1, None, "", None, np.array([1.0]), np.array([[4.0]])
    )
    axes = picture.draw().axes[0]
    assert [line.get_xdata()[0] for line in axes.lines] == [-3.0, 5.0]
    assert axes.get_xlim()[0] < -3 < 5 < axes.get_xlim()[1]


def test_classes_have_their_names_beside_the_panel():
    axes = PICTURES["classes"].draw().axes[0]
    legend = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == list(CLOTHES)
    assert legend.get_window_extent().x0 >= axes.bbox.x1


def test_more_than_ten_classes_have_a_colour_bar_with_some_names():
    _, bar = PICTURES["26 classes"].draw().axes
    assert bar.get_ylabel() == "letter (26 kinds)"
    assert {text.get_text() for text in bar.get_yticklabels()} <= set("abcdefghijklmnopqrstuvwxyz")


def test_the_kl_axis_never_magnifies_rounding_errors():
    for kl in (np.zeros(3), np.full(3, 1e-6), np.full(40, 1e-6)):
        assert figures.KLBars(kl).draw().axes[0].get_ylim() == (0, LEAST)


@pytest.mark.parametrize("p", [3, 17])
def test_off_stands_under_the_latents_without_information_alone(p):
    kl = np.where(np.arange(p) % 2, OFF * 0.9, OFF * 1.1)
    axes = figures.KLBars(kl).draw().axes[0]
    names = [text.get_text() for text in axes.get_xticklabels()]
    assert [("off" in name) for name in names] == [value < OFF for value in kl]
    assert f"{p // 2} of {p} latents off" in axes.get_title()


def test_many_latents_are_sorted_and_their_dead_ones_shaded():
    kl = RANDOM.permutation(np.concatenate([np.zeros(30), np.arange(1.0, 21.0)]))
    axes = figures.KLBars(kl).draw().axes[0]
    stairs, shade = axes.patches
    np.testing.assert_array_equal(stairs.get_data().values, np.sort(kl)[::-1])
    assert shade.get_x() == 20.5
    assert shade.get_width() == 30


# Curves


def test_landmarks_are_dashed_lines_at_their_numbers_with_their_names():
    train, val = np.array([[0.5, 1, 2, 3], [-9.0, -3, -2, -1.9]]), np.array([[1.0, 2, 3], [-3, -2.2, -2.1]])
    axes = figures.Curves(train, val, {"baseline": -2.5, "ceiling": -1.5}).draw().axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_array_equal(lines["train"].get_xydata().T, train)
    np.testing.assert_array_equal(lines["validation"].get_xydata().T, val)
    assert {name: set(lines[name].get_ydata()) for name in ("_baseline", "_ceiling")} == {
        "_baseline": {-2.5},
        "_ceiling": {-1.5},
    }
    assert all(lines[name].is_dashed() for name in ("_baseline", "_ceiling"))
    assert {"baseline\n−2.500", "ceiling\n−1.500"} <= {text.get_text() for text in axes.texts}


def test_the_first_steps_do_not_hide_the_rest_of_a_curve():
    epochs = np.arange(1.0, 51)
    val = np.stack([epochs, -1.0 - 1e6 * (epochs == 1)])
    axes = figures.Curves(np.zeros((2, 0)), val).draw().axes[0]
    low, high = axes.get_ylim()
    assert low < -1 < high
    assert LEAST_ELBO <= high - low < 1
    assert "below the axis" in axes.get_legend().get_title().get_text()


def test_a_run_without_points_has_an_empty_plot():
    assert figures.Curves(np.zeros((2, 0)), np.zeros((2, 0)), {"baseline": -3.0}).draw().axes[0].get_ylim()[0] < -3


# Tables


def test_each_column_has_its_own_scale_in_its_own_units():
    target, mean, std, draw = table(37, 13)
    figure = figures.PointReconstructions(target, mean, std, draw, WINE).draw()
    for column, axes in enumerate(figure.axes[:13]):
        assert axes.get_xlim() == axes.get_ylim()
        low, high = axes.get_xlim()
        values = target[:, column]
        assert low < values.min() < values.max() < high
        assert high - low < 5 * np.ptp(values)
        perfect = axes.lines[-1].get_xydata()
        np.testing.assert_allclose(perfect, [[values.min()] * 2, [values.max()] * 2])


def test_histograms_are_densities_of_all_examples():
    data, draws = normal(400, 5), 3 * normal(300, 5) + 1
    figure = figures.PointDraws(draws, data).draw()
    for column, axes in enumerate(figure.axes[:5]):
        for patch, values in zip(axes.patches, (data[:, column], draws[:, column]), strict=True):
            x, y = patch.get_xy().T
            area = abs((np.roll(x, 1) * y - x * np.roll(y, 1)).sum()) / 2  # of a polygon
            shown = ((values >= x.min()) & (values <= x.max())).mean()
            assert area == pytest.approx(shown)


def test_heat_maps_hold_changes_in_standard_deviations():
    means, stds = normal(2, 5, 7), 1 + RANDOM.random((2, 5, 7)).astype(np.float32)
    figure = figures.PointTraversals(means, stds, STEPS[::2][:5], np.array([0, 4])).draw()
    expected = (means - means[:, 2:3]) / stds.mean((0, 1))
    for row in range(2):
        np.testing.assert_allclose(figure.axes[row].images[0].get_array(), expected[row].T, rtol=1e-5)


def test_one_huge_bar_does_not_hide_the_other_reconstructions():
    target, mean, std, draw = table(500, 2)
    std = std.copy()
    std[3] *= 1e6
    axes = figures.PointReconstructions(target, mean, std, draw).draw().axes[0]
    assert np.ptp(axes.get_xlim()) < 5 * np.ptp(target[:, 0])


# Images


def test_colours_outside_0_to_1_are_clipped():
    mean = np.linspace(-1, 2, 3 * 4 * 5 * 3).reshape(3, 4, 5, 3)
    sheet = figures.ImageGrid(mean, "").draw().axes[0].images[0].get_array()
    np.testing.assert_allclose(sheet[:4, :5], np.clip(mean[0], 0, 1))
    np.testing.assert_allclose(sheet[:4, 6:11], np.clip(mean[1], 0, 1))


@pytest.mark.parametrize(("shape", "interpolation"), [((8, 8), "nearest"), ((90, 90, 3), "antialiased")])
def test_small_images_keep_the_edges_of_their_pixels(shape, interpolation):
    axes = figures.ImageGrid(RANDOM.random((64, *shape)), "").draw().axes[0]
    assert axes.images[0].get_interpolation() == interpolation


@pytest.mark.parametrize("shape", [(8, 8), (9, 60), (60, 9, 3)])
def test_images_keep_their_proportions(shape):
    for picture in (
        figures.ImageGrid(RANDOM.random((11, *shape)), ""),
        figures.ImageTraversals(RANDOM.random((2, 5, *shape)), STEPS[:5], np.arange(2)),
    ):
        across, down = limits_in_inches(picture.draw().axes[0])
        assert across == pytest.approx(down)


# Names and styles


def test_a_name_that_is_too_long_loses_its_middle():
    name = "a_very_long_name_of_a_column_in_somebodys_file"
    fitted = fitting(name, 1.5, 10)
    assert width_of(fitted, 10) <= 1.5 < width_of(name, 10)
    start, end = fitted.split("…")
    assert name.startswith(start)
    assert name.endswith(end)
    assert abs(len(start) - len(end)) <= 1


def test_the_width_of_a_text_is_the_one_that_is_drawn():
    figure = PICTURES["kl 2"].draw()
    for text in shown_texts(figure):
        if "\n" not in text.get_text() and not text.get_rotation():
            drawn = text.get_window_extent().width / figure.dpi
            assert width_of(text.get_text(), text.get_fontsize()) == pytest.approx(drawn, abs=0.03)


def test_numbers_have_the_digits_that_a_reader_can_use():
    assert [number(value) for value in (-0.4523, 12.345, -86.12, -345_230.1)] == [
        "−0.452",
        "12.35",
        "−86.1",
        "−345,230",
    ]


def test_places_move_apart_by_as_little_as_needed():
    moved = spaced([3.0, 0.0, 3.1, 9.0], 1.0)
    np.testing.assert_allclose(moved, [2.55, 0.0, 3.55, 9.0])


def test_the_users_style_changes_nothing(tmp_path):
    picture = PICTURES["curves"]
    plain = picture.render()
    unusual = {"font.size": 30, "axes.grid": True, "lines.linewidth": 9, "figure.dpi": 33, "axes.facecolor": "red"}
    with matplotlib.rc_context(unusual | {"text.usetex": True, "axes.formatter.limits": (0, 0)}):
        before = dict(matplotlib.rcParams)
        assert picture.render() == plain
        assert dict(matplotlib.rcParams) == before


def test_a_missing_backend_and_a_matplotlibrc_change_nothing(tmp_path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.size: 40\naxes.grid: True\n")
    script = (
        "import sys, numpy as np, hashlib, vaelab.figures as f\n"
        "png = f.KLBars(np.array([0.25, 0.5])).render()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "print(hashlib.sha256(png).hexdigest())"
    )
    hashes = []
    for setting in ({}, {"MPLBACKEND": "module://a_missing_notebook", "MATPLOTLIBRC": str(tmp_path)}):
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, env={**os.environ, **setting}, capture_output=True, text=True, check=True)
        hashes.append(done.stdout)
    assert hashes[0] == hashes[1] != ""


def test_letters_that_no_font_has_raise_no_warning(recwarn):
    figure = figures.KLBars(np.ones(2)).draw()
    figures.LatentScatter(normal(5, 2), np.array([0, 1]), 2, normal(5), "品种 🍷").render()
    assert [str(warning.message) for warning in recwarn if "Glyph" in str(warning.message)] == []
    assert outside(figure) == overlapping(figure) == []


@pytest.mark.parametrize(
    ("count", "shape", "columns"), [(64, (24, 32), 8), (64, (8, 8), 8), (11, (5, 7), 3), (1, (9, 60), 1)]
)
def test_a_sheet_is_nearly_square_and_has_few_gaps(count, shape, columns):
    sheet = figures.ImageGrid(RANDOM.random((count, *shape)), "").draw().axes[0].images[0].get_array()
    gap = max(1, round(0.1 * min(shape)))
    assert sheet.shape[1] == columns * (shape[1] + gap) - gap
