"""Tables of your own: chosen columns, labels, standardisation, warnings, and errors that name the cure."""

import logging
import re

import numpy as np
import pandas
import pyarrow
import pytest
import torch
from pyarrow import parquet
from torch.testing import assert_close

from vaelab.data import Reading, Table, open_rows
from vaelab.data.readers.selection import Selection

N = 23
NUMBERS = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
KINDS = np.array(["rose", "lily", "oak"])[np.arange(N) % 3]
NAMES = ["width", "a, b (cm)", "größe"]


def frame(names=NAMES):
    return pandas.DataFrame(NUMBERS, columns=names).assign(kind=KINDS)


def written(path, table=None, **options):
    """Writes a data frame in the format of the name -> the path."""
    table = frame() if table is None else table
    if path.suffix == ".parquet":
        table.to_parquet(path)
    elif path.suffix == ".npz":
        kind = np.array(table["kind"], dtype=str)
        np.savez(path, x=table[NAMES].to_numpy(), names=np.array(NAMES), kind=kind, other=np.arange(N))
    else:
        table.to_csv(path, sep="\t" if path.suffix == ".tsv" else ",", **options)
    return path


def ready(path, **options):
    data = Table(str(path), **{"val_size": 5, "test_size": 4, **options})
    data.setup()
    return data


def in_order(data, of):
    """Values of all splits in the order of the file."""
    order = torch.cat([data.split_rows[split] for split in ("train", "val", "test")])
    return torch.cat([of(split) for split in ("train", "val", "test")])[order.argsort()]


def rows(data):
    return in_order(data, lambda split: data.examples(split)[0]).numpy()


def labels(data):
    codes = in_order(data, lambda split: data.labels(split)[1]).tolist()
    return codes if data.label_names is None else [data.label_names[code] for code in codes]


def refused(path, *words, **options):
    with pytest.raises(ValueError, match=".*".join(map(re.escape, words))) as caught:
        ready(path, **options)
    assert "\n" not in str(caught.value)


def warned(caplog):
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".npz"])
def test_a_pandas_table_is_read_with_its_label(tmp_path, suffix, caplog):
    data = ready(written(tmp_path / f"a b{suffix}"), label="kind")
    assert data.names == data.x_names == tuple(NAMES)
    assert_close(rows(data), NUMBERS, rtol=1e-6, atol=0)
    assert data.labels("val")[0] == "kind"
    assert labels(data) == KINDS.tolist()
    assert data.label_names == ("lily", "oak", "rose")
    assert not warned(caplog)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_columns_are_chosen_in_the_order_of_the_key(tmp_path, suffix):
    data = ready(written(tmp_path / f"a{suffix}"), label="kind", columns=["größe", "width"])
    assert data.names == ("größe", "width")
    assert_close(rows(data), NUMBERS[:, [2, 0]], rtol=1e-6, atol=0)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_dropped_columns_are_left_out_and_reported(tmp_path, suffix):
    data = ready(written(tmp_path / f"a{suffix}"), label="kind", drop="a, b (cm)")
    assert data.names == ("width", "größe")
    assert "left out 1 column (a, b (cm))" in data.read_report


def test_a_file_without_names_is_chosen_from_by_number(tmp_path):
    np.save(tmp_path / "a.npy", np.c_[NUMBERS, np.arange(N) % 2])
    data = ready(tmp_path / "a.npy", label=-1, drop=[1])
    assert data.names is None
    assert_close(rows(data), NUMBERS[:, [0, 2]], rtol=0, atol=0)
    assert labels(data) == (np.arange(N) % 2).tolist()
    written(tmp_path / "a.csv", frame(), header=False, index=False)
    assert labels(ready(tmp_path / "a.csv", header=False, label=3)) == KINDS.tolist()
    refused(tmp_path / "a.csv", "holds text in its column 3 ('rose')", "data.drop=3", header=False)


def test_arrays_of_an_npz_are_columns_side_by_side(tmp_path):
    np.savez(tmp_path / "a.npz", age=NUMBERS[:, 0], pair=NUMBERS[:, 1:], kind=KINDS, whole=np.arange(N) * 3)
    data = ready(tmp_path / "a.npz", label="kind", columns=["pair_1", "age", "whole"])
    assert_close(rows(data), np.c_[NUMBERS[:, [2, 0]], np.arange(N) * 3].astype(np.float32), rtol=0, atol=0)
    assert labels(data) == KINDS.tolist()
    np.savez(tmp_path / "a.npz", age=NUMBERS[:, 0], other=np.zeros(N + 1))
    refused(tmp_path / "a.npz", "the same number of rows", "age 23, other 24")


