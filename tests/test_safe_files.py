"""Files of a run are written and read without following links, for any contents of its folder."""

import os
import stat

import pytest

from vaelab.files import open_log, read_json, read_small
from vaelab.whole_files import second_name, write_whole


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "victim").write_text("mine")
    (tmp_path / "run").mkdir()
    return folder


@pytest.mark.parametrize("target", ["victim", "nothing"])
def test_a_link_at_a_files_name_is_replaced_and_not_followed(target, outside, tmp_path):
    path = tmp_path / "run" / "state.json"
    path.symlink_to(outside / target)
    write_whole(path, b"new")
    assert (path.is_symlink(), path.read_bytes()) == (False, b"new")
    assert [entry.name for entry in outside.iterdir()] == ["victim"]
    assert (outside / "victim").read_text() == "mine"


def test_a_second_name_elsewhere_keeps_what_it_held(outside, tmp_path):
    (tmp_path / "run" / "state.json").hardlink_to(outside / "victim")
    write_whole(tmp_path / "run" / "state.json", b"new")
    assert (outside / "victim").read_text() == "mine"


def test_no_folder_below_the_run_may_be_a_link(outside, tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").symlink_to(outside)
    with pytest.raises(OSError, match=r"last.ckpt cannot be written \(.*\) and is unchanged"):
        write_whole(run / "checkpoints" / "last.ckpt", b"new", within=run)
    write_whole(run / "a" / "b" / "c", b"new", within=run)
    assert (run / "a" / "b" / "c").read_bytes() == b"new"
    assert [entry.name for entry in outside.iterdir()] == ["victim"]


def test_the_name_of_an_unfinished_file_cannot_be_guessed(outside, tmp_path, monkeypatch):
    names = set()
    monkeypatch.setattr(os, "replace", lambda part, *arguments, **options: names.add(part))
    for _ in range(20):
        write_whole(tmp_path / "run" / "state.json", b"new")
    assert len(names) == 20
    assert all(len(name) == len(".0123456789abcdef.part") for name in names)
    assert not any((tmp_path / "run").iterdir())  # what is not renamed is removed


def test_a_file_gets_the_rights_that_the_user_gives_new_files(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_second_name_is_never_that_of_a_links_target(outside, tmp_path):
    run = tmp_path / "run"
    (run / "last").symlink_to(outside / "victim")
    second_name(run / "last", run / "previous")
    assert (outside / "victim").stat().st_nlink == 1


@pytest.mark.parametrize(
    ("make", "answer"),
    [
        (os.mkfifo, "must be an ordinary file, but is a pipe"),
        (lambda path: path.symlink_to("/dev/zero"), "must be an ordinary file, but is a link"),
        (os.mkdir, "must be an ordinary file, but is a folder"),
        (lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 2**40), "must hold at most 4194304 bytes"),
    ],
    ids=["pipe", "link", "folder", "terabyte"],
)
def test_what_is_no_small_file_is_not_read(make, answer, tmp_path):
    make(tmp_path / "metrics.json")
    with pytest.raises(ValueError, match=answer):
        read_small(tmp_path / "metrics.json")
    assert open_log(tmp_path / "metrics.json") is None or "terabyte" in answer or "hold" in answer


def test_a_limit_counts_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert read_small(tmp_path / "file", limit=5) == b"12345"
    with pytest.raises(ValueError, match="must hold at most 4 bytes"):
        read_small(tmp_path / "file", limit=4)
    with pytest.raises(FileNotFoundError):
        read_small(tmp_path / "nothing")


@pytest.mark.parametrize(
    "contents", ["[" * 200_000, b"\xff\xfe", "{", '{"a": ' + "9" * 19 + "}", "[-" + "9" * 5000 + "]"]
)
def test_json_that_no_run_writes_is_one_sentence(contents, tmp_path):
    (tmp_path / "a.json").write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    with pytest.raises(ValueError, match=r"a.json must be a JSON file|a whole number must have at most 18 digits"):
        read_json(tmp_path / "a.json")


def test_numbers_of_a_run_are_read(tmp_path):
    (tmp_path / "a.json").write_text('{"seed": 123456789012345678, "lr": 1e-3, "worst": NaN}')
    assert read_json(tmp_path / "a.json")["seed"] == 123456789012345678


def test_a_log_is_added_to_only_in_its_own_folder(outside, tmp_path):
    log, victim = tmp_path / "run" / "train.log", outside / "victim"
    assert open_log(log) is None
    log.hardlink_to(victim)
    assert open_log(log) is None
    log.unlink()
    log.write_text("one\n")
    with open_log(log) as file:
        file.write("two\n")
    assert (log.read_text(), victim.read_text()) == ("one\ntwo\n", "mine")
