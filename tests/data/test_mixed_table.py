"""Tables with columns of several kinds: how a kind is found, what text becomes, and what is refused."""

import re

import numpy as np
import pandas
import pytest
import torch
from torch.testing import assert_close

from vaelab.data import Table, open_rows

N = 47
RANDOM = np.random.default_rng(0)
FRAME = pandas.DataFrame(
    {
        "größe, cm": RANDOM.normal(170, 9, N).round(2),
        "kids": np.arange(N) % 11 % 5,
        "class": np.arange(N) % 3 + 1,
        "smokes": np.arange(N) % 2 == 1,
        "city": np.array(["Zürich", "New York, NY", 'Say "hi"'])[np.arange(N) % 7 % 3],
        "year": 1950 + np.arange(N) * 7 % N,
        "twins": np.arange(N) % 5 // 4,
    }
)
KINDS = ("real", "count", "category", "binary", "category", "real", "binary")
CITIES = ("New York, NY", 'Say "hi"', "Zürich")


def written(path, frame=FRAME):
    if path.suffix == ".npz":
        arrays = {name: frame[name].to_numpy() for name in frame}
        np.savez(path, **{name: each.astype(str) if each.dtype == object else each for name, each in arrays.items()})
    elif path.suffix == ".parquet":
        frame.assign(city=frame["city"].astype("category")).to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return path


def table(path, **options):
    return Table(path, **{"val_size": 5, "test_size": 4, "support": "mixed", **options})


def ready(path, **options):
    data = table(path, **options)
    data.setup()
    return data


def rows(data):
    """x of all splits in the order of the file."""
    order = torch.cat([data.split_rows[split] for split in ("train", "val", "test")])
    return torch.cat([data.train, data.val, data.test])[order.argsort()]


