"""Rows from files: exact, in order and in bounded chunks; one sentence if there are no rows of numbers."""

import gzip
import io
import math
import os
import re
import struct
import tracemalloc
import zipfile

import numpy as np
import pyarrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet
from torch.testing import assert_close

from helpers.idx_files import random_images, write_bytes, write_idx_images
from vaelab.checkpoint import read_checkpoint
from vaelab.data import Reading, open_rows, read_chunks
from vaelab.data.readers import source

NUMBERS = np.random.default_rng(0).normal(size=(23, 5)).astype(np.float32)
MIB = 1 << 20


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of 7 rows of 5 float32, so that 23 rows make four."""
    monkeypatch.setattr(source, "CHUNK_BYTES", 7 * 5 * 4)


def one_line_with(*words: object) -> str:
    return r"\A.*" + ".*".join(re.escape(str(word)) for word in words) + r".*\Z"


def whole(path, rows=None):
    return torch.cat(list(read_chunks(path, rows)))


def save(path, array=NUMBERS, **arrays):
    """Writes one array of two dimensions in the format of the name; -> the path."""
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, **(arrays or {"rows": array}))
    elif path.suffix == ".csv":
        np.savetxt(path, array, delimiter=",", fmt="%d" if array.dtype.kind in "iu" else "%.9g")
    else:
        parquet.write_table(pyarrow.table({f"c{i}": column for i, column in enumerate(array.T)}), path)
    return path


TABLES = pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".parquet"])
ARRAYS = pytest.mark.parametrize("suffix", [".npy", ".npz"])


def refusal(path, *words):
    return pytest.raises(ValueError, match=one_line_with(path, *words))


@TABLES
def test_numbers_are_read_back_exactly(tmp_path, suffix):
    read = whole(save(tmp_path / f"a{suffix}"))
    assert read.dtype == torch.float32
    assert_close(read, torch.from_numpy(NUMBERS), rtol=0, atol=0)


@TABLES
@pytest.mark.parametrize(("rows", "sizes"), [(5, [5, 5, 5, 5, 3]), (100, [23]), (23, [23]), (1, [1] * 23)])
def test_chunks_have_at_most_the_rows_asked_for(tmp_path, suffix, rows, sizes):
    chunks = list(read_chunks(save(tmp_path / f"a{suffix}"), rows))
    assert [len(chunk) for chunk in chunks] == sizes
    assert_close(torch.cat(chunks), torch.from_numpy(NUMBERS), rtol=0, atol=0)


@ARRAYS
def test_chunks_are_bounded_in_bytes(tmp_path, suffix, small_chunks):
    chunks = list(read_chunks(save(tmp_path / f"a{suffix}")))
    assert [len(chunk) for chunk in chunks] == [7, 7, 7, 2]
    assert_close(torch.cat(chunks), torch.from_numpy(NUMBERS), rtol=0, atol=0)


@TABLES
def test_integers_stay_integers(tmp_path, suffix):
    grey = np.random.default_rng(1).integers(0, 256, (11, 6))
    read = whole(save(tmp_path / f"a{suffix}", grey))
    assert read.dtype == torch.int64
    assert_close(read, torch.from_numpy(grey), rtol=0, atol=0)


@ARRAYS
@pytest.mark.parametrize(
    ("dtype", "read_as"),
    [
        ("u1", torch.uint8),
        ("i2", torch.int16),
        (">i4", torch.int32),
        ("u2", torch.int64),
        (">u4", torch.int64),
        ("u8", torch.int64),
        ("?", torch.bool),
        ("f2", torch.float32),
        (">f4", torch.float32),
        ("f8", torch.float32),
        ("g", torch.float32),
    ],
)
def test_every_numeric_type_is_read(tmp_path, suffix, dtype, read_as):
    array = np.arange(14).reshape(7, 2).astype(dtype)
    read = whole(save(tmp_path / f"a{suffix}", array))
    assert read.dtype == read_as
    assert read.tolist() == array.tolist()


@pytest.mark.parametrize(("number", "dtype"), [(2**53, "u8"), (2**63, "u8"), (2**53, "i8"), (-(2**53), "i8")])
def test_whole_numbers_that_are_not_exact_are_refused(tmp_path, number, dtype):
    largest = np.array([[3, 2**53 - 1], [2, 1]], dtype)
    assert whole(save(tmp_path / "a.npy", largest)).tolist() == largest.tolist()
    largest[1, 0] = number
    with refusal(save(tmp_path / "a.npy", largest), f"holds {number} in row 1, number 0 (counting from 0)"):
        list(read_chunks(tmp_path / "a.npy"))


@pytest.mark.parametrize(
    ("number", "kind", "beside"),
    [(2**53 + 1, "i8", [1.5, 2, 3]), (-(2**53) - 1, "i8", [1.5, 2, 3]), (2**64 - 1, "u8", np.array([-1, 2, 3]))],
)
def test_whole_numbers_that_are_not_exact_are_refused_beside_others(tmp_path, number, kind, beside):
    table = pyarrow.table({"b": beside, "id": np.array([3, 2**53 - 1, number], kind)})
    parquet.write_table(table.slice(0, 2), tmp_path / "a.parquet")
    assert whole(tmp_path / "a.parquet").dtype == torch.float32
    parquet.write_table(table, tmp_path / "a.parquet")
    with refusal(tmp_path / "a.parquet", f"holds {number} in row 2 (counting from 0), column id;"):
        list(read_chunks(tmp_path / "a.parquet", 1))


def test_a_float_beyond_float32_is_refused(tmp_path):
    with refusal(save(tmp_path / "a.npy", np.array([[1.0, 2.0], [3.0, -1e39]])), "holds -1e+39 in row 1, number 1"):
        list(read_chunks(tmp_path / "a.npy"))


@ARRAYS
@pytest.mark.parametrize("rows", [None, 4])
def test_arrays_by_columns_are_read_by_rows(tmp_path, suffix, rows, small_chunks):
    array = np.asfortranarray(np.arange(11 * 3 * 5, dtype=np.float64).reshape(11, 3, 5))
    assert_close(whole(save(tmp_path / f"a{suffix}", array), rows), torch.from_numpy(array.astype(np.float32)))


@ARRAYS
def test_rows_keep_their_shape_and_single_numbers_are_rows_of_one(tmp_path, suffix):
    assert whole(save(tmp_path / f"images{suffix}", np.zeros((4, 3, 2)))).shape == (4, 3, 2)
    assert whole(save(tmp_path / f"line{suffix}", np.arange(5.0))).tolist() == [[0], [1], [2], [3], [4]]


def test_of_several_arrays_x_is_read(tmp_path):
    path = save(tmp_path / "a.npz", y=np.zeros(3), x=NUMBERS)
    assert_close(whole(path), torch.from_numpy(NUMBERS), rtol=0, atol=0)


def test_a_compressed_npz_is_read(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", NUMBERS)
    assert_close(whole(tmp_path / "a.npz"), torch.from_numpy(NUMBERS), rtol=0, atol=0)


@pytest.mark.parametrize("kind", [pyarrow.list_(pyarrow.float32()), pyarrow.list_(pyarrow.float32(), 5)])
def test_a_parquet_of_lists_is_read(tmp_path, kind):
    parquet.write_table(pyarrow.table({"x": pyarrow.array(NUMBERS.tolist(), kind)}), tmp_path / "a.parquet")
    assert_close(whole(tmp_path / "a.parquet", 4), torch.from_numpy(NUMBERS), rtol=0, atol=0)


def test_a_parquet_of_lists_and_numbers_puts_them_side_by_side(tmp_path):
    lists = pyarrow.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], pyarrow.list_(pyarrow.list_(pyarrow.int8(), 2), 2))
    table = pyarrow.table({"a": lists, "b": [9, 10], "__index_level_0__": [77, 78]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert whole(tmp_path / "a.parquet").tolist() == [[1, 2, 3, 4, 9], [5, 6, 7, 8, 10]]


@pytest.mark.parametrize("notes", ['{"index_columns": ["id", {"kind": "range"}]}', '{"index_columns": "a"}', "[", "3"])
def test_the_index_of_a_pandas_table_is_no_data(tmp_path, notes, caplog):
    table = pyarrow.table({"a": [1.5, 2.5], "id": [7, 8]}).replace_schema_metadata({"pandas": notes})
    parquet.write_table(table, tmp_path / "a.parquet")
    found = open_rows(tmp_path / "a.parquet")
    marked = "range" in notes
    assert found.names == (("a",) if marked else ("a", "id"))
    assert torch.cat(list(found.chunks)).tolist() == ([[1.5], [2.5]] if marked else [[1.5, 7], [2.5, 8]])
    assert [record.levelname for record in caplog.records] == ["WARNING"] * marked
    assert ("left out 1 column that pandas marks as an index (id)" in found.report) == marked


def test_a_missing_cell_of_a_parquet_is_named_or_its_row_dropped(tmp_path):
    columns = {"a": [1, 2, None, 4], "b": [True, None, True, False], "c": [[1.5, 2], [3, 4], [5, 6], [None, math.nan]]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    with refusal(tmp_path / "a.parquet", "holds none in row 1 (counting from 0), column b; fill it in"):
        read_chunks(tmp_path / "a.parquet")
    for rows in (None, 1, 3):
        found = open_rows(tmp_path / "a.parquet", rows, Reading(missing="drop"))
        assert found.names == ("a", "b", "c_0", "c_1")
        assert torch.cat(list(found.chunks)).tolist() == [[1, 1, 1.5, 2]]
        assert "left out 3 rows with a missing value (row 1 (counting from 0), row 2" in found.report
    parquet.write_table(pyarrow.table({"a": [1, None, 3]}), tmp_path / "b.parquet")
    assert next(read_chunks(tmp_path / "b.parquet", reading=Reading(missing="drop"))).tolist() == [[1], [3]]


@ARRAYS
def test_rows_with_nan_are_dropped_from_arrays(tmp_path, suffix):
    array = NUMBERS.copy()
    array[[0, 7, 22], [4, 0, 3]] = math.nan
    found = open_rows(save(tmp_path / f"a{suffix}", array), 5, Reading(missing="drop"))
    assert_close(torch.cat(list(found.chunks)), torch.from_numpy(np.delete(NUMBERS, [0, 7, 22], 0)), rtol=0, atol=0)
    assert [found.where(row, 2) for row in (0, 5, 6, 19)] == [
        f"row {row}, number 2 (counting from 0)" for row in (1, 6, 8, 21)
    ]


@pytest.mark.parametrize(
    ("names", "held"),
    [
        (np.array(list("abcde"), object), "object in shape (5,)"),  # as the columns of a pandas table are saved
        (np.arange(5), "int64 in shape (5,)"),
        (np.array([list("abcde")]), "<U1 in shape (1, 5)"),
    ],
)
def test_names_in_an_npz_are_never_lost(tmp_path, names, held):
    with pytest.raises(ValueError, match=re.escape(f"must be a list of words, but holds {held}; save it as np.array(")):
        open_rows(save(tmp_path / "a.npz", x=NUMBERS, names=names))
    with pytest.raises(ValueError, match="must be in UTF-8"):
        open_rows(save(tmp_path / "a.npz", x=NUMBERS, names=np.array([b"\xff", *b"bcde".split()])))


def test_an_npz_may_name_its_columns(tmp_path):
    path = save(tmp_path / "a.npz", x=NUMBERS, names=[" a", "b", "c", "d", "e"])
    assert open_rows(path).names == ("a", "b", "c", "d", "e")
    written = np.char.encode(["a", "b", "ß", "d", "e"], "utf-8")
    assert open_rows(save(path, x=NUMBERS, names=written)).names == ("a", "b", "ß", "d", "e")
    for names, words in (
        (["a", "b"], "has 2 names for rows of shape (5,)"),
        (["a", "b", "c", "d", "a"], "several called a"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            open_rows(save(tmp_path / "a.npz", x=NUMBERS, names=names))


@pytest.mark.parametrize("shape", [(10**15,), (3, 5)])
def test_names_that_declare_too_much_allocate_nothing(tmp_path, shape):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", npy_header((23, 5)) + NUMBERS.tobytes())
        archive.writestr("names.npy", npy_header(shape, "<U9"))
    tracemalloc.start()
    try:
        said = "of <U9; remove it" if len(shape) == 1 else "must be a list of words"
        with pytest.raises(ValueError, match=said):
            open_rows(tmp_path / "a.npz")
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["t10k-images-idx3-ubyte", "images.gz", "images", "set.idx3-ubyte", "set.idx"])
def test_idx_images_are_read(tmp_path, name):
    images = random_images(13, 5, 7)
    assert_close(whole(write_idx_images(tmp_path / name, images), 4), images, rtol=0, atol=0)


def test_a_folder_of_images_is_read_in_the_order_of_names(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "CHUNK_BYTES", 2 * 35)
    images = random_images(5, 5, 7)
    for name, image in zip(["c.png", "a.bmp", "e.PNG", "b.png", "d.png"], images, strict=True):
        Image.fromarray(image.numpy()).save(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "._a.png").touch()
    chunks = list(read_chunks(tmp_path))
    assert [len(chunk) for chunk in chunks] == [2, 2, 1]
    assert_close(torch.cat(chunks), images[[1, 3, 0, 4, 2]], rtol=0, atol=0)


def test_colours_become_grey(tmp_path):
    Image.fromarray(np.full((4, 3, 3), 200, np.uint8)).save(tmp_path / "a.png")
    assert whole(tmp_path).tolist() == [[[200] * 3] * 4]


@TABLES
def test_a_long_file_takes_little_memory(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(source, "CHUNK_BYTES", MIB // 4)
    path = save(tmp_path / f"a{suffix}", np.ones((60_000, 32), np.float32))  # 7.7 MB
    tracemalloc.start()
    try:
        assert sum(len(chunk) for chunk in read_chunks(path)) == 60_000
        assert tracemalloc.get_traced_memory()[1] < 5 * MIB  # a chunk is read a MiB at a time
    finally:
        tracemalloc.stop()


def npy_header(shape, descr="<f4"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


def write_npy_like(path, content):
    """`content` as a .npy file, or as the only member of a .npz."""
    if path.suffix == ".npy":
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("rows.npy", content)
    return path


@ARRAYS
@pytest.mark.parametrize("shape", [(24, 5), (10**15, 5), (1, 10**15), (10**9, 10**9, 10**9)])
def test_a_header_that_declares_too_much_allocates_nothing(tmp_path, suffix, shape):
    path = write_npy_like(tmp_path / f"a{suffix}", npy_header(shape) + NUMBERS.tobytes())
    tracemalloc.start()
    try:
        packed = suffix == ".npz" and math.prod(shape) > 10**9
        with refusal(path, f"declares shape {shape}", "times its own" if packed else "holds less"):
            list(read_chunks(path))
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


def test_a_packed_array_counts_as_the_floats_that_it_becomes(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", np.zeros((2_000, 10_007), np.uint8))
    with refusal(tmp_path / "a.npz", "declares shape (2000, 10007) of uint8, 80056000 bytes", "times its own"):
        list(read_chunks(tmp_path / "a.npz"))


@ARRAYS
def test_a_header_that_declares_too_little_is_refused(tmp_path, suffix):
    path = write_npy_like(tmp_path / f"a{suffix}", npy_header((22, 5)) + NUMBERS.tobytes())
    with refusal(path, "declares shape (22, 5)", "holds more"):
        list(read_chunks(path))


@ARRAYS
@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([["a", "b"]]), "must hold plain numbers, but holds <U1"),
        (np.array([[1j, 2]]), "complex128;"),
        (np.array([[None, {}]], dtype=object), "object;"),
        (np.zeros((3, 2), dtype="M8[s]"), "datetime64[s];"),
        (np.zeros(3, dtype=[("a", "f4"), ("b", "f4")]), "must hold plain numbers, but holds"),
        (np.array(3.0), "a single number"),
        (np.zeros((0, 5)), "at least one row"),
        (np.zeros((5, 0)), "at least one number per row"),
        (np.asfortranarray(np.zeros((0, 5, 2))), "at least one row"),
    ],
)
def test_arrays_that_are_no_rows_of_numbers_are_refused(tmp_path, suffix, array, words):
    path = save(tmp_path / f"a{suffix}", array)
    with refusal(path, words):
        list(read_chunks(path))


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (["a", "b"], "string in its column x"),
        ([[1, 2], [3]], "unequal length in its column x"),
        ([[1, 2], None], "unequal length"),
        ([["a"], ["b"]], "string in its column x"),
        ([[], []], "must hold plain numbers|without numbers"),
        (pyarrow.array([], pyarrow.float32()), "at least one row"),
    ],
)
def test_a_parquet_that_is_no_table_of_numbers_is_refused(tmp_path, column, words):
    parquet.write_table(pyarrow.table({"x": column}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=rf"\A.*a\.parquet.*({words}).*\Z"):
        list(read_chunks(tmp_path / "a.parquet"))


def test_lists_of_another_length_further_on_are_refused(tmp_path):
    parquet.write_table(pyarrow.table({"x": [[1, 2]] * 6 + [[1, 2, 3]] * 6}), tmp_path / "a.parquet")
    with refusal(tmp_path / "a.parquet", "lists of 2 and of 3 numbers"):
        list(read_chunks(tmp_path / "a.parquet", 3))


def test_a_parquet_without_columns_is_refused(tmp_path):
    parquet.write_table(pyarrow.table({"__index_level_0__": [1, 2]}), tmp_path / "a.parquet")
    with refusal(tmp_path / "a.parquet", "must hold at least one column besides the index of a table"):
        list(read_chunks(tmp_path / "a.parquet"))


@TABLES
@pytest.mark.parametrize("content", [b"", b"\0", b"\x93NUMPY\1\0", os.urandom(3_000)])
def test_a_file_of_another_kind_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with refusal(path):
        list(read_chunks(path))


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.6, 0.95, 0.999])
def test_a_torn_file_is_refused(tmp_path, suffix, fraction):
    path = save(tmp_path / f"a{suffix}")
    path.write_bytes(path.read_bytes()[: int(fraction * path.stat().st_size)])
    with refusal(path):
        list(read_chunks(path))


def test_an_altered_npz_is_refused(tmp_path):
    path = save(tmp_path / "a.npz")
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(content)
    with refusal(path, "CRC"):
        list(read_chunks(path))


def test_an_npz_of_several_arrays_without_x_is_refused(tmp_path):
    path = save(tmp_path / "a.npz", a=NUMBERS, b=NUMBERS)
    with refusal(path, "must hold one array or an array called x, but holds a, b;"):
        read_chunks(path)


def test_an_npz_without_arrays_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with refusal(tmp_path / "a.npz", "must hold an array, but holds none"):
        read_chunks(tmp_path / "a.npz")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=one_line_with(tmp_path / "a.npy", "does not exist", ".parquet")):
        read_chunks(tmp_path / "a.npy")


def test_an_unknown_kind_is_refused_with_the_known_ones(tmp_path):
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with refusal(
        tmp_path / "a.xlsx",
        "is not a kind of file that vaelab can read",
        ".npy",
        ".npz",
        ".csv",
        ".parquet",
        "IDX",
        "folder of images",
    ):
        read_chunks(tmp_path / "a.xlsx")


def test_a_single_image_and_a_packed_table_are_refused(tmp_path):
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "a.png")
    with refusal(tmp_path / "a.png", "single image"):
        read_chunks(tmp_path / "a.png")
    with refusal(write_bytes(tmp_path / "a.csv.gz", b"1,2\n"), "must not be compressed"):
        read_chunks(tmp_path / "a.csv.gz")


def test_another_file_without_a_suffix_is_refused(tmp_path):
    with refusal(write_bytes(tmp_path / "notes", b"some text, longer than a header"), "0x00000803"):
        read_chunks(tmp_path / "notes")


def test_a_folder_without_images_is_refused(tmp_path):
    with refusal(tmp_path, "must hold images", ".png"):
        read_chunks(tmp_path)


def test_images_of_unlike_sizes_are_refused(tmp_path):
    for name, size in {"a.png": (5, 7), "b.png": (5, 7), "c.png": (7, 5)}.items():
        Image.fromarray(np.zeros(size, np.uint8)).save(tmp_path / name)
    with refusal(tmp_path / "c.png", "has 7x5 pixels and", tmp_path / "a.png", "has 5x7;"):
        list(read_chunks(tmp_path, 1))


def test_images_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with refusal(tmp_path / "a.png", "cannot be read as an image"):
        read_chunks(tmp_path)
    (tmp_path / "a.png").unlink()
    Image.fromarray(np.zeros((2, 2), np.int32)).save(tmp_path / "a.tif")
    with refusal(tmp_path / "a.tif", "at most 16 bits per channel"):
        read_chunks(tmp_path)


@pytest.mark.parametrize("rows", [0, -1, 2.5])
def test_a_number_of_rows_that_makes_no_sense_is_refused(tmp_path, rows):
    with pytest.raises(ValueError, match=r"rows must be .*, but is"):
        read_chunks(save(tmp_path / "a.npy"), rows)


ZEROS = 10**8  # bytes, which compress to a thousandth


@pytest.mark.parametrize("kind", ["npz", "gz", "parquet", "png", "csv", "ckpt"])
def test_what_grows_beyond_its_file_is_refused(kind, tmp_path):
    """A file from someone you don't trust does not fill the memory."""
    path = tmp_path / f"rows.{kind}"
    if kind == "npz":
        np.savez_compressed(path, x=np.zeros((ZEROS // 80, 10)))
    elif kind == "gz":
        path.write_bytes(gzip.compress(struct.pack(">4I", 0x803, 1, ZEROS // 1000, 1000) + bytes(ZEROS)))
    elif kind == "parquet":
        parquet.write_table(pyarrow.table({"a": np.zeros(ZEROS // 8)}), path)
    elif kind == "png":
        path.mkdir()
        Image.new("1", (ZEROS // 10_000, 10_000)).save(path / "0.png")
    elif kind == "csv":
        path.write_text("1," * 70_000 + "1\n")
    else:
        torch.save({"w": torch.zeros(ZEROS // 4)}, tmp_path / "whole")
        with zipfile.ZipFile(tmp_path / "whole") as whole, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for record in whole.infolist():
                packed.writestr(record.filename, whole.read(record))
    tracemalloc.start()
    try:
        answer = {"csv": "at most 65,536 numbers, but .* holds 70,001", "ckpt": "it holds more than its size"}.get(
            kind, "more than 200 times its own"
        )
        with pytest.raises(ValueError, match=answer):
            read_checkpoint(path) if kind == "ckpt" else list(read_chunks(path))
        assert tracemalloc.get_traced_memory()[1] < ZEROS / 10
    finally:
        tracemalloc.stop()
