"""Every picture can be drawn, names its axes, and is not blank."""

import io
import pickle
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from vaelab import figures
from vaelab.figures.colours import PALETTE
from vaelab.figures.images import limits, tile

RANDOM = np.random.default_rng(0)


def uniform(*shape):
    return RANDOM.random(shape).astype(np.float32)


AXIS = np.linspace(-3, 3, 5)
X, Y = np.meshgrid(np.linspace(-3, 3, 7), np.linspace(-3, 3, 6))
NAMES = ("x", "y", "sin(x+y)")
PICTURES = {
    "grey_reconstructions": figures.ImageReconstructions(uniform(3, 5, 7), uniform(3, 5, 7), uniform(3, 5, 7)),
    "colour_reconstructions": figures.ImageReconstructions(*uniform(4, 3, 7, 5, 3)),
    "image_grid": figures.ImageGrid(uniform(11, 5, 7), "Prior samples"),
    "image_manifold": figures.ImageManifold(uniform(4, 5, 3, 6), AXIS, AXIS[:4]),
    "image_traversals": figures.ImageTraversals(uniform(3, 5, 6, 4), AXIS, np.array([0, 4, 11])),
    "image_styles": figures.ImageStyles(uniform(4, 3, 6, 5), ("cat", "dog", "owl")),
    "image_styles_of_examples": figures.ImageStyles(
        uniform(3, 11, 5, 6, 3), tuple(f"a long name of class {index}" for index in range(11)), uniform(3, 5, 6, 3)
    ),
    "point_reconstructions_1": figures.PointReconstructions(*uniform(4, 23, 1)),
    "point_reconstructions_3": figures.PointReconstructions(*uniform(4, 23, 3), NAMES),
    "point_reconstructions_64": figures.PointReconstructions(*uniform(4, 23, 64)),
    "point_draws_1": figures.PointDraws(uniform(19, 1), uniform(13, 1), ("sin(x+y)",)),
    "point_draws_2": figures.PointDraws(uniform(19, 2)),
    "point_draws_3": figures.PointDraws(uniform(19, 3), uniform(13, 3), NAMES),
    "point_manifold_1": figures.PointManifold(uniform(4, 5, 1), AXIS, AXIS[:4]),
    "point_manifold_3": figures.PointManifold(uniform(4, 5, 3), AXIS, AXIS[:4], NAMES),
    "point_traversals_1": figures.PointTraversals(*uniform(2, 1, 5, 1), AXIS, np.array([0])),
    "point_traversals_7": figures.PointTraversals(*uniform(2, 5, 5, 7), AXIS, np.array([0, 1, 2, 4, 11])),
    "latents": figures.LatentScatter(uniform(17, 2), np.array([0, 1]), 2),
    "latents_digits": figures.LatentScatter(uniform(17, 2), np.array([1, 4]), 5, np.arange(17) % 10, "digit"),
    "latents_sine": figures.LatentScatter(uniform(17, 2), np.array([0, 1]), 2, uniform(17), "sin(x+y)"),
    "latents_many_kinds": figures.LatentScatter(uniform(17, 2), np.array([0, 1]), 2, np.arange(17), "kind"),
    "latent": figures.LatentScatter(uniform(17, 1), np.array([0]), 1),
    "latent_digits": figures.LatentScatter(uniform(17, 1), np.array([0]), 1, np.arange(17) % 3, "digit"),
    "latent_sine": figures.LatentScatter(uniform(17, 1), np.array([0]), 1, uniform(17), "sin(x+y)"),
    "class_map_bits": figures.ClassMap(uniform(4, 3, 1), np.array([0, 2, 7]), 9, ("a", "b", "c", "d"), "kind", 23),
    "class_map_classes": figures.ClassMap(uniform(6, 2, 5), np.array([0, 1]), 2, tuple("abcdef"), "kind", 23),
    "class_traversals": figures.ImageTraversals(uniform(5, 2, 6, 4), np.arange(2), np.arange(5), axis="class"),
    "kl_bars_1": figures.KLBars(uniform(1)),
    "kl_bars_13": figures.KLBars(uniform(13)),
    "kl_sorted_65": figures.KLBars(uniform(65)),
    "curves": figures.Curves(uniform(2, 9), uniform(2, 3), {"baseline": -1.5, "ceiling": 1.25}),
    "surface": figures.Surface(X, Y, *uniform(3, 6, 7)),
}


