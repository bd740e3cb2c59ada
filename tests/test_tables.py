"""Tables can be read back, a failure keeps the old file, and writing needs little memory."""

import doctest
import os
import re
import signal
import tracemalloc

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

import vaelab.tables
from vaelab.data import read_chunks
from vaelab.tables import check_table_path, write_table

SUFFIX = pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
SIZES = (7, 1, 0, 5)


def chunks():
    """Chunks of unequal size: 13 rows of means (3), images (2, 2), a number and a flag."""
    generator = np.random.default_rng(0)
    for size in SIZES:
        yield {
            "mean": generator.normal(size=(size, 3)).astype(np.float32),
            "image": generator.integers(0, 256, (size, 2, 2), dtype=np.uint8),
            "kl": generator.normal(size=size),
            "kept": generator.integers(0, 2, size).astype(bool),
        }


def expected():
    parts = list(chunks())
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def read_columns(path):
    table = pyarrow.csv.read_csv(path) if path.suffix == ".csv" else pyarrow.parquet.read_table(path)
    return {name: table[name].to_numpy() for name in table.column_names}


@pytest.mark.parametrize("at_once", [1, 1 << 24])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_are_written_flat(tmp_path, suffix, at_once, monkeypatch):
    monkeypatch.setattr(vaelab.tables, "AT_ONCE", at_once)
    path = tmp_path / f"a{suffix}"
    assert write_table(path, chunks()) == 13
    columns = read_columns(path)
    names = ["mean_0", "mean_1", "mean_2", "image_0", "image_1", "image_2", "image_3", "kl", "kept"]
    assert list(columns) == names
    flat = np.concatenate([array.reshape(13, -1).astype(np.float32) for array in expected().values()], axis=1)
    np.testing.assert_array_equal(np.stack([columns[name].astype(np.float32) for name in names], axis=1), flat)


def test_arrays_are_written_whole(tmp_path):
    assert write_table(tmp_path / "a.npz", chunks()) == 13
    with np.load(tmp_path / "a.npz") as archive:
        assert list(archive) == ["mean", "image", "kl", "kept"]
        for name, array in expected().items():
            assert archive[name].dtype == array.dtype
            np.testing.assert_array_equal(archive[name], array)


@SUFFIX
def test_what_is_written_is_read_as_data(tmp_path, suffix):
    x = expected()["mean"]
    write_table(tmp_path / f"a{suffix}", [{"x": x[:4]}, {"x": x[4:]}])
    np.testing.assert_array_equal(np.concatenate([chunk.numpy() for chunk in read_chunks(tmp_path / f"a{suffix}")]), x)


@SUFFIX
def test_the_same_results_give_the_same_bytes(tmp_path, suffix):
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    write_table(first, chunks())
    write_table(second, chunks())
    assert first.read_bytes() == second.read_bytes()


def test_a_table_is_as_readable_as_any_other_file(tmp_path):
    (tmp_path / "plain").touch()
    write_table(tmp_path / "a.npz", chunks())
    assert (tmp_path / "a.npz").stat().st_mode == (tmp_path / "plain").stat().st_mode


@SUFFIX
@pytest.mark.parametrize("before", [None, b"an older result"])
@pytest.mark.parametrize("fault", ["raises", "renamed", "retyped", "reshaped", "unequal", "interrupted"])
def test_a_failure_half_way_leaves_what_was_there(tmp_path, suffix, before, fault):
    path = tmp_path / f"a{suffix}"
    if before is not None:
        path.write_bytes(before)
    first = {"a": np.zeros((4, 2)), "b": np.zeros(4)}

    def failing():
        yield first
        if fault == "raises":
            raise ValueError("the model fell over")
        if fault == "interrupted":
            raise KeyboardInterrupt
        yield {
            "renamed": {"a": np.zeros((4, 2)), "c": np.zeros(4)},
            "retyped": {"a": np.zeros((4, 2)), "b": np.zeros(4, np.float32)},
            "reshaped": {"a": np.zeros((4, 3)), "b": np.zeros(4)},
            "unequal": {"a": np.zeros((4, 2)), "b": np.zeros(3)},
        }[fault]

    with pytest.raises(KeyboardInterrupt if fault == "interrupted" else ValueError):
        write_table(path, failing())
    assert [file.name for file in tmp_path.iterdir()] == ([] if before is None else [path.name])
    assert before is None or path.read_bytes() == before


