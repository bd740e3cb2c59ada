"""Tables as text: every line is a row or holds names, or else an error names it."""

import re

import numpy as np
import pytest
import torch

from vaelab.data import Reading, open_rows, read_chunks
from vaelab.data.readers import csv as csv_reader
from vaelab.data.readers import source


def written(folder, text, name="a.csv", encoding="utf-8"):
    (folder / name).write_text(text, encoding=encoding, newline="")
    return folder / name


def taken(path, **ways):
    """Rows, names and report of a file."""
    rows = open_rows(path, reading=Reading(**ways))
    return torch.cat(list(rows.chunks)).tolist(), rows.names, rows.report


def refused(path, **ways):
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        taken(path, **ways)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "names", "said"),
    [
        ("1,2.5\n-3e4,4\n", None, "it has no line with names"),
        ("a,b\n1,2.5\n-3e4,4\n", ("a", "b"), "line 1 holds the names"),
        ('"the first, quoted",b\n1,2.5\n-3e4,4\n', ("the first, quoted", "b"), "line 1"),
        ('"over\ntwo lines",b\n1,2.5\n"-3e4",4\n', ("over\ntwo lines", "b"), r"over\ntwo lines"),
        ("\ufeffa,b\r\n1,2.5\r\n-3e4,4", ("a", "b"), "line 1"),
        ("a,b\r1,2.5\r-3e4,4\r", ("a", "b"), "line 1"),
        ("\n\n a , b\n1,2.5\n\n-3e4,4\n\n", ("a", "b"), "line 3"),
        ("a;b\n1;2.5\n-3e4;4\n", ("a", "b"), "separated by semicolons"),
        ("a\tb\n1\t2.5\n-3e4\t4\n", ("a", "b"), "separated by tabs"),
        ("# a,b\n1,2.5\n-3e4,4\n", ("a", "b"), "line 1 holds the names"),
        ("# made by hand\na,b\n1,2.5\n-3e4,4\n", ("a", "b"), "line 2 holds the names"),
        ("# of May, by me\n# a,b\n1,2.5\n-3e4,4\n", ("a", "b"), "skipped 2 comment lines"),
        ("# made by hand\n1,2.5\n-3e4,4\n", None, "skipped 1 comment line (#)"),
        ("id,2019\n1,2.5\n-3e4,4\n", ("id", "2019"), "(id, 2019) was read as names (data.header=false"),
        ("0,1\n1,2.5\n-3e4,4\n", ("0", "1"), "(0, 1) was read as names (data.header=false reads it as a row)"),
        (",a,b\n0,1,2.5\n1,-3e4,4\n", ("a", "b"), "first column, which has no name and counts the rows"),
        (",Unnamed: 0,a,b\n0,0,1,2.5\n1,1,-3e4,4\n", ("a", "b"), "left out its first 2 columns, which have no names"),
        (
            ",Unnamed: 0.1,Unnamed: 0,a,b\n0,0,0,1,2.5\n1,1,1,-3e4,4\n",
            ("a", "b"),
            "left out its first 3 columns, which have no names and count the rows as pandas does",
        ),
        (",0,1\n0,1,2.5\n1,-3e4,4\n", ("0", "1"), "was read as names"),
        ("+1,+2.5\n-3e4,+4.0\n", None, "no line with names"),
        (" 1 , 2.5\n-3e4 , 4\n", None, "no line with names"),
    ],
)
def test_a_table_is_read_with_and_without_names(tmp_path, text, names, said):
    rows, found, report = taken(written(tmp_path, text))
    assert (rows, found) == ([[1, 2.5], [-3e4, 4]], names)
    assert said in report
    assert report.startswith("read 2 rows of 2 ")
    assert "\n" not in report


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_spreadsheets_save_is_read(tmp_path, encoding):
    path = written(tmp_path, "größe\tgewicht\n1.5\t2\n2.5\t3\n", "a.tsv", encoding)
    assert taken(path)[:2] == ([[1.5, 2], [2.5, 3]], ("größe", "gewicht"))


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("2020,2021", "its first line (2020, 2021) was read as a row (data.header=true reads it as names)"),
        ("1,2", "its first line (1, 2) was read as a row"),
        ("1,0", "its first line (1, 0) was read as a row"),
        ("5,7", "it has no line with names"),
    ],
)
def test_a_first_line_of_numbers_is_a_row(tmp_path, first, said):
    path = written(tmp_path, f"{first}\n3,4\n")
    rows, names, report = taken(path)
    assert (rows, names) == ([[float(cell) for cell in first.split(",")], [3, 4]], None)
    assert said in report
    assert taken(path, header=True)[:2] == ([[3, 4]], tuple(first.split(",")))


