"""The notebook of the first half hour runs from top to bottom, and its outputs are what a reader should see."""

import base64
import io
import os
import re

import pytest

from helpers.runner import ROOT

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")
pytest.importorskip("pandas")
pytestmark = pytest.mark.drill
PAGE = ROOT / "examples" / "first_half_hour.ipynb"


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """The code cells after running them in an empty folder."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(PAGE, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLBACKEND", "module://nonsense")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src")]))
        client = nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3")
        client.resources = {"metadata": {"path": str(folder)}}
        client.execute()
    return {cell.source: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def outputs_of(cells, words):
    (found,) = (outputs for source, outputs in cells.items() if words in source)
    return found


def test_training_leaves_the_last_state_of_its_bar_and_its_numbers(cells):
    outputs = outputs_of(cells, "run = vaelab.train(")
    (bar,) = (output for output in outputs if output.output_type == "display_data")
    texts = [output for output in outputs if output.output_type == "stream"]
    assert re.match(r"epoch (\d+)/\1: 100%", bar.data["text/plain"])
    assert "\r" not in str(cells)
    text = "".join(output.text for output in texts)
    assert "elbo" in text
    assert "tensorboard --logdir outputs" in text
    assert all(output.name == "stdout" for output in texts)


def test_values_are_short(cells):
    (run,) = cells["run"]
    assert run.data["text/plain"].startswith("Run(outputs/")
    assert "test ELBO -" in run.data["text/plain"]
    assert cells["run.vae"][0].data["text/plain"].count("\n") == 3


def test_pandas_shows_the_curves(cells):
    (table,) = outputs_of(cells, "run.curves()")
    assert "val/elbo" in table.data["text/html"]


@pytest.mark.parametrize("name", ["curves", "surface", "latents"])
def test_pictures_are_shown(name, cells):
    from PIL import Image

    (picture,) = outputs_of(cells, f'run.figure("{name}")')
    image = Image.open(io.BytesIO(base64.b64decode(picture.data["image/png"])))
    assert min(image.size) > 200
    assert len(image.convert("RGB").getcolors(1 << 20)) > 50  # something is drawn


def test_the_stored_outputs_name_no_place_of_the_machine_that_made_them():
    text = PAGE.read_text()
    assert len(text) < 400_000
    for place in ("/home/", "/Users/", "/root/", "/tmp/", "site-packages"):
        assert place not in text, place
