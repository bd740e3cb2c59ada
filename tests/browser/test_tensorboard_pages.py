"""What you see in TensorBoard, in a real browser: every tab for a run, a run on images, and a sweep."""

import re

import numpy as np
import pytest

from helpers.browser import Page, chromium, needs_a_browser, tensorboard, wait_for
from helpers.idx_files import write_small_mnist
from helpers.runner import TINY, run_train

needs_a_browser()
pytestmark = pytest.mark.drill  # starting three TensorBoards and opening their tabs takes about a minute

TERMS = ["bound", "elbo", "kl", "log_likelihood", "loss"]  # as TensorBoard sorts them
TRAINING = [f"train/{term}" for term in [*TERMS, "weight_of_kl"]]  # the default run warms the KL up
CURVES = [*TRAINING, *(f"val/{term}" for term in TERMS)]
VIEWS = ["curves", "kl_per_dimension", "latents", "prior_samples", "reconstructions"]
SHORT = ("trainer.max_epochs=2", "network.hidden=[6]", "trainer.log_every_n_steps=1")
SWEPT = ("-m", "latent_dim=1,3", "model=gaussian,laplace,gaussian_shared")


@pytest.fixture(scope="module")
def browser():
    with chromium() as driver:
        yield driver


def trained(folder, *arguments):
    process = run_train(folder, *arguments, timeout=300)
    assert process.returncode == 0, process.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def sine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sine")
    run = trained(folder, *TINY, *SHORT, "data.batch_size=7", "hydra.run.dir=run")
    with tensorboard(run) as address:
        yield address


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    write_small_mnist(folder, train=60, test=20, rows=5, columns=7, gz=True)
    data = ("model=bernoulli", "data=mnist", f"data.root={folder}", "data.val_size=13", "latent_dim=5")
    run = trained(folder, *data, *SHORT, "hydra.run.dir=run")
    with tensorboard(run) as address:
        yield address


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    run = trained(folder, *SWEPT, *TINY, *SHORT, "callbacks.pictures.examples=5", "hydra.sweep.dir=run")
    with tensorboard(run) as address:
        yield address


def groups(page, enough):
    """Group -> its number of cards, in the order of the page."""
    pattern = re.compile(r"(.*?)\s*(\d+) cards?", re.S)
    found = [pattern.fullmatch(text).groups() for text in page.wait_for_texts(".group-title-wrapper", enough)]
    return {name: int(cards) for name, cards in found}


def cards(page, enough):
    """The tags of the cards that are open when the page has loaded."""
    return [tag.replace("\n", "") for tag in page.wait_for_texts("card-view .tag", enough)]


def test_a_run_opens_on_its_curves(sine, browser):
    page = Page(browser, sine, "")
    final = 2 * (len(TERMS) + 2)  # of the test and the validation split, with baseline and ceiling
    assert groups(page, 4) == {"train": 6, "val": 5, "views": 7, "when_done": final}
    assert cards(page, 5)[:5] == CURVES[:5]
    tabs = page.texts(".mat-mdc-tab, .mat-tab-label, [role=tab]")
    assert {"TIME SERIES", "SCALARS", "CUSTOM SCALARS", "IMAGES", "GRAPHS", "TEXT", "HPARAMS", "PROJECTOR"} <= {
        tab.upper() for tab in tabs
    }


def test_the_scalars_of_a_run_are_its_curves_then_its_final_numbers(sine, browser):
    page = Page(browser, sine, "scalars")
    assert page.wait_for_texts(".category-name", 3) == ["train", "val", "when_done"]
    assert wait_for(lambda: page.properties("tf-scalar-card", "tag")[: len(CURVES)]) == CURVES


def test_the_images_of_a_run_are_its_views(sine, browser):
    page = Page(browser, sine, "images")
    views = sorted(f"views/{name}" for name in [*VIEWS, "manifold", "surface"])
    assert wait_for(lambda: page.properties("tf-image-loader", "tag")) == views
    sizes = wait_for(lambda: len(found := page.sizes("img")) == len(views) and found)
    assert all(width >= 200 and height >= 200 for width, height in sizes)


def test_custom_scalars_show_training_beside_validation(sine, browser):
    page = Page(browser, sine, "custom_scalars")
    chart = "tf-custom-scalar-multi-line-chart-card"
    drawn = wait_for(lambda: all(found := page.properties(chart, "_nameToDataSeries")) and found)
    shown = dict(zip(page.properties(chart, "title"), map(sorted, drawn), strict=True))
    assert list(shown) == ["elbo", "kl", "log_likelihood", "bound", "loss"]
    for term, curves in shown.items():
        landmarks = ["when_done/val/baseline (.)", "when_done/val/ceiling (.)"] if term == "elbo" else []
        assert curves == [f"train/{term} (.)", f"val/{term} (.)", *landmarks]