def test_a_first_line_of_zero_may_be_the_name_of_the_only_column(tmp_path):
    """A table of one column without names, as pandas writes it."""
    rows, names, report = taken(written(tmp_path, ",0\n0,1.5\n1,2.5\n"))
    assert (rows, names) == ([[1.5], [2.5]], ("0",))
    assert "its first line (, 0) was read as names (data.header=false reads it as a row)" in report
    assert "left out its first column, which has no name" in report
    assert taken(written(tmp_path, ",0\n7,1.5\n"), missing="drop")[0] == [[7, 1.5]]
    for first in ("0", "2019"):
        path = written(tmp_path, f"{first}\n1.5\n")
        rows, names, report = taken(path)
        assert (rows, names) == ([[float(first)], [1.5]], None)
        assert f"its first line ({first}) was read as a row (data.header=true reads it as names)" in report
        assert taken(path, header=True)[:2] == ([[1.5]], (first,))


def test_the_key_decides(tmp_path, caplog):
    path = written(tmp_path, "0,1,2\n5,6,7\n")
    assert taken(path)[0] == [[5, 6, 7]]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    caplog.clear()
    assert taken(path, header=True)[0] == [[5, 6, 7]]
    assert not caplog.records  # of WARNING or worse
    assert taken(path, header=False)[:2] == ([[0, 1, 2], [5, 6, 7]], None)
    assert taken(written(tmp_path, "0.5,abc,1.5\n1,2,3\n"), header=True)[1] == ("0.5", "abc", "1.5")
    assert "holds 'abc' in line 1, column 2;" in refused(tmp_path / "a.csv", header=False)
    assert taken(written(tmp_path, "0\n1\n"))[0] == [[0], [1]]


@pytest.mark.parametrize(
    "first", ["0.5,abc,1.5", "abc,3,5", '"0,5","1,5","2,5"', "1_000,2_000,3", "0x1f,3,4", "3 cm,1,2"]
)
def test_a_first_line_that_may_be_names_or_numbers_is_refused(tmp_path, first):
    said = refused(written(tmp_path, f"{first}\n1,2,3\n"))
    assert "data.header=true" in said
    assert "data.header=false" in said


@pytest.mark.parametrize(
    "mark",
    ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", ".", "?", "-", " ", " NA ", '""', "<NA>", "#N/A"],
)
@pytest.mark.parametrize("line", [1, 2, 6])
def test_a_missing_number_is_named_or_its_row_dropped(tmp_path, mark, line):
    lines = [f"{i}.5,{i}.25,{i}.125" for i in range(6)]
    lines[line - 1] = f"0.5,{mark},1.5"
    path = written(tmp_path, "\n".join(lines) + "\n")
    assert f"holds none in line {line}, column 2; fill it in, or set data.missing=drop" in refused(path)
    rows, _, report = taken(path, missing="drop")
    assert rows == [[i + 0.5, i + 0.25, i + 0.125] for i in range(6) if i != line - 1]
    assert f"left out 1 row with a missing value (line {line})" in report


def test_every_dropped_row_is_counted(tmp_path):
    path = written(tmp_path, "a,b\n" + "".join(f"{i},{'NA' if i % 3 == 1 else i}\n" for i in range(30)))
    rows, _, report = taken(path, missing="drop")
    assert rows == [[i, i] for i in range(30) if i % 3 != 1]
    assert (
        torch.cat(list(read_chunks(path, reading=Reading(missing="drop")))).dtype == torch.int64
    )  # none became a float
    assert "left out 10 rows with a missing value (line 3, line 6, line 9, line 12, line 15 and 5 more)" in report
    assert open_rows(path, reading=Reading(missing="drop")).where(1, 1) == "line 4, column 2 (b)"
    assert "must hold at least one row without a missing value" in refused(
        written(tmp_path, "a,b\n,1\n2,\n"), missing="drop"
    )