def refused(path, *words, **options):
    with pytest.raises(ValueError, match=".*".join(map(re.escape, words))) as caught:
        ready(path, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_every_kind_of_file_gives_the_same_kinds_and_codes(tmp_path, suffix):
    data = ready(written(tmp_path / f"a{suffix}"))
    assert data.column_kinds == KINDS
    assert data.column_categories == ((), (), ("1", "2", "3"), (), CITIES, (), ())
    assert data.names == tuple(FRAME)
    city = np.searchsorted(CITIES, FRAME["city"].to_numpy(dtype=str))
    expected = FRAME.assign(city=city, smokes=FRAME["smokes"].astype(int), **{"class": FRAME["class"] - 1})
    assert_close(rows(data), torch.tensor(expected.to_numpy(dtype=float)).float())
    assert data.describe()["measure"] == "mixed"
    assert "count kids" in data.columns_report
    assert "data.kinds" in data.columns_report


def test_the_user_decides_on_kinds(tmp_path):
    path = written(tmp_path / "a.csv")
    given = {"kids": "category", "class": "count", "twins": "category", "year": "count"}
    data = ready(path, kinds=given, drop=["größe, cm"])
    assert data.column_kinds == ("category", "count", "binary", "category", "count", "category")
    assert data.column_categories[0] == ("0", "1", "2", "3", "4")
    assert data.describe()["measure"] == "mass"
    assert ready(path, kinds=[f"{name}:{kind}" for name, kind in given.items()]).column_kinds[1] == "category"
    assert ready(path, columns=["größe, cm", "year"]).describe()["measure"] == "density"


def test_a_trained_model_keeps_its_kinds_and_codes(tmp_path):
    data = ready(written(tmp_path / "a.csv"))
    facts = {"column_kinds": data.column_kinds, "column_categories": data.column_categories}
    few = FRAME[FRAME["city"] == "Zürich"][[*reversed([*FRAME])]].assign(more="x")
    few = few.assign(**{"class": few["class"].astype(float), "kids": 7})  # a count that was not seen before
    written(tmp_path / "few.csv", few)
    trained = table(tmp_path / "few.csv")
    trained.model_names, trained.model_columns = data.names, facts
    trained.setup()
    assert trained.column_kinds == KINDS
    assert rows(trained)[:, 4].unique().tolist() == [2]
    assert rows(trained)[:, 2].tolist() == (few["class"] - 1).tolist()
    written(tmp_path / "other.csv", few.assign(city=np.where(np.arange(len(few)) == 3, "Oz", "Zürich")))
    other = table(tmp_path / "other.csv")
    other.model_names, other.model_columns = data.names, facts
    with pytest.raises(
        ValueError, match=r"city must be .*\(New York, NY, .*, Zürich\), but .* 'Oz' in line 5, column 3"
    ):
        open_rows(other.path, reading=other.reading_for((7,)))


def test_only_real_columns_of_the_target_are_standardised(tmp_path):
    data = ready(written(tmp_path / "a.csv"))
    std, mean = torch.std_mean(data.train.double(), 0, correction=0)
    for which, kinds in (("target", {"real"}), ("x", {"real", "count"})):
        loc, scale = data.standardization(which)
        kept = torch.tensor([kind in kinds for kind in KINDS])
        assert_close(loc, mean.float().where(kept, 0))
        assert_close(scale, std.float().where(kept, 1))


@pytest.mark.parametrize(
    ("column", "options", "words"),
    [
        ({"city": "Oz"}, {}, ["at least 2", "city", "only Oz", "data.drop=city"]),
        ({"city": [f"town {i}" for i in range(N)]}, {"kinds": {"city": "count"}}, ["must be category", "city"]),
        ({}, {"kinds": {"size": "real"}}, ["data.kinds must name columns", "but names size"]),
        ({}, {"kinds": {"kids": "whole"}}, ["data.kinds for kids must be one of real, count, category, binary"]),
        ({}, {"kinds": ["kids"]}, ["data.kinds must name the kind of each", "'kids'"]),
        ({}, {"kinds": {"größe, cm": "count"}}, ["is a count", "whole numbers from 0", "größe, cm:real"]),
        ({}, {"kinds": {"kids": "binary"}}, ["is a binary", "only 0 and 1", "holds 2 in row 3 below the names"]),
        ({}, {"kinds": {"kids": "real"}, "support": "real", "drop": ["city"]}, ["data.kinds must be null", "kids"]),
        ({"kids": [None, *range(N - 1)]}, {}, ["holds none in line 2, column 2 (kids)", "data.missing=drop"]),
        ({"city": [*["a"] * 9, "", *["b"] * (N - 10)]}, {}, ["holds none in line 11, column 5 (city)"]),
        ({"kids": [*range(N - 1), "n/k"]}, {}, ["'n/k' in line 48, column 2 (kids)", "'data.kinds={kids:category}'"]),
        ({}, {"support": "real"}, ["holds text in its column city", "data.drop=city", "use model=columns"]),
    ],
)  # fmt: skip
def test_an_error_names_the_cure(tmp_path, column, options, words):
    refused(written(tmp_path / "a.csv", FRAME.assign(**column)), *words, **options)


def test_columns_need_names(tmp_path):
    np.save(tmp_path / "a.npy", FRAME[["kids", "year"]].to_numpy())
    refused(tmp_path / "a.npy", "must have names for model=columns", "its first line")


def test_text_in_almost_every_row_is_named(tmp_path, caplog):
    ready(written(tmp_path / "a.csv", FRAME.assign(who=[f"person {i}" for i in range(N)])))
    assert "who holds another text in almost every row" in caplog.text
    assert "data.drop=who" in caplog.text


def test_words_for_flags_and_separators_of_thousands(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("on;off;n\n" + "True;false;1\nFALSE;true;0\n" * 9)
    data = ready(path, support="binary")
    assert rows(data)[:2].tolist() == [[1, 0, 1], [0, 1, 0]]
    path.write_text('p,q\n1,"1,234.5"\n2,"12,345,678"\n')
    refused(path, "no separators of thousands", "holds 1,234.5 in q", "remove these commas", support="real")
    path.write_text("a|b\n1|2\n3|4\n5|6\n")
    data = ready(path, support="real", val_size=1, test_size=1, standardize=False)
    assert (data.names, rows(data).tolist()) == (("a", "b"), [[1, 2], [3, 4], [5, 6]])


# Columns as a condition


def test_columns_may_be_the_condition(tmp_path):
    renamed = FRAME.rename(columns={"größe, cm": "größe"})
    given = ["city", "größe", "smokes", "kids"]
    data = ready(written(tmp_path / "a.csv", renamed), condition=given)
    assert data.names == ("class", "year", "twins")
    assert data.x_shape == (3,)
    assert data.condition_names == (*(f"city={city}" for city in CITIES), "größe", "smokes=0", "smokes=1", "kids")
    order = torch.cat([data.split_rows[split] for split in ("train", "val", "test")]).argsort()
    found = torch.cat([data.conditions[split] for split in ("train", "val", "test")])[order].numpy()
    assert found[:, :3].argmax(1).tolist() == np.searchsorted(CITIES, FRAME["city"].to_numpy(dtype=str)).tolist()
    np.testing.assert_allclose(found[:, 3], FRAME["größe, cm"], rtol=1e-6)
    assert found[:, 5].tolist() == FRAME["smokes"].astype(float).tolist()
    loc, scale = data.standardization("condition")
    train = data.conditions["train"].double()
    assert_close(loc, train.mean(0).float() * torch.tensor([0, 0, 0, 1, 0, 0, 1]))
    assert scale[[0, 1, 2, 4, 5]].tolist() == [1] * 5
    assert_close(scale[3], train[:, 3].std(correction=0).float())
    assert data.describe()["condition"] == "city, größe, smokes, kids"
    again = table(tmp_path / "a.csv", condition=given, support="real", drop=["class", "twins"])
    again.model_names, again.model_condition_names = ("year",), data.condition_names
    again.setup()
    assert_close(again.conditions["test"], data.conditions["test"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"condition": ["größe, cm"]}, ["names have no = and no comma", "größe, cm"]),
        ({"condition": ["kids", "kids"]}, ["name each column once"]),
        ({"condition": []}, ["at least one column"]),
        ({"condition": ["kid"]}, ["condition must name a column", "did you mean kids?"]),
        ({"condition": ["kids"], "columns": ["kids", "year"]}, ["not in data.columns", "remove it from data.columns"]),
        ({"condition": ["kids"], "drop": ["kids"]}, ["not in data.drop", "remove it from data.drop"]),
        ({"condition": ["kids"], "label": "kids"}, ["data.label must be a column that is not in condition"]),
        ({"condition": "kids"}, ["condition must be null, label or a list of columns", "condition=[kids]"]),
    ],
)
def test_a_condition_that_cannot_be_is_refused(tmp_path, options, words):
    refused(written(tmp_path / "a.csv"), *words, **options)
