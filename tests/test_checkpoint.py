"""Files that are whole or as they were, whatever the disk does; and checkpoints that know when they are broken."""

import errno
import os
import random
from pathlib import Path

import pytest
import torch

from vaelab.checkpoint import read_checkpoint, write_checkpoint
from vaelab.files import second_name, write_whole

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
        with pytest.raises(OSError, match=r"file cannot be written \(No space left on device\); it is as it was"):
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


def test_the_paths_of_a_run_that_has_moved_are_those_of_now(tmp_path):
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
        reads += 1  # the damage is where no content is: padding, dates
        assert torch.equal(found["weights"], CONTENT["weights"])
        assert found["steps"] == 7
    assert refused > 200
    assert reads + refused == 300


def test_what_is_no_checkpoint_is_said(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "none.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    with pytest.raises(ValueError, match="it holds a list"):
        read_checkpoint(tmp_path / "list.ckpt")


class Payload:
    """Unpickled, it would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_checkpoint_runs_no_code(tmp_path):
    torch.save({"hyper_parameters": Payload(tmp_path / "ran")}, tmp_path / "bad.ckpt")
    with pytest.raises(ValueError, match=r"bad.ckpt cannot be read as a checkpoint"):
        read_checkpoint(tmp_path / "bad.ckpt")
    assert not (tmp_path / "ran").exists()