def test_a_blank_line_is_a_row_only_in_a_single_column(tmp_path):
    path = written(tmp_path, "a\n1\n\n3\n\n\n")
    assert "holds none in line 3;" in refused(path)
    assert taken(path, missing="drop")[0] == [[1], [3]]
    assert taken(written(tmp_path, "a,b\n1,2\n   \n3,4\n\n"))[0] == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("# a,b\n", "is empty"),
        ("a,b\n", "at least one row below its names"),
        ("1,2\n3\n", "1 cell in line 2 and 2 in line 1"),
        ("1,2\n3,4,5\n", "3 cells in line 2"),
        ("a,b\n1,2,3\n", "2 names, and 3 cells in line 2"),
        ("1,2\n\n3,4\n# 5,6,7\n", "3 cells in line 4"),
        ("a,b\n1,x\n", "holds 'x' in line 2, column 2 (b);"),
        ("a,b\n1,2\n1_000,3\n", "holds '1_000' in line 3, column 1 (a);"),
        ("a,b\n1,2\n0x10,3\n", "holds '0x10' in line 3, column 1 (a);"),
        ("a,b\n1,2\n0x10,2.5\n", "holds '0x10' in line 3, column 1 (a);"),
        ('a,b\n1,2\n"1,234",3\n', "holds '1,234' in line 3, column 1 (a);"),
        ("a;b\n1,5;2\n", "holds '1,5' in line 2, column 1 (a);"),
        ("a,b\n1,2\n3,\x1b[2J\n", r"holds '\x1b[2J' in line 3"),
        ("a,b\n1,2\n3,inf\n", "holds inf in line 3, column 2 (b);"),
        ("a,b\n1,2\n1e400,3\n", "holds inf in line 3, column 1 (a);"),
        ("a,b\n1,2\n-1e39,3\n", "holds -1e+39 in line 3, column 1 (a);"),
        ("id,b\n1,2\n9007199254740993,3\n", "holds 9007199254740993 in line 3, column 1 (id);"),
        ("id,b\n9007199254740993,1.5\n", "holds 9007199254740993 in line 2, column 1 (id);"),
        ("b,id\n1.5,2\n\n2,9223372036854775808\n", "holds 9223372036854775808 in line 4, column 2 (id);"),
        (f"id\n\n-{'123' * 10}\n", f"-{'123' * 10} in line 3;|holds none in line 2"),
        (f"b,id\n1,{'9' * 400}\n", "9… in line 2, column 2 (id);"),
        ("a,b,\n1,2,\n", "column 3 of"),
        ("a,,b\n1,2,3\n", "column 2 of"),
        ("a,b,a\n1,2,3\n", "has several called a"),
        (",a\n7,1\n3,2\n", "column 1 of"),
        (",Unnamed: 0,a\n0,0,1\n1,1,1\n2,5,1\n", "column 2 of|has none, and it stops counting the rows in line 4"),
        (",a\n0,1\n1,2\n7,3\n", "stops counting the rows in line 4"),
        ('a,"b\n1,2\n', "empty|at least one row"),
        ("a,b\n\0,2\n", "line 2"),
    ],
)
def test_an_error_names_line_and_column_of_what_is_not_a_number(tmp_path, text, words):
    said = refused(written(tmp_path, text))
    assert any(word in said for word in words.split("|")), said


