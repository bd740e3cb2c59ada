"""Verbs of a run on a table of several kinds of columns, two of which are its condition."""

import shutil

import numpy as np
import pandas
import pytest
import torch
from numpy.testing import assert_allclose

import vaelab
from helpers.runner import run_train
from vaelab.commands.conditions import kind_of
from vaelab.commands.encode import encode
from vaelab.commands.evaluate import evaluate_run
from vaelab.commands.export import export
from vaelab.commands.interpolate import interpolate
from vaelab.commands.reconstruct import reconstruct
from vaelab.commands.sample import sample
from vaelab.commands.score import score_rows
from vaelab.commands.traverse import traverse

N = 61
HEIGHTS = np.random.default_rng(1).normal(170, 9, N).round(2)
CITIES = ("New York, NY", 'Say "hi"', "Zürich")
SHORT = ("network.hidden=[5]", "callbacks.pictures=null", "latent_dim=1", "data.batch_size=17")
STEADY = ("scheduler=constant", "objective=elbo_constant_beta")  # the same in every epoch, however long a run is


def table():
    return pandas.DataFrame(
        {
            "name": [f"person {i}" for i in range(N)],
            "größe, cm": HEIGHTS,
            "age": np.arange(N) % 43 + 18.5,
            "kids": np.arange(N) % 11 % 5,
            "city": np.array(CITIES)[np.arange(N) % 7 % 3],
            "sex": np.array(["f", "m"])[np.arange(N) % 2],
            "smokes": np.arange(N) % 3 == 1,
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("mixed run")
    table().to_csv(place / "people.csv", index=False)
    keys = ("data=table", "data.path=people.csv", "model=columns", "data.drop=[name]", "condition=[age,sex]")
    done = run_train(place, *keys, *SHORT, *STEADY, "trainer.max_epochs=2", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert "count kids; category city (3), sex (2); binary smokes (by rule: " in said
    assert "scores the mixed log-density of each row of 4 numbers given its age, sex in nats, with Columns" in said
    return place


@pytest.fixture(scope="module")
def run(folder):
    return vaelab.load_run(folder / "run")


def _plain(column):
    return column.to_numpy() if column.dtype.kind in "bif" else np.array(column, dtype=str)


def read(file):
    return (pandas.read_csv if file.suffix == ".csv" else pandas.read_parquet)(file)


def test_facts_of_the_run_say_what_its_columns_hold(run):
    assert run.config["column_kinds"] == ["real", "count", "category", "binary"]
    assert run.config["column_categories"] == [[], [], [*CITIES], []]
    assert run.condition_names == ("age", "sex=f", "sex=m")
    ages = table()["age"].to_numpy()
    loc = run.vae.encoder.condition_units.loc.numpy()
    assert abs(loc[0] - ages.mean()) < 5
    assert loc[1:].tolist() == [0, 0]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_reconstructions_are_in_the_terms_of_the_file(run, folder, tmp_path, suffix):
    file = tmp_path / f"out{suffix}"
    assert reconstruct(run, str(folder / "people.csv"), file) == N
    found = pandas.DataFrame(dict(np.load(file))) if suffix == ".npz" else read(file)
    shown = ["größe, cm", "kids", "city", "smokes"]
    assert [*found.columns] == [
        *(f"{'mode' if name == 'city' else 'mean'}_{name}" for name in shown),
        *(f"sample_{name}" for name in shown),
        *(f"probability_city={city}" for city in CITIES),
    ]
    p = found[[f"probability_city={city}" for city in CITIES]].to_numpy()
    assert_allclose(p.sum(1), 1, rtol=1e-5)
    assert found["mode_city"].tolist() == np.array(CITIES)[p.argmax(1)].tolist()
    assert set(found["sample_city"]) <= set(CITIES)
    assert found["sample_kids"].dtype == found["sample_smokes"].dtype == np.int64
    assert found["sample_kids"].min() >= 0
    assert found["mean_größe, cm"].between(100, 250).all()
    assert found["mean_smokes"].between(0, 1).all()


def test_other_files_give_the_same_latents(run, folder, tmp_path):
    encode(run, str(folder / "people.csv"), tmp_path / "z.csv")
    latents = read(tmp_path / "z.csv")
    other = table()[["smokes", "sex", "kids", "city", "age", "größe, cm"]].assign(remark="none")
    other["city"] = other["city"].astype("category")
    other.to_parquet(tmp_path / "other.parquet")
    np.savez(tmp_path / "other.npz", **{name: _plain(column) for name, column in table().items()})
    for name in ("other.parquet", "other.npz"):
        encode(run, str(tmp_path / name), tmp_path / "again.csv")
        pandas.testing.assert_frame_equal(read(tmp_path / "again.csv"), latents)
    table()[table()["sex"] == "m"].drop(columns="sex").to_csv(tmp_path / "men.csv")
    with pytest.raises(ValueError, match=r"condition \(age, sex\) .*men.csv lacks sex.*--condition"):
        encode(run, str(tmp_path / "men.csv"), tmp_path / "none.csv")
    encode(run, str(tmp_path / "men.csv"), tmp_path / "m.csv", condition="sex=m,age=18.5")
    first = {"sex": "m", "age": 18.5}
    table()[table()["sex"] == "m"].assign(**first).to_csv(tmp_path / "same.csv")
    encode(run, str(tmp_path / "same.csv"), tmp_path / "same_z.csv")
    pandas.testing.assert_frame_equal(read(tmp_path / "m.csv"), read(tmp_path / "same_z.csv"))


def test_draws_have_the_condition_beside_them(run, tmp_path):
    sample(run, 6, tmp_path / "s.csv", condition="age=70,sex=f")
    found = read(tmp_path / "s.csv")
    assert found["condition_age"].tolist() == [70] * 6
    assert found["condition_sex"].tolist() == ["f"] * 6
    sample(run, 5, tmp_path / "s.csv")  # the categories take turns, and numbers are at their means
    found = read(tmp_path / "s.csv")
    assert found["condition_sex"].tolist() == ["f", "m", "f", "m", "f"]
    assert_allclose(found["condition_age"], run.vae.encoder.condition_units.loc[0], rtol=1e-6)
    with torch.no_grad():
        z = torch.tensor(found["z_0"].to_numpy(), dtype=torch.float32).unsqueeze(-1)
        given = torch.tensor([[found["condition_age"][0], 1, 0], [found["condition_age"][1], 0, 1]])
        p = run.vae.decode(z[:2], given)
    assert_allclose(found["mean_größe, cm"][:2], p.mean[:, 0], rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("3", "must give each of age, sex once, such as age=30,sex=f, but is 3"),
        ("age=30", "must give each of age, sex once"),
        ("age=30,sex=f,age=4", "must give each of age, sex once"),
        ("age=old,sex=f", "age in --condition must be a number, but is old"),
        ("age=30,sex=x", "sex in --condition must be one of f, m, but is x"),
    ],
)
def test_a_condition_that_cannot_be_read_is_refused(run, tmp_path, text, words):
    with pytest.raises(ValueError, match=words):
        sample(run, 2, tmp_path / "s.csv", condition=text)


def test_every_other_verb_takes_the_run(run, folder, tmp_path):
    report = evaluate_run(run, samples=3)
    assert (report["measure"], report["condition"], kind_of(run)) == ("mixed", "age, sex", "age, sex")
    assert report["columns"] == "real größe, cm; count kids; category city (3); binary smokes"
    assert report["min_std_low"] == report["min_std_high"]
    score_rows(run, str(folder / "people.csv"), tmp_path / "score.csv", samples=3)
    assert np.isfinite(read(tmp_path / "score.csv")["log_p"]).all()
    interpolate(run, "test:0", "test:1", tmp_path / "path.csv", steps=3, condition="age=20,sex=m")
    assert set(read(tmp_path / "path.csv")["mode_city"]) <= set(CITIES)
    traverse(run, tmp_path / "walk.png")
    reconstruct(run, "test", tmp_path / "rows.png", decode_as="age=20,sex=m")
    assert (tmp_path / "walk.png").stat().st_size > 9_000 < (tmp_path / "rows.png").stat().st_size
    assert "agrees with torch" in export(run, tmp_path / "model.pt2")


def test_a_run_that_stopped_is_resumed_bit_for_bit(folder, tmp_path):
    place = tmp_path / "place"
    shutil.copytree(folder, place, ignore=shutil.ignore_patterns("run"))
    keys = ("data=table", "data.path=people.csv", "model=columns", "data.drop=[name]", "condition=[age,sex]")
    done = run_train(place, *keys, *SHORT, *STEADY, "trainer.max_epochs=1", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    done = run_train(place, "resume=run", "trainer.max_epochs=2")
    assert done.returncode == 0, done.stderr
    weights = [
        torch.load(each / "run" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for each in (folder, place)
    ]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("column_kinds", ["real", "os.system", "category", "binary"], "column_kinds"),
        ("column_kinds", ["real"], "one entry for each of the 4 columns"),
        ("column_categories", [[], [], [{"_target_": "os.system"}], []], "column_categories"),
        ("column_categories", [[], [], ["a"] * 10**3, []], "do not fit its own config"),
        ("condition", ["${oc.env:HOME}"], "condition"),
    ],
)
def test_facts_of_a_stranger_are_checked(folder, tmp_path, key, value, words):
    content = torch.load(folder / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    content["hyper_parameters"][key] = value
    (tmp_path / "checkpoints").mkdir()
    torch.save(content, tmp_path / "checkpoints" / "last.ckpt")
    with pytest.raises(ValueError, match=words):
        vaelab.load_run(tmp_path)