@SUFFIX
@pytest.mark.parametrize("nothing", [[], [{"a": np.zeros((0, 2))}]])
def test_a_table_without_rows_is_refused(tmp_path, suffix, nothing):
    with pytest.raises(ValueError, match=r"\A.*was not written, because there are no rows.*\Z"):
        write_table(tmp_path / f"a{suffix}", nothing)
    assert not list(tmp_path.iterdir())


def test_columns_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="but two would be called a_0"):
        write_table(tmp_path / "a.csv", [{"a": np.zeros((4, 2)), "a_0": np.zeros(4)}])


@pytest.mark.parametrize("chunk", [{}, {"a": np.array(1.0)}])
def test_a_chunk_that_is_no_rows_is_refused(tmp_path, chunk):
    with pytest.raises(ValueError, match="a chunk must have rows"):
        write_table(tmp_path / "a.npz", [chunk])


@SUFFIX
def test_a_table_that_exists_is_replaced(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"an older result")
    write_table(path, chunks())
    assert sum(len(chunk) for chunk in read_chunks(path)) == 13 if suffix != ".npz" else np.load(path)["kl"].size == 13


@pytest.mark.parametrize("name", ["a.txt", "a", "a.npy", "a.csv.gz", ".npz"])
def test_an_unknown_extension_is_refused_before_any_work(tmp_path, name):
    def never():
        raise AssertionError
        yield

    with pytest.raises(ValueError, match=rf"\A.*{re.escape(name)} .*\.npz, \.csv, \.parquet\Z"):
        write_table(tmp_path / name, never())


def test_further_extensions_can_be_allowed(tmp_path):
    assert check_table_path(tmp_path / "a.PNG", ".png") == tmp_path / "a.PNG"
    with pytest.raises(ValueError, match=r"\.npz, \.csv, \.parquet, \.png\Z"):
        check_table_path(tmp_path / "a.jpg", ".png")


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"\A.*the folder .*nowhere does not exist; make it first\Z"):
        check_table_path(tmp_path / "nowhere" / "a.npz")


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path):
    (tmp_path / "a.npz").mkdir()
    with pytest.raises(IsADirectoryError, match=r"\A.*it is a folder; use the name of a file\Z"):
        check_table_path(tmp_path / "a.npz")


@SUFFIX
def test_a_long_table_takes_little_memory(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(vaelab.tables, "AT_ONCE", 1 << 20)
    many = ({"x": np.ones((1_000, 16), np.float32)} for _ in range(160))  # 10 MB
    tracemalloc.start()
    try:
        assert write_table(tmp_path / f"a{suffix}", many) == 160_000
        assert tracemalloc.get_traced_memory()[1] < 5 << 20
    finally:
        tracemalloc.stop()


def killed_while_writing(path):
    """Kills a process half way through writing a table, and returns the file that it leaves."""
    process = os.fork()
    if not process:

        def deadly():
            yield {"a": np.zeros((4, 2))}
            os.kill(os.getpid(), signal.SIGKILL)

        write_table(path, deadly())
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
    (left,) = path.parent.glob(".*.part")
    return left


@SUFFIX
def test_the_next_table_removes_what_a_killed_process_left(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"an older result")
    left = killed_while_writing(path)
    assert path.read_bytes() == b"an older result"
    assert left.name.startswith(".")
    write_table(tmp_path / "b.csv", [{"a": np.zeros(3)}])
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"a{suffix}", "b.csv"]


def test_what_another_process_is_writing_stays(tmp_path):
    """Other entries stay too, such as a link and its target."""
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".x.part").symlink_to(tmp_path / "mine")

    def slow():
        yield {"a": np.zeros(3)}
        process = os.fork()
        if not process:
            write_table(tmp_path / "b.csv", [{"a": np.zeros(2)}])
            os._exit(0)
        assert os.waitpid(process, 0)[1] == 0
        yield {"a": np.zeros(4)}

    assert write_table(tmp_path / "a.npz", slow()) == 7
    assert (tmp_path / "mine").read_text() == "mine"
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == [".x.part", "a.npz", "b.csv", "mine"]


def test_the_examples_in_docstrings_run():
    found = doctest.testmod(vaelab.tables)
    assert (found.failed, found.attempted > 0) == (0, True)


def test_a_long_name_leaves_room_for_an_unfinished_one(tmp_path):
    path = tmp_path / ("x" * 251 + ".npz")
    assert write_table(path, [{"a": np.zeros(3)}]) == 3