def words(figure):
    """Every word on a figure's axes, and above and below them."""
    found = [text for axes in figure.axes for text in (axes.get_xlabel(), axes.get_ylabel(), axes.get_title())]
    found += [figure.get_suptitle(), figure.get_supxlabel(), figure.get_supylabel()]
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
    return found + [text.get_text() for legend in legends for text in [legend.get_title(), *legend.get_texts()]]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_not_blank_and_names_its_axes(name, tmp_path, monkeypatch):
    picture = pickle.loads(pickle.dumps(PICTURES[name]))
    figure = picture.draw()
    monkeypatch.setattr(figures.Picture, "draw", lambda self: figure)  # once is enough
    path = tmp_path / "deep" / "picture.png"
    picture.save(path)
    assert [file.name for file in path.parent.iterdir()] == ["picture.png"]
    image = np.asarray(Image.open(path).convert("RGB"))
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 30
    assert 300 <= image.shape[1] <= 800
    is_sheet = isinstance(picture, figures.ImageGrid | figures.ImageReconstructions)
    for axes in figure.axes if not is_sheet else ():
        if axes.axison and axes.get_subplotspec() is not None and axes.get_subplotspec().is_first_col():
            ticks = [text.get_text() for text in axes.get_yticklabels() if axes.yaxis.get_tick_params()["labelleft"]]
            numbers = [text for text in ticks if text.lstrip("−").replace(".", "").isdigit()]
            assert axes.get_ylabel() or figure.get_supylabel() or not numbers
    assert any(words(figure))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("grey_reconstructions", "Reconstructions"),
        ("image_manifold", "z₁, at quantiles of the prior"),
        ("image_traversals", "distance from the prior's mean"),
        ("point_reconstructions_3", "sin(x+y)"),
        ("point_reconstructions_3", "reconstructed, on the same scale"),
        ("point_reconstructions_64", "first 30 of 64 dimensions"),
        ("point_draws_1", "density"),
        ("point_manifold_3", "sin(x+y)"),
        ("point_traversals_7", "std of p(t|z)"),
        ("latents_digits", "the 2 of 5 latents with most KL"),
        ("latents_digits", "mean of q(z₂ | x)"),
        ("latents_digits", "digit"),
        ("latents_sine", "sin(x+y)"),
        ("kl_bars_13", "KL (nats)"),
        ("kl_sorted_65", "latents, sorted by KL"),
        ("curves", "ELBO (nats per example)"),
        ("surface", "modelled − true"),
        ("surface", "std of p(sin(x+y) | z)"),
    ],
)
def test_a_picture_says_what_it_shows(name, expected):
    assert any(expected in text for text in words(PICTURES[name].draw()))


def test_the_residual_is_white_at_zero_and_the_two_surfaces_share_their_colours():
    figure = PICTURES["surface"].draw()
    true, modelled, residual, std = (axes.collections[0].norm for axes in figure.axes[:4])
    assert (true.vmin, true.vmax) == (modelled.vmin, modelled.vmax)
    assert residual.vmin == -residual.vmax
    assert std.vmin == 0


def test_bars_have_the_heights_of_the_kl():
    picture = PICTURES["kl_bars_13"]
    heights = [bar.get_height() for bar in picture.draw().axes[0].patches]
    np.testing.assert_allclose(heights, picture.kl, rtol=1e-6)


def test_the_manifold_puts_large_z2_on_top():
    images = np.zeros((2, 3, 4, 5), np.float32)
    images[1] = 1  # the row of the larger z₂
    axes = figures.ImageManifold(images, AXIS[:3], AXIS[:2]).draw().axes[0]
    sheet = axes.images[0].get_array()
    assert sheet[0, 0, 0] == 1
    assert sheet[-1, 0, 0] == 0
    assert [label.get_text() for label in axes.get_yticklabels()] == ["−3", "−1.5"]
    assert axes.get_yticks()[0] > axes.get_yticks()[1]  # rows of pixels are counted from the top


def test_a_sheet_holds_each_image_in_its_place():
    images = uniform(2, 3, 4, 6)
    sheet = tile(images, 0, 1)
    assert sheet.shape == (2 * 5 - 1, 3 * 7 - 1, 3)
    np.testing.assert_array_equal(sheet[5:9, 14:20, 1], images[1, 2])
    np.testing.assert_array_equal(sheet[4], 1)


def test_black_and_white_are_0_and_1_unless_the_images_say_otherwise():
    assert limits(np.array([0.02, 0.9])) == (0.0, 1.0)
    assert limits(np.array([-1.0, 2.0])) == (-1.0, 2.0)


def test_the_palette_has_ten_colours_of_unlike_lightness_or_hue_for_people_without_red_or_green():
    """Viénot et al. 1999: linear RGB as a protanope and as a deuteranope see it."""
    rgb = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in PALETTE])
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    for share in (0.11238, 0.29275):
        seen = linear.copy()
        seen[:, 0] = seen[:, 1] = share * linear[:, 0] + (1 - share) * linear[:, 1]
        gamma = np.clip(seen, 0, 1) ** (1 / 2.4)
        apart = np.linalg.norm(gamma[:, None] - gamma[None], axis=-1) + np.eye(10)
        assert apart.min() > 0.05


def test_other_formats_follow_the_ending(tmp_path):
    for ending, start in {"pdf": b"%PDF", "svg": b"<?xml"}.items():
        PICTURES["kl_bars_1"].save(tmp_path / f"kl.{ending}")
        assert (tmp_path / f"kl.{ending}").read_bytes().startswith(start)


def test_pictures_know_whether_they_are_finite():
    assert PICTURES["kl_bars_1"].is_finite()
    assert not figures.KLBars(np.array([1.0, np.nan])).is_finite()


def test_drawing_imports_neither_torch_nor_the_rest_of_vaelab():
    script = (
        "import sys, numpy as np, vaelab.figures as f\n"
        "assert 'matplotlib' not in sys.modules\n"
        "f.KLBars(np.ones(3)).render()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "print([name for name in sys.modules if name == 'torch' or name.startswith('vaelab.')])"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    small = ("vaelab.escapes", "vaelab.files", "vaelab.open_folder", "vaelab.platforms", "vaelab.whole_files")
    assert all(name.startswith("vaelab.figures") or name in small for name in eval(process.stdout))


def test_a_render_is_a_png_of_the_size_asked_for():
    picture = PICTURES["kl_bars_1"]
    small, large = (Image.open(io.BytesIO(picture.render(dpi))) for dpi in (40, 80))
    assert small.format == "PNG"
    assert large.size == (2 * small.width, 2 * small.height)