def test_lists_in_a_parquet_become_columns(tmp_path):
    table = {"pair": [list(map(float, each)) for each in NUMBERS[:, 1:]], "age": NUMBERS[:, 0], "kind": KINDS}
    parquet.write_table(pyarrow.table(table), tmp_path / "a.parquet")
    data = ready(tmp_path / "a.parquet", label="kind")
    assert data.names == ("pair_0", "pair_1", "age")
    data = Table(tmp_path / "a.parquet", label="kind", val_size=5, test_size=4)
    data.model_names = ("pair_0", "pair_1", "age")
    data.setup()
    assert_close(rows(data), NUMBERS[:, [1, 2, 0]], rtol=0, atol=0)


def test_a_parquet_label_may_be_a_category_or_the_index(tmp_path):
    table = frame().astype({"kind": "category"})
    assert labels(ready(written(tmp_path / "a.parquet", table), label="kind")) == KINDS.tolist()
    assert labels(ready(written(tmp_path / "a.parquet", table.set_index("kind")), label="kind")) == KINDS.tolist()


@pytest.mark.parametrize("order", [np.arange(N), np.random.default_rng(1).permutation(N)])
def test_an_unnamed_first_column_is_an_index(tmp_path, order):
    table = frame().iloc[order]
    assert ready(written(tmp_path / "a.csv", table), label="kind").names == tuple(NAMES)
    twice = pandas.read_csv(tmp_path / "a.csv")
    data = ready(written(tmp_path / "b.csv", twice), label="kind")
    assert data.names == tuple(NAMES)
    assert "left out its first 2 columns" in data.read_report


def test_a_decimal_comma_is_read_if_the_key_says_so(tmp_path):
    path = written(tmp_path / "a.csv")
    frame().to_csv(path, sep=";", decimal=",")
    data = ready(path, label="kind", decimal="comma")
    assert_close(rows(data), NUMBERS, rtol=1e-6, atol=0)
    refused(path, "a decimal point", "in width", "data.decimal=comma", label="kind")
    (tmp_path / "b.csv").write_text("a;b\n1,5;2\n1.234;2\n" + "3,5;4\n" * 9)
    refused(tmp_path / "b.csv", "-1234,5", "'1.234' in line 3, column 1 (a)", decimal="comma")