def test_the_text_says_what_the_run_is_about(sine, browser):
    page = Page(browser, sine, "text")
    assert wait_for(lambda: page.properties("tf-text-loader", "tag")) == ["about/command", "about/config", "about/data"]
    command, config, data = page.wait_for_texts("#markdown", 3)
    assert "trainer.max_epochs=2 network.hidden=[6]" in command.replace("'", "")
    assert re.search(r"model\s+gaussian\s+posterior\s+diagonal", config)  # a table
    assert "latent_dim: 2" in config  # a block of code
    assert "sin(x+y) on [-π, π]²" in data
    assert len(page.texts("#markdown table")) == 2
    assert len(page.texts("#markdown pre code")) == 2


def test_the_graph_leads_to_the_reconstruction(sine, browser):
    page = Page(browser, sine, "graphs")
    assert any("Reconstruct" in text for text in page.wait_for_texts("g.node", 3))


def projected(browser, address, *expected):
    """The page of the projector, which lies in two frames, once it shows a number of points and of dimensions."""
    page = Page(browser, address, "projector")
    for _ in range(2):
        frame = wait_for(lambda: browser.find_elements("css selector", "iframe"))[0]
        browser.switch_to.frame(frame)
    wait_for(lambda: [*page.texts("span.numDataPoints"), *page.texts("span.dim")] == [*expected])
    return page


def points(page):
    """The positions of the points that are drawn, (n, 3)."""
    script = "return found[0].projectorScatterPlotAdapter.scatterPlot.worldSpacePointPositions;"
    flat = wait_for(lambda: page.run("vz-projector", script))
    values = list(flat.values()) if isinstance(flat, dict) else flat
    return np.array(values, dtype=float).reshape(-1, 3)


def test_the_projector_shows_two_latents(sine, browser):
    page = projected(browser, sine, "7", "3")
    drawn = points(page)
    assert drawn.shape == (7, 3)
    assert np.isfinite(drawn).all()
    assert (np.sort(drawn.std(0))[1:] > 0).all()
    (colours,) = page.properties("vz-projector-data-panel", "colorOptions")
    assert [colour["name"] for colour in colours if "desc" in colour] == ["sin(x+y)", "example"]


def test_the_projector_shows_images(images, browser):
    page = projected(browser, images, "13", "5")
    assert np.isfinite(points(page)).all()
    (data,) = page.run("vz-projector", "return [found[0].dataSet.spriteAndMetadataInfo.spriteMetadata];")
    assert data["singleImageDim"] == [7, 7]
    (colours,) = page.properties("vz-projector-data-panel", "colorOptions")
    assert "label" in [colour["name"] for colour in colours]


def test_a_run_on_images_opens_on_its_curves(images, browser):
    page = Page(browser, images, "")
    assert list(groups(page, 4)) == ["train", "val", "views", "when_done"]
    assert cards(page, 5)[:5] == CURVES[:5]
    page = Page(browser, images, "images")
    views = sorted(f"views/{name}" for name in [*VIEWS, "traversals"])
    assert wait_for(lambda: page.properties("tf-image-loader", "tag")) == views


def test_a_sweep_opens_on_the_curves_of_its_cells(sweep, browser):
    page = Page(browser, sweep, "")
    assert list(groups(page, 5)) == ["train", "val", "view of all runs", "views", "when_done"]
    assert cards(page, 5)[:5] == CURVES[:5]
    page = Page(browser, sweep, "images")
    assert page.wait_for_texts(".category-name", 2) == ["view of all runs", "views"]


def columns(page, rows):
    """The names of the columns in the HParams tab, and the cells of each row."""
    texts = page.wait_for_texts("vaadin-grid-cell-content", (rows + 1) * 10)
    head = texts[: texts.index("Show Metrics") + 11]
    return head[2:], texts[len(head) :]


def test_hparams_list_what_varies_first_and_real_numbers(sweep, browser):
    names, cells = columns(Page(browser, sweep, "hparams"), 6)
    assert names[:2] == ["latent_dim", "model"]
    assert names[5:] == ["val/elbo", "test/elbo", "val/kl", "test/kl", "val/log_likelihood"]
    assert {"gaussian", "laplace", "gaussian_shared", "1.0000", "3.0000"} <= set(cells)
    assert sum(cell.startswith("latent_dim=") for cell in cells) == 6


def test_hparams_of_one_run_begin_with_what_was_typed(sine, browser):
    names, cells = columns(Page(browser, sine, "hparams"), 1)
    assert "trainer.enable_progress_bar" not in names
    assert {"data.batch_size", "data.test_size", "data.train_size", "data.val_size"} <= set(names[:5])
    assert names[5:] == ["val/elbo", "test/elbo", "val/kl", "test/kl", "val/log_likelihood"]
    assert "7.0000" in cells
