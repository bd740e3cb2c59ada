"""Files are written whole or not at all, even if the disk fails, and a broken checkpoint is recognised."""

import errno
import os
import pickle
import random
import zipfile
from pathlib import Path

import pytest
import torch

from vaelab.checkpoint import read_checkpoint, write_checkpoint
from vaelab.whole_files import second_name, write_whole

FULL = OSError(errno.ENOSPC, "No space left on device")
CONTENT = {"weights": torch.arange(50.0), "steps": 7, "hyper_parameters": {"folder": "/somewhere/run", "x": [1, None]}}


def fails(monkeypatch, owner, name, error=FULL):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(owner, name, fail)


@pytest.mark.parametrize(("owner", "name"), [(os, "open"), (os, "fsync"), (os, "replace"), (Path, "mkdir")])
def test_a_full_disk_leaves_the_old_file_and_no_other(owner, name, monkeypatch, tmp_path):
    path = tmp_path / "file"
    write_whole(path, b"old")
    with monkeypatch.context() as patch:
        fails(patch, owner, name)
        with pytest.raises(OSError, match=r"file cannot be written \(No space left on device\) and is unchanged"):
            write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_second_name_keeps_what_a_file_held(tmp_path):
    path, name = tmp_path / "last", tmp_path / "previous"
    second_name(path, name)  # there is nothing to name
    assert not name.exists()
    for content in (b"1", b"2", b"3"):
        second_name(path, name)
        write_whole(path, content)
    assert (path.read_bytes(), name.read_bytes()) == (b"3", b"2")
    assert sorted(tmp_path.iterdir()) == [path, name]


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    write_checkpoint(tmp_path / "a.ckpt", CONTENT)
    found = read_checkpoint(tmp_path / "a.ckpt")
    assert torch.equal(found.pop("weights"), CONTENT["weights"])
    assert found == {key: value for key, value in CONTENT.items() if key != "weights"}


def test_the_paths_of_a_run_that_has_moved_are_updated(tmp_path):
    content = {**CONTENT, "callbacks": {"best": {"/somewhere/run/a.ckpt": 1, "path": "/somewhere/runs"}}}
    write_checkpoint(tmp_path / "checkpoints" / "a.ckpt", content)
    found = read_checkpoint(tmp_path / "checkpoints" / "a.ckpt")
    assert found["hyper_parameters"]["folder"] == str(tmp_path.resolve())
    assert found["callbacks"] == {"best": {f"{tmp_path.resolve()}/a.ckpt": 1, "path": "/somewhere/runs"}}


def test_damage_is_found(tmp_path):
    path, chance = tmp_path / "a.ckpt", random.Random(0)
    write_checkpoint(path, CONTENT)
    whole = path.read_bytes()
    reads, refused = 0, 0
    for _ in range(300):
        content = bytearray(whole)
        if chance.random() < 0.5:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        else:
            del content[chance.randrange(len(content)) :]
        path.write_bytes(content)
        try:
            found = read_checkpoint(path)
        except ValueError as error:
            assert str(error).startswith(f"{path} cannot be read as a checkpoint (")  # noqa: PT017
            refused += 1
            continue
        reads += 1  # the damage is in padding or dates
        assert torch.equal(found["weights"], CONTENT["weights"])
        assert found["steps"] == 7
    assert refused > 200
    assert reads + refused == 300


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "none.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    with pytest.raises(ValueError, match="it holds a list"):
        read_checkpoint(tmp_path / "list.ckpt")


class Payload:
    """A pickle of this would make a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_checkpoint_runs_no_code(tmp_path):
    torch.save({"hyper_parameters": Payload(tmp_path / "ran")}, tmp_path / "bad.ckpt")
    with pytest.raises(ValueError, match=r"bad.ckpt cannot be read as a checkpoint"):
        read_checkpoint(tmp_path / "bad.ckpt")
    assert not (tmp_path / "ran").exists()


def evil(command):
    return b"\x80\x02cbuiltins\nbytearray\n" + pickle.dumps((command,), 2)[2:-1] + b"R."


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["archive/DATA.PKL"], "must have one pickle, called data.pkl"),
        (["archive/data.pkl", "archive/DATA.PKL"], "two parts with the same name"),
        (["archive/data.pkl", "archive/constants.pkl"], "must have one pickle, called data.pkl"),
        (["archive/data.pkl", "archive/code/a.py"], "holds a program"),
        (["archive/data.pkl", "other/Data.Pkl"], "must have one pickle, called data.pkl"),
        ([], "must have one pickle, called data.pkl"),
        (["archive/data.pkl"], "names builtins bytearray"),
    ],
)
def test_a_pickle_cannot_hide_behind_its_name(names, reason, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.ckpt", "w") as archive:
        archive.writestr("archive/version", "3\n")
        for name in names:
            archive.writestr(name, evil(7))
    with pytest.raises(ValueError, match=reason):
        read_checkpoint(tmp_path / "a.ckpt")


def test_an_archive_has_one_beginning_and_one_list(tmp_path):
    path = tmp_path / "a.ckpt"
    write_checkpoint(path, CONTENT)
    whole = path.read_bytes()
    path.write_bytes(evil(7) + whole)  # torch would read the pickle, zipfile what follows it
    with pytest.raises(ValueError, match="it is not an archive"):
        read_checkpoint(path)
    path.write_bytes(whole[:4] + bytes(100) + whole)  # zipfile corrects the place of the list, torch does not
    with pytest.raises(ValueError, match="list of parts is in the wrong place"):
        read_checkpoint(path)


def test_a_small_file_holds_no_large_content(tmp_path):
    path, weight, text = tmp_path / "a.ckpt", torch.zeros(10_000), "a" * 100_000
    write_checkpoint(path, {"state_dict": {"weight": weight, "tied": weight}})
    assert len(read_checkpoint(path)["state_dict"]) == 2
    write_checkpoint(path, {"state_dict": {str(index): weight for index in range(20)}})
    with pytest.raises(ValueError, match="its tensors take more than 2 times its size"):
        read_checkpoint(path)
    write_checkpoint(path, {"hyper_parameters": [text] * 80})
    assert len(read_checkpoint(path)["hyper_parameters"]) == 80
    write_checkpoint(path, {"hyper_parameters": [text] * 90})
    with pytest.raises(ValueError, match="its texts have more than 8388608 characters"):
        read_checkpoint(path)