@pytest.mark.parametrize(
    ("given", "found", "names"),
    [
        ([3, 1, 3, 2], [3, 1, 3, 2], None),
        ([0.5, -1.0, 2.25, 7.0], [0.5, -1.0, 2.25, 7.0], None),
        ([2.0, None, 5.0, 2.0], ["2", "missing", "5", "2"], ("2", "5", "missing")),
        (["b", None, "a", "b"], ["b", "missing", "a", "b"], ("a", "b", "missing")),
        (["a"] * 4, ["a"] * 4, ("a",)),
        (["é", "a, b", ' "', "é"], ["é", "a, b", '"', "é"], ('"', "a, b", "é")),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_labels_of_every_kind(tmp_path, suffix, given, found, names):
    table = pandas.DataFrame({"x": NUMBERS[:4, 0], "kind": given})
    data = ready(written(tmp_path / f"a{suffix}", table), label="kind", val_size=1, test_size=1)
    assert data.label_names == names
    assert labels(data) == found


def test_a_class_may_be_called_missing(tmp_path):
    table = pandas.DataFrame({"x": NUMBERS[:3, 0], "kind": ["missing", None, "é"]})
    data = ready(written(tmp_path / "a.parquet", table), label="kind", val_size=1, test_size=1, standardize=False)
    assert labels(data) == ["missing", "(missing)", "é"]


def test_real_labels_may_be_missing(tmp_path):
    table = frame().assign(kind=np.where(np.arange(N) == 4, np.nan, NUMBERS[:, 0]))
    found = np.array(labels(ready(written(tmp_path / "a.csv", table), label="kind")))
    assert np.flatnonzero(np.isnan(found)).tolist() == [4]


def test_five_hundred_classes_keep_their_names(tmp_path):
    names = [f"class, {index}" for index in np.random.default_rng(2).permutation(500)]
    table = pandas.DataFrame({"x": np.linspace(0, 1, 500), "kind": names})
    data = ready(written(tmp_path / "a.csv", table), label="kind")
    assert (labels(data), data.label_names) == (names, tuple(sorted(names)))


def test_labels_follow_rows_that_are_dropped(tmp_path, caplog):
    table = frame()
    table.loc[[2, 7], "width"] = np.nan
    path = written(tmp_path / "a.csv", table)
    refused(path, "line 4, column 2 (width)", "data.missing=drop", label="kind")
    data = ready(path, label="kind", missing="drop")
    assert labels(data) == np.delete(KINDS, [2, 7]).tolist()
    assert ["left out 2 rows with a missing value" in message for message in warned(caplog)] == [True]


def test_only_what_is_read_must_be_numbers(tmp_path):
    table = frame().assign(width=lambda each: each["width"].astype(str).where(each.index != 9, "n/k"))
    path = written(tmp_path / "a.csv", table)
    refused(path, "'n/k' in line 11, column 2 (width)", label="kind")
    assert ready(path, label="kind", drop=["width"]).names == tuple(NAMES[1:])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["holds text in its column kind", "data.drop=kind", "data.label=kind"]),
        ({"columns": ["kind", "width"]}, ["holds text in its column kind", "remove it from data.columns"]),
        ({"label": "Kinds"}, ["data.label", "(width, a, b (cm), größe, kind)", "is Kinds", "did you mean kind?"]),
        ({"label": "kind", "drop": ["grosse"]}, ["data.drop", "is grosse", "did you mean größe?"]),
        ({"label": 3}, ["data.label", "is 3", "did you mean kind?"]),
        ({"columns": ["width", "width"]}, ["data.columns must name each column once", "width"]),
        ({"columns": ["width"], "label": "width"}, ["data.label", "not in data.columns", "is width"]),
        ({"drop": ["kind"], "label": "kind"}, ["data.label", "not in data.drop", "is kind"]),
        ({"drop": [*NAMES, "kind"]}, ["at least one column must be left", "drop fewer"]),
        ({"drop": [*range(1_001)]}, ["data.drop may name at most 1,000 columns, but names 1,001"]),
        ({"drop": {"a": 1}}, ["data.drop must be a list of columns"]),
        ({"label": "kind", "decimal": ","}, ["data.decimal must be one of point, comma"]),
        ({"drop": ["kind"], "condition": "label"}, ["data.label must name a column if condition=label", "is null"]),
        ({"drop": ["kind"], "label": "width", "condition": "label"}, ["classes, but width in", "holds real numbers"]),
        ({"label": "kind", "val_size": 18}, ["at least 2 rows", "data.standardize=false"]),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_an_error_names_the_cure(tmp_path, suffix, options, words):
    refused(written(tmp_path / f"a{suffix}"), *words, **options)


def test_every_text_column_is_named_with_keys_ready_to_type(tmp_path):
    table = frame().assign(**{'a "b"': KINDS, "when": "2026-01-31"})
    refused(written(tmp_path / "a.csv", table), 'kind, a "b", when', r"""'data.drop=["kind","a \"b\"","when"]'""")


@pytest.mark.parametrize("values", [KINDS, np.arange(N) % 3 * 7 - 1])
def test_the_label_may_be_the_condition(tmp_path, values):
    path = written(tmp_path / "a.csv", frame().assign(kind=values))
    data = ready(path, label="kind", condition="label")
    assert data.condition_names == tuple(map(str, sorted(set(values))))
    found = in_order(data, lambda split: data.conditions[split]).argmax(-1)
    assert [data.condition_names[index] for index in found] == [str(each) for each in values]
    trained = Table(path, label="kind", condition="label", val_size=5, test_size=4)
    trained.model_condition_names = data.condition_names[::-1]
    trained.setup()
    assert_close(trained.conditions["test"].flip(-1), data.conditions["test"])


def test_a_table_with_a_condition_needs_its_label(tmp_path):
    written(tmp_path / "a.csv", frame().drop(columns="kind"))
    data = Table(tmp_path / "a.csv", label="kind", condition="label", val_size=5, test_size=4)
    data.model_names = tuple(NAMES)
    with pytest.raises(ValueError, match=r"needs the label of each row, but .*a.csv has no column kind"):
        data.setup()


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = written(tmp_path / "a.csv", frame(["a", "a", "b"]))
    refused(path, "every column must have a different name", "several called a", label="kind")


def test_other_files_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((N, 2, 2)))
    refused(tmp_path / "a.npy", "a table must be an array of rows and columns", "(23, 2, 2)", "data=array")
    refused(tmp_path, "must name a table", "data=array")
    refused("", "data.path must name a file for data=table")
    np.savez(tmp_path / "a.npz", x=NUMBERS, kind=KINDS.astype(object))
    refused(tmp_path / "a.npz", "labels must be numbers or text", "kind.astype(str)", label="kind")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.csv does not exist; use the path of a table: .csv"):
        ready(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(("name", "key"), [("2019", 2019), ("true", True), ("nan", float("nan")), ("1.5", 1.5)])
def test_names_that_hydra_reads_as_something_else(tmp_path, name, key):
    path = written(tmp_path / "a.csv", frame(["width", name, "c"]))
    assert ready(path, label="kind", drop=key, header=True).names == ("width", "c")


def test_a_single_column_is_enough(tmp_path):
    data = ready(written(tmp_path / "a.csv", frame()[["width"]], index=False))
    assert (data.x_shape, data.names) == ((1,), ("width",))


def test_the_training_split_standardises(tmp_path):
    table = frame().assign(width=lambda each: 500 + 1e-3 * each["width"])
    data = ready(written(tmp_path / "a.csv", table), label="kind")
    assert data.standardize
    loc, scale = data.standardization("x")
    train = rows(data)[data.split_rows["train"].numpy()].astype(np.float64)
    assert_close(loc.numpy(), train.mean(0), check_dtype=False)
    assert_close(scale.numpy(), train.std(0), check_dtype=False)
    assert not ready(tmp_path / "a.csv", label="kind", standardize=False).standardize


def test_a_scale_may_be_tiny(tmp_path):
    table = pandas.DataFrame({"farad": 1e-9 + 1e-12 * NUMBERS[:, 0].astype(float), "constant": 1e-9})
    _, scale = ready(written(tmp_path / "a.csv", table, index=False)).standardization("x")
    assert 1e-13 < scale[0] < 1e-11
    assert scale[1] == 1


@pytest.mark.parametrize("support", ["binary", "category", "unit_interval"])
def test_other_supports_are_never_standardised(tmp_path, support, caplog):
    path = written(
        tmp_path / "a.csv", pandas.DataFrame({"p": np.arange(N) % 2, "q": np.arange(N) % 3 % 2}), index=False
    )
    assert ready(path, support=support).standardize is False
    assert not warned(caplog)
    refused(path, "data.standardize must be null or false", support, support=support, standardize=True)


def test_counts_are_whole_and_not_negative(tmp_path):
    counts = np.random.default_rng(0).poisson(300, (N, 2))
    table = pandas.DataFrame(counts, columns=["p", "q"])
    data = ready(written(tmp_path / "a.csv", table, index=False), support="count")
    assert rows(data).tolist() == counts.tolist()
    assert data.describe()["measure"] == "mass"
    for wrong in (-1, 0.5):
        table = table.astype(float)
        table.loc[6, "q"] = wrong
        written(tmp_path / "a.csv", table, index=False)
        refused(tmp_path / "a.csv", "whole numbers from 0 (count data)", "line 8, column 2 (q)", support="count")


def test_one_warning_names_every_column_and_its_cure(tmp_path, caplog):
    table = frame().assign(ID=7 + np.arange(N)[::-1], same=4.0, row=np.arange(1_000, 1_000 + N), sex=np.arange(N) % 2)
    table = table.assign(mass=70_000 + 900 * table["width"])
    path = written(tmp_path / "a.csv", table)
    ready(path, label="kind", standardize=False)
    (message,) = warned(caplog)
    for words in (
        "same is constant (data.drop=same leaves it out)",
        "ID, row look like indices (data.drop=[ID,row] leaves them out)",
        "sex holds few different whole numbers, so its density has no upper limit (data.drop=sex",
        "data.label=sex",
        "mass is far out of scale (data.standardize=true",
    ):
        assert words in message
    caplog.clear()
    ready(path, label="kind", drop=["ID", "row", "sex", "same"])
    assert not warned(caplog)


def test_numbers_that_float32_rounds_are_named(tmp_path, caplog):
    noise = np.random.default_rng(0).normal(size=(80, 2))
    clock, price = (1.7e9 + 900 * noise).T
    table = pandas.DataFrame({"clock": clock, "far": 1e9 + noise[:, 0], "price": 1e6 + price - 1.7e9})
    data = ready(written(tmp_path / "a.csv", table.assign(unit=5.0), index=False))
    (message,) = warned(caplog)
    assert "unit is constant" in message
    assert "clock, far vary too little for their size: float32 keeps 7 digits" in message
    assert "[clock,far]" in message
    assert data.mean()[1] == 1e9  # a sum of float32 is off by more than 100


def test_measurements_that_are_whole_are_no_categories(tmp_path, caplog):
    pulse = np.random.default_rng(0).integers(50, 90, 100)
    ready(written(tmp_path / "a.csv", pandas.DataFrame({"pulse": pulse, "x": pulse / 7}), index=False))
    assert not warned(caplog)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_chunks_keep_labels_beside_their_rows(tmp_path, suffix):
    reading = Reading(selection=Selection(label="kind"))
    pieces = list(open_rows(written(tmp_path / f"a{suffix}"), rows=7, reading=reading).pieces)
    assert [len(numbers) for numbers, _ in pieces] == [len(label) for _, label in pieces] == [7, 7, 7, 2]
    assert np.concatenate([label for _, label in pieces]).tolist() == KINDS.tolist()
