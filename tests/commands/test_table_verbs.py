"""Verbs of a run on a table: they find the model's columns by name, ignore the others, and keep the label."""

import numpy as np
import pandas
import pytest
import torch
from numpy.testing import assert_allclose

import vaelab
from helpers.runner import run_train
from vaelab.commands.encode import encode
from vaelab.commands.evaluate import evaluate_run
from vaelab.commands.reconstruct import reconstruct
from vaelab.commands.rows import read_labelled

N = 37
NUMBERS = np.random.default_rng(0).normal(size=(N, 2)) * [900, 0.01] + [5_000, 3]
KINDS = np.array(["rose", "lily", "a long kind, with a comma"])[np.arange(N) % 3]
SHORT = ("trainer.max_epochs=1", "network.hidden=[5]", "callbacks.pictures=null", "latent_dim=1")


def table():
    return pandas.DataFrame(NUMBERS, columns=["mass", "size, mm"]).assign(kind=KINDS, id=np.arange(1, N + 1))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on the columns `mass` and `size, mm` of a table with an index, a label and an id."""
    folder = tmp_path_factory.mktemp("run")
    table().to_csv(folder / "my flowers.csv")
    keys = ("data=table", "data.path='my flowers.csv'", "data.label=kind", "data.drop=[id]", "hydra.run.dir=run")
    done = run_train(folder, *keys, *SHORT)
    assert done.returncode == 0, done.stderr
    assert "left out 1 column (id)" in done.stdout + done.stderr
    return vaelab.load_run(folder / "run")


def latents(run, numbers=NUMBERS):
    with torch.no_grad():
        return run.vae.encode(torch.tensor(numbers, dtype=torch.float32)).mean.numpy()


def test_the_model_takes_and_gives_the_units_of_the_file(run):
    data = run.datamodule()
    data.setup()
    loc, scale = data.standardization("x")
    assert run.config["standardize"] is True
    assert_allclose(run.vae.encoder.input_units.loc.numpy(), loc)
    assert_allclose(run.vae.decoder.output_units.scale.numpy(), scale)
    assert_allclose(run.vae.decode(torch.zeros(1)).mean.detach().numpy() / loc.numpy(), 1, atol=0.5)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_encode_keeps_the_label_of_each_row(run, tmp_path, suffix):
    other = table()[["kind", "size, mm", "id", "mass"]].assign(remark="none")
    other.to_csv(tmp_path / "other.csv", index=False)
    assert encode(run, str(tmp_path / "other.csv"), tmp_path / f"z{suffix}") == N
    if suffix == ".npz":
        found = dict(np.load(tmp_path / "z.npz"))
        assert_allclose(found["mean"], latents(run), rtol=1e-5)
    else:
        found = (pandas.read_csv if suffix == ".csv" else pandas.read_parquet)(tmp_path / f"z{suffix}")
        assert found.columns.tolist() == ["mean_0", "std_0", "label"]
        assert_allclose(found["mean_0"], latents(run)[:, 0], rtol=1e-5)
    assert list(found["label"]) == KINDS.tolist()


def test_evaluate_warns_if_the_file_has_changed(run, tmp_path, caplog):
    evaluate_run(run, samples=2)
    assert not caplog.records
    more = table()
    pandas.concat([more, more.iloc[:1]]).to_csv(tmp_path / "more.csv")
    evaluate_run(run, samples=2, overrides={"path": str(tmp_path / "more.csv")})
    assert "the test split may hold examples that it was trained on" in caplog.text


def test_a_label_may_be_absent(run, tmp_path):
    table().drop(columns=["kind", "id"]).to_parquet(tmp_path / "other.parquet")
    encode(run, str(tmp_path / "other.parquet"), tmp_path / "z.csv")
    assert pandas.read_csv(tmp_path / "z.csv").columns.tolist() == ["mean_0", "std_0"]


def test_a_split_has_the_labels_of_its_rows(run, tmp_path):
    encode(run, "test", tmp_path / "z.csv")
    kinds = {row.tobytes(): kind for row, kind in zip(NUMBERS.astype(np.float32), KINDS, strict=True)}
    (x, *_), label = next(read_labelled(run, "test"))
    assert [kinds[row.tobytes()] for row in x.numpy()] == label.tolist()
    assert pandas.read_csv(tmp_path / "z.csv")["label"].tolist() == label.tolist()


def test_a_missing_column_of_the_model_is_named(run, tmp_path):
    table().rename(columns={"mass": "Mass"}).to_csv(tmp_path / "other.csv")
    message = r"^the columns must be those of the model \(mass, size, mm\), but"
    with pytest.raises(ValueError, match=message) as caught:
        encode(run, str(tmp_path / "other.csv"), tmp_path / "z.csv")
    assert "lacks mass (some differ only in capitals, spaces or punctuation)" in str(caught.value)


def test_text_in_a_column_of_the_model_is_refused(run, tmp_path):
    table().assign(mass="heavy").to_csv(tmp_path / "other.csv")
    with pytest.raises(ValueError, match=r"holds text in its column mass \('heavy'\); write numbers there"):
        encode(run, str(tmp_path / "other.csv"), tmp_path / "z.csv")


def test_a_file_without_names_holds_only_the_model_s_columns(run, tmp_path, caplog):
    np.save(tmp_path / "a.npy", NUMBERS)
    encode(run, str(tmp_path / "a.npy"), tmp_path / "z.npz")
    assert_allclose(np.load(tmp_path / "z.npz")["mean"], latents(run), rtol=1e-5)
    assert "does not name its columns" in caplog.text
    np.save(tmp_path / "a.npy", np.c_[NUMBERS, NUMBERS])
    with pytest.raises(ValueError, match="each row must have 2 numbers"):
        encode(run, str(tmp_path / "a.npy"), tmp_path / "z.npz")


def test_reconstruct_writes_the_units_of_the_file(run, tmp_path):
    table().to_csv(tmp_path / "other.csv", sep=";", decimal=",")
    reconstruct(run, str(tmp_path / "other.csv"), tmp_path / "r.csv", overrides={"decimal": "comma"})
    found = pandas.read_csv(tmp_path / "r.csv")
    assert found.columns.tolist() == ["mean_mass", "mean_size, mm", "sample_mass", "sample_size, mm"]
    with torch.no_grad():
        mean = run.vae.decode(torch.from_numpy(latents(run))).mean.numpy()
    assert_allclose(found[["mean_mass", "mean_size, mm"]], mean, rtol=1e-5)


def test_evaluate_reads_another_table(run, tmp_path):
    table().drop(columns="kind").sample(frac=1, random_state=0).to_csv(tmp_path / "other.csv")
    report = evaluate_run(run, samples=7, overrides={"path": str(tmp_path / "other.csv")})
    assert np.isfinite(report["nll"])
    assert report["examples"] == round(0.1 * N)


def test_a_model_without_names_takes_the_whole_file_or_its_own_columns(tmp_path):
    np.save(tmp_path / "a.npy", np.c_[np.arange(N) % 2, NUMBERS])
    keys = ("data=table", "data.path=a.npy", "data.label=0", "hydra.run.dir=run")
    done = run_train(tmp_path, *keys, *SHORT)
    assert done.returncode == 0, done.stderr
    run = vaelab.load_run(tmp_path / "run")
    encode(run, str(tmp_path / "a.npy"), tmp_path / "z.npz")
    found = np.load(tmp_path / "z.npz")
    assert found["label"].tolist() == (np.arange(N) % 2).tolist()
    np.save(tmp_path / "b.npy", NUMBERS)
    encode(run, str(tmp_path / "b.npy"), tmp_path / "y.npz")
    assert_allclose(np.load(tmp_path / "y.npz")["mean"], found["mean"])


def test_a_run_on_a_table_resumes(run, tmp_path):
    done = run_train(tmp_path, f"resume={run.folder}", "trainer.max_epochs=2")
    assert done.returncode == 0, done.stderr


def test_an_error_of_a_table_is_one_line(tmp_path):
    table().to_csv(tmp_path / "a.csv")
    done = run_train(tmp_path, "data=table", "data.path=a.csv", *SHORT)
    assert done.returncode != 0
    assert "a.csv holds text in its column kind ('rose'); leave it out with data.drop=kind" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_conditional_run_takes_the_class_of_a_file(tmp_path):
    table().to_csv(tmp_path / "a.csv")
    keys = ("data=table", "data.path=a.csv", "data.label=kind", "data.drop=[id]", "condition=label")
    done = run_train(tmp_path, *keys, "hydra.run.dir=run", *SHORT)
    assert done.returncode == 0, done.stderr
    run = vaelab.load_run(tmp_path / "run")
    assert run.condition_names == tuple(sorted(set(KINDS)))
    encode(run, str(tmp_path / "a.csv"), tmp_path / "lilies.csv", condition="lily")
    encode(run, str(tmp_path / "a.csv"), tmp_path / "own.csv")  # with the label of each row
    encode(run, "train", tmp_path / "train.csv")
    some = pandas.read_csv(tmp_path / "train.csv").query("label == 'lily'")
    for name in ("lilies.csv", "own.csv"):
        every = pandas.read_csv(tmp_path / name).query("label == 'lily'")
        nearest = np.abs(some["mean_0"].to_numpy()[:, None] - every["mean_0"].to_numpy()).min(-1)
        assert 8 < len(some) < len(every)
        assert_allclose(nearest, 0, atol=1e-5)
    table().drop(columns="kind").to_csv(tmp_path / "no label.csv")
    with pytest.raises(ValueError, match=r"needs --condition, because .* the file holds no labels; use one of"):
        encode(run, str(tmp_path / "no label.csv"), tmp_path / "z.csv")
    table().assign(kind="tulip").to_csv(tmp_path / "new.csv")
    with pytest.raises(ValueError, match=r"one of the model's classes .* has tulip; "):
        encode(run, str(tmp_path / "new.csv"), tmp_path / "z.csv")


def test_a_run_loads_whatever_hydra_made_of_a_name(tmp_path):
    table().assign(**{"1.5": 0.5, "true": 1.5, "2019": 2.5}).to_csv(tmp_path / "a.csv")
    keys = ("data=table", "data.path=a.csv", "data.header=true", "data.label=2019", "data.drop=[1.5,true,kind,id]")
    done = run_train(tmp_path, *keys, "hydra.run.dir=run", *SHORT)
    assert done.returncode == 0, done.stderr
    assert vaelab.load_run(tmp_path / "run").datamodule().drop == ("1.5", "true", "kind", "id")