@pytest.mark.parametrize("content", ["größe,b\n1,2\n".encode("latin-1"), "a,b\n1,2\n".encode("utf-16-le")])
def test_another_encoding_is_refused(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    assert "save it as CSV UTF-8" in refused(tmp_path / "a.csv")


def test_a_large_decimal_number_is_no_whole_one(tmp_path, monkeypatch):
    rows, names, _ = taken(written(tmp_path, "a,b\n9007199254740991,1e30\n-1,12345678901234567.5\n"))
    assert names == ("a", "b")
    assert np.array_equal(rows, np.float32([[9007199254740991, 1e30], [-1, 12345678901234567.5]]))
    monkeypatch.setattr(source, "CHUNK_BYTES", 400)
    many = written(
        tmp_path, "1,2\n" * 200 + "1,2e30\n" * 200 + "1,2\n" * 200 + "1,2e30\n" * 200 + "9007199254740993,2\n"
    )
    with pytest.raises(ValueError, match=r"holds 9007199254740993 in line 801, column 1;"):
        list(read_chunks(many))
    dropped = written(tmp_path, "a,b\n9007199254740993,NA\n1,2.5\n")
    assert taken(dropped, missing="drop")[0] == [[1, 2.5]]


@pytest.mark.parametrize("said", ["sep=;", '"sep=;"'])
def test_a_first_line_may_say_the_separator(tmp_path, said):
    rows, names, report = taken(written(tmp_path, f"{said}\r\na,b;c\r\n1;2.5\r\n3;4\r\n"))
    assert (rows, names) == ([[1, 2.5], [3, 4]], ("a,b", "c"))
    assert "line 2 holds the names; its cells are separated by semicolons" in report
    assert taken(written(tmp_path, f"{said}\n1;2.5\n3;4\n"))[:2] == ([[1, 2.5], [3, 4]], None)
    assert "holds 'x' in line 3, column 1;" in refused(written(tmp_path, f"{said}\n1;2.5\nx;4\n"))
    assert "says sep=:;" in refused(written(tmp_path, "sep=:\n1:2\n"))


@pytest.mark.parametrize("start", [b"PK\3\4", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"])
def test_a_spreadsheet_under_another_name_is_refused(tmp_path, start):
    (tmp_path / "a.csv").write_bytes(start + bytes(500))
    assert "is a spreadsheet or an archive; open it, and save it as CSV UTF-8" in refused(tmp_path / "a.csv")


def test_the_line_is_the_one_that_an_editor_shows(tmp_path):
    path = written(tmp_path, '# by hand\n"a\nb",c\n\n1,2\n"3\n",4\n\n5,x\n')
    assert "holds 'x' in line 9, column 2 (c);" in refused(path)


def test_both_csv_readers_return_the_same_numbers(tmp_path, monkeypatch):
    """Arrow's reader, and our own for all other files."""
    cells = np.random.default_rng(0).normal(size=(23, 5)) * 10.0 ** np.arange(-2, 3)
    for numbers, form in ((cells, "%.17g"), (cells.round(), "%d")):
        counted = np.column_stack([np.arange(23), numbers])
        np.savetxt(tmp_path / "a.csv", counted, ["%d", *[form] * 5], ",", header=",a,b,c,d,e", comments="")
        fast = torch.cat(list(read_chunks(tmp_path / "a.csv")))
        with monkeypatch.context() as patch:
            patch.setattr(source, "CHUNK_BYTES", 400)
            chunks = list(read_chunks(tmp_path / "a.csv", 4))
            patch.setattr(csv_reader, "_batches", _fails)
            slow = list(read_chunks(tmp_path / "a.csv"))
        assert max(len(chunk) for chunk in chunks) <= 4
        assert fast.tolist() == torch.cat(chunks).tolist() == torch.cat(slow).tolist()
        assert fast.tolist() == torch.from_numpy(numbers).to(fast.dtype).tolist()


def _fails(*_, **__):
    raise ValueError("not for Arrow")


def test_a_table_is_of_floats_if_only_its_last_number_is_not_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "CHUNK_BYTES", 400)
    chunks = list(read_chunks(written(tmp_path, "1,2\n" * 500 + "1,2.5\n")))
    assert len(chunks) > 3
    assert {chunk.dtype for chunk in chunks} == {torch.float32}
    assert torch.cat(chunks)[-1].tolist() == [1, 2.5]


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        ({"header": "yes"}, "data.header must be true, false or null, but is 'yes'"),
        ({"header": 1}, "data.header must be true, false or null, but is 1"),
        ({"missing": "fill"}, "data.missing must be one of refuse, drop, but is fill"),
        ({"background": "red"}, "data.background must be white, black or a grey from 0 to 255, but is 'red'"),
        ({"background": 256}, "data.background must be white"),
        ({"background": True}, "data.background must be white"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(ways, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        Reading(**ways)
