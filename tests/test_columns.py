"""The names of columns, from the file that a model was trained on to every file that it is given later."""

import csv
import doctest
import io
import json
import logging
import re
import shutil
import tempfile

import numpy as np
import pyarrow
import pytest
import torch
from matplotlib.text import Text
from pyarrow import parquet

import vaelab
from helpers.runner import SHORT, TINY, compose_config
from vaelab import precision
from vaelab.app.cli import main
from vaelab.app.resume import resume
from vaelab.app.start import train
from vaelab.checkpoint import read_checkpoint
from vaelab.commands.columns import column_names
from vaelab.data import condition, open_file, wording
from vaelab.data.columns import order_columns
from vaelab.data.wording import listed
from vaelab.figures.points import PointDraws
from vaelab.figures.text_sizes import names_of
from vaelab.runs.same_data import check_same_data

NAMES = ("age", "height", "weight $kg$")
PEOPLE = np.random.default_rng(0).normal(size=(29, 3)) * [4, 0.1, 2] + [40, 1.7, 70]


def write_people(path, order=(0, 1, 2), names=NAMES, rows=PEOPLE):
    """A file of people with its columns in another order, or with other names."""
    names, rows = [names[column] for column in order], rows[:, order]
    if path.suffix == ".csv":
        np.savetxt(path, rows, "%.17g", ",", header=",".join(names), comments="")
    elif path.suffix == ".parquet":
        parquet.write_table(pyarrow.table(dict(zip(names, rows.T, strict=True))), path)
    else:
        np.savez(path, x=rows, names=names)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a short run on people.csv."""
    folder = tmp_path_factory.mktemp("people")
    path = write_people(folder / "people.csv")
    said, log = io.StringIO(), logging.getLogger("vaelab")
    handler, level = logging.StreamHandler(said), log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        train(compose_config(folder / "run", *SHORT, "data=array", f"data.path={path}", "data.val_size=5"))
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    (folder / "said.txt").write_text(said.getvalue())
    return folder / "run"


def encoded(run, path, *options):
    table = path.with_suffix(".latents.npz")
    main(["encode", str(run), str(path), "-o", str(table), *options])
    return np.load(table)["mean"]


def refused(run, path, *options):
    with pytest.raises(SystemExit) as caught:
        encoded(run, path, *options)
    assert not path.with_suffix(".latents.npz").exists()
    return str(caught.value.code)


def test_the_names_are_in_the_checkpoint_and_what_was_read_in_data_json(run):
    content = read_checkpoint(run / "checkpoints" / "last.ckpt")
    assert content["hyper_parameters"]["x_names"] == list(NAMES)
    described = json.loads((run / "data.json").read_text())
    assert described["read"] == (
        "read 29 rows of 3 columns (age, height, weight $kg$) from people.csv; line 1 holds the names"
    )
    said = (run.parent / "said.txt").read_text().splitlines()
    assert said.count(described["read"]) == 1
    assert len(said) == 2  # the second says what the model scores
    loaded = vaelab.load_run(run)
    assert loaded.x_names == loaded.datamodule().names == loaded.datamodule().x_names == NAMES
    assert described["test_checksum"] == loaded.ready_datamodule({}).checksum("test")


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_columns_in_another_order_are_put_into_the_models(run, tmp_path, suffix, caplog):
    caplog.set_level(logging.INFO, "vaelab")
    right = encoded(run, write_people(tmp_path / f"right{suffix}"))
    assert "were reordered" not in caplog.text
    moved = write_people(tmp_path / f"moved{suffix}", (2, 0, 1))
    np.testing.assert_array_equal(encoded(run, moved), right)
    assert "the columns of" in caplog.text
    assert "were reordered to match the model: age, height, weight $kg$" in caplog.text
    evaluated = vaelab.load_run(run).ready_datamodule({"path": str(moved)})
    np.testing.assert_array_equal(evaluated.test, vaelab.load_run(run).ready_datamodule({}).test)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("age", "height", "shoe"), "lacks weight $kg$ and also has shoe; "),
        (
            ("Age", " height ", "weight kg"),
            "lacks age, weight $kg$ and also has Age, weight kg (some differ only",
        ),
        (("age", "height"), "lacks weight $kg$; "),
        ((*NAMES, "a\x1b[2J"), r"also has a\x1b[2J; "),
    ],
)
def test_missing_and_unknown_columns_are_named(run, tmp_path, names, words):
    rows = np.column_stack([PEOPLE, PEOPLE])[:, : len(names)]
    path = write_people(tmp_path / "other.csv", range(len(names)), names, rows)
    said = refused(run, path)
    assert said.startswith("error: the columns must be those of the model (age, height, weight $kg$), but ")
    assert words in said
    with pytest.raises(ValueError, match="must be those of the model"):
        vaelab.load_run(run).ready_datamodule({"path": str(path)})


def test_a_file_without_names_is_taken_with_a_warning(run, tmp_path, caplog):
    np.save(tmp_path / "people.npy", PEOPLE)
    np.savetxt(tmp_path / "bare.csv", PEOPLE, "%.17g", ",")
    right = encoded(run, write_people(tmp_path / "right.csv"))
    assert not caplog.records
    for name in ("people.npy", "bare.csv"):
        np.testing.assert_allclose(encoded(run, tmp_path / name), right, rtol=1e-6)
        (warning,) = caplog.records
        assert warning.levelname == "WARNING"
        assert re.search(r"does not name its columns.*in this order: age, height, weight", warning.getMessage())
        caplog.clear()


def test_a_run_of_an_older_version_takes_columns_as_they_come(run, tmp_path, caplog):
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    del content["hyper_parameters"]["x_names"], content["hyper_parameters"]["data"]["missing"]
    torch.save(content, tmp_path / "old.ckpt")
    moved = write_people(tmp_path / "moved.csv", (2, 0, 1))
    right = encoded(run, write_people(tmp_path / "right.csv"))
    assert np.abs(encoded(tmp_path / "old.ckpt", moved) - right).max() > 1e-3
    assert not caplog.records


@pytest.mark.parametrize("names", ["age", ["age"], [1, 2, 3], {"age": 1}])
def test_names_that_do_not_fit_the_model_are_refused(run, tmp_path, names):
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    content["hyper_parameters"]["x_names"] = names
    torch.save(content, tmp_path / "odd.ckpt")
    with pytest.raises(ValueError, match=r"must be a list of (one name for each number|at most)"):
        vaelab.load_run(tmp_path / "odd.ckpt")


def test_tables_of_results_have_the_names(run, tmp_path):
    for verb in (["reconstruct", run, "val"], ["sample", run, "-n", "3"]):
        main([*map(str, verb), "-o", str(tmp_path / "t.csv")])
        with (tmp_path / "t.csv").open() as file:
            found = [name for name in next(csv.reader(file)) if not name.startswith("z_")]
        assert found == [f"{kind}_{name}" for kind in ("mean", "sample") for name in NAMES]
    main(["reconstruct", str(run), "val", "-o", str(tmp_path / "t.npz")])
    assert np.load(tmp_path / "t.npz")["mean"].shape == (5, 3)


def test_pictures_show_the_names(run, tmp_path):
    assert column_names(vaelab.load_run(run), run / "rows.csv") == NAMES
    assert names_of(NAMES, 3) == ("age", "height", "weight $kg$")
    labels = PointDraws(np.ones((4, 3)), None, NAMES, "").draw().findobj(Text)
    assert any(label.get_text() == NAMES[2] and not label.get_parse_math() for label in labels)
    assert names_of(("a" * 31, "b\n"), 2) == ("a" * 29 + "…", r"b\n")
    main(["reconstruct", str(run), "val", "-o", str(tmp_path / "t.png")])
    assert (tmp_path / "t.png").stat().st_size > 1_000


def test_a_verb_reads_as_its_run_did_or_as_it_is_told(run, tmp_path, caplog):
    caplog.set_level(logging.INFO, "vaelab")
    path = write_people(tmp_path / "gaps.csv")
    path.write_text(path.read_text() + "1,2,NA\n")
    assert "holds none in line 31, column 3 (weight $kg$);" in refused(run, path)
    right = encoded(run, write_people(tmp_path / "right.csv"))
    np.testing.assert_array_equal(encoded(run, path, "--data", "missing=drop"), right)
    assert "left out 1 row with a missing value (line 31)" in caplog.text
    assert "holds 'age' in line 1, column 1;" in refused(run, path.rename(tmp_path / "b.csv"), "--data", "header=false")


def test_generated_data_take_columns_of_any_name(tmp_path, caplog):
    train(compose_config(tmp_path / "run", *SHORT, *TINY))
    assert json.loads((tmp_path / "run" / "data.json").read_text())["read"].startswith(
        "drew 30 points (x, y, sin(x+y))"
    )
    points = PEOPLE[:, :2] / 50
    caplog.set_level(logging.INFO, "vaelab")
    right = encoded(tmp_path / "run", write_people(tmp_path / "right.csv", (0, 1), ("x", "y"), points))
    moved = write_people(tmp_path / "moved.csv", (1, 0), ("x", "y"), points)
    np.testing.assert_array_equal(encoded(tmp_path / "run", moved), right)
    caplog.clear()
    other = write_people(tmp_path / "other.csv", (0, 1), ("a", "b"), points)
    np.testing.assert_array_equal(encoded(tmp_path / "run", other, "--data", "header=true"), right)
    assert "the columns a, b of" in caplog.text
    assert "were used as x, y" in caplog.text


def test_a_resumed_run_has_the_same_names():
    old = {"fingerprint": 3, "x_names": ["a", "b"]}
    check_same_data({"hyper_parameters": old}, dict(old))
    check_same_data({"hyper_parameters": {"fingerprint": 3}}, dict(old))  # an older version's
    for names, said in ((["b", "a"], "but are b, a"), (None, "but are without names")):
        with pytest.raises(ValueError, match=rf"must be those .* \(a, b\), {said}"):
            check_same_data({"hyper_parameters": old}, {"fingerprint": 3, "x_names": names})


def test_a_resumed_run_takes_its_columns_in_any_order(run, tmp_path, caplog):
    path, epochs = "data.path", {"trainer.max_epochs": "2"}
    moved = shutil.copytree(run, tmp_path / "moved")
    resume({"resume": str(moved), path: str(write_people(tmp_path / "moved.csv", (2, 0, 1))), **epochs})
    assert not [record for record in caplog.records if "columns" in record.getMessage()]
    bare = shutil.copytree(run, tmp_path / "bare")
    np.savetxt(tmp_path / "bare.csv", PEOPLE, "%.17g", ",")
    resume({"resume": str(bare), path: str(tmp_path / "bare.csv"), **epochs})
    assert "bare.csv does not name its columns, so they must be the model's columns in this order: age" in caplog.text
    weights = [read_checkpoint(each / "checkpoints" / "last.ckpt")["state_dict"] for each in (run, moved, bare)]
    for name, value in weights[1].items():
        torch.testing.assert_close(value, weights[2][name], rtol=0, atol=0)
    assert any(not torch.equal(value, weights[0][name]) for name, value in weights[1].items())
    for order, names, said in (((0, 1, 2), ("a", "b", "c"), "lacks age"), ((0, 1), NAMES[:2], r"lacks weight \$kg\$;")):
        other = write_people(tmp_path / "other.csv", order, names)
        with pytest.raises(ValueError, match=said):
            resume({"resume": str(bare), path: str(other), "trainer.max_epochs": "3"})
    write_people(tmp_path / "other.csv", (1, 0, 2), [NAMES[1], NAMES[0], NAMES[2]])  # other numbers under these names
    with pytest.raises(ValueError, match="the data must be those that the run was trained on"):
        resume({"resume": str(bare), path: str(tmp_path / "other.csv"), "trainer.max_epochs": "3"})


@pytest.mark.parametrize("module", [condition, open_file, precision, wording])
def test_the_examples_of_the_documentation_run(module, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


def test_long_lists_are_cut():
    assert listed([f"c{index}" for index in range(40)], 3) == "c0, c1, c2 and 37 more"
    assert listed(["x" * 50]) == "x" * 39 + "…"
    assert order_columns(["b", "c", "a"], ["a", "b", "c"], "file") == [2, 0, 1]
