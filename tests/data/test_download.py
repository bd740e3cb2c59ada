"""The download against mirrors on the loopback: whole and right, or one sentence and nothing on disk."""

import gzip
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pooch
import pytest
from torch.testing import assert_close

import vaelab.data.download
from helpers.idx_files import TEST, TRAIN, write_small_mnist
from helpers.mirror import hashes_of, left_in, published, started_mirrors
from vaelab.data import MNIST
from vaelab.data.download import download

FIRST, SECOND = NAMES = (f"{TRAIN}.gz", f"{TEST}.gz")


start = pytest.fixture(started_mirrors)


@pytest.fixture
def dead() -> Iterator[str]:
    """The address of a mirror that refuses connections: its port is taken, and no process listens there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/mnist/"


@pytest.fixture
def files(tmp_path, monkeypatch) -> dict[str, bytes]:
    """Two small files, known by their hashes; the loopback is reached without a proxy."""
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1")
    write_small_mnist(tmp_path / "source", gz=True)
    content = {name: (tmp_path / "source" / name).read_bytes() for name in NAMES}
    monkeypatch.setattr(MNIST, "published", published(content))
    return content


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "cache" / "mnist"


def fetch(files: Mapping[str, bytes], folder: Path, mirrors: list[str]) -> None:
    """Downloads the files that have the hashes of `files`."""
    download(published(files), folder, mirrors)


def assert_whole(folder: Path, files: dict[str, bytes]) -> None:
    assert left_in(folder) == set(files)
    assert {name: (folder / name).read_bytes() for name in files} == files


def altered(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def test_each_file_is_fetched_once(files, folder, start):
    mirror = start(files)
    fetch(files, folder, [mirror.url])
    assert_whole(folder, files)
    assert mirror.requested == [FIRST, SECOND]
    fetch(files, folder, [mirror.url])
    assert mirror.requested == [FIRST, SECOND]


def test_an_address_needs_no_slash_at_its_end(files, folder, start):
    mirror = start(files)
    fetch(files, folder, [mirror.url.rstrip("/")])
    assert_whole(folder, files)


def test_whole_files_need_no_network(files, folder, dead):
    for name, content in files.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    fetch(files, folder, [dead])
    assert_whole(folder, files)


def test_only_the_missing_file_is_fetched(files, folder, start):
    folder.mkdir(parents=True)
    (folder / FIRST).write_bytes(files[FIRST])
    mirror = start(files)
    fetch(files, folder, [mirror.url])
    assert_whole(folder, files)
    assert mirror.requested == [SECOND]


def test_a_damaged_file_is_fetched_again(files, folder, start):
    mirror = start(files)
    fetch(files, folder, [mirror.url])
    (folder / SECOND).write_bytes(altered(files[SECOND]))
    fetch(files, folder, [mirror.url])
    assert_whole(folder, files)
    assert mirror.requested == [FIRST, SECOND, SECOND]


def test_a_file_has_its_name_only_when_it_is_whole(files, folder, start):
    mirror = start(files, folder=folder)
    fetch(files, folder, [mirror.url])
    assert_whole(folder, files)
    assert SECOND not in mirror.seen_half_way
    assert FIRST in mirror.seen_half_way  # while the second one came


def test_a_file_with_the_wrong_hash_is_refused(files, folder, start):
    mirror = start({name: altered(content) for name, content in files.items()})
    with pytest.raises(OSError, match=rf"\A.*{FIRST}.*data\.root.*\Z"):
        fetch(files, folder, [mirror.url])
    assert mirror.requested == [FIRST]
    assert left_in(folder) == set()


def test_a_wrong_second_file_leaves_the_first_one_alone(files, folder, start):
    mirror = start({FIRST: files[FIRST], SECOND: altered(files[SECOND])})
    with pytest.raises(OSError, match=rf"\A.*no mirror has {SECOND}.*data\.root.*\Z"):
        fetch(files, folder, [mirror.url])
    assert_whole(folder, {FIRST: files[FIRST]})


@pytest.mark.parametrize("fault", ["wrong hash", "cut", "404", "empty", "web page"])
def test_a_bad_mirror_gives_way_to_the_next(files, folder, start, fault):
    bad = start(
        {
            "wrong hash": {name: altered(content) for name, content in files.items()},
            "cut": files,
            "404": {},
            "empty": dict.fromkeys(files, b""),
            "web page": dict.fromkeys(files, b"<html>log in to the network first</html>"),
        }[fault],
        cut=fault == "cut",
    )
    good, spare = start(files), start(files)
    fetch(files, folder, [bad.url, good.url, spare.url])
    assert_whole(folder, files)
    assert bad.requested == good.requested == [FIRST, SECOND]
    assert spare.requested == []


def test_a_dead_mirror_gives_way_to_the_next(files, folder, start, dead):
    mirror = start(files)
    fetch(files, folder, [dead, mirror.url])
    assert_whole(folder, files)


@pytest.mark.parametrize("fault", ["cut", "404"])
def test_a_broken_answer_leaves_nothing_behind(files, folder, start, fault):
    mirror = start(files, cut=True) if fault == "cut" else start({})
    with pytest.raises(OSError, match=rf"\A.*no mirror has {FIRST}.*{mirror.url}{FIRST}.*data\.root.*\Z"):
        fetch(files, folder, [mirror.url])
    assert left_in(folder) == set()


def test_an_error_names_each_mirror_and_the_cure(files, folder, start, dead):
    mirror = start({})
    with pytest.raises(OSError, match=rf"\A.*{FIRST}.*{dead}.*{mirror.url}.*check the network.*data\.root.*\Z"):
        fetch(files, folder, [dead, mirror.url])
    assert left_in(folder) == set()


def test_a_download_that_failed_can_be_made_good(files, folder, start, dead):
    with pytest.raises(OSError, match="no mirror has"):
        fetch(files, folder, [dead])
    fetch(files, folder, [start(files).url])
    assert_whole(folder, files)


def repacked(content: bytes) -> bytes:
    """The same content, packed again in another way."""
    return gzip.compress(gzip.decompress(content), compresslevel=1, mtime=7)


def test_the_same_content_packed_again_is_right(files, folder, start, dead):
    """As in the packages of a Linux distribution."""
    others = {name: repacked(content) for name, content in files.items()}
    assert others != files
    mirror = start(others)
    fetch(files, folder, [mirror.url])
    assert_whole(folder, others)
    fetch(files, folder, [dead])
    assert_whole(folder, others)


def test_a_file_that_unpacks_to_too_much_is_refused(files, folder, start, monkeypatch):
    monkeypatch.setattr(vaelab.data.download, "LARGEST", 100)
    mirror = start({name: repacked(content) for name, content in files.items()})
    with pytest.raises(OSError, match="its content is not that of MNIST"):
        fetch(files, folder, [mirror.url])
    assert left_in(folder) == set()


# The module is loaded from its file, because importing the package around it would import Lightning.
CHILD = """
import importlib.util, json, pathlib, sys, time
source, folder, url, hashes, ready, go = sys.argv[1:]
spec = importlib.util.spec_from_file_location("download", source)
download = importlib.util.module_from_spec(spec)
sys.modules["download"] = download
spec.loader.exec_module(download)
files = {name: download.Hashes(*both) for name, both in json.loads(hashes).items()}
published = download.Published("MNIST", "mnist", (), files, (30, 11, 0))
pathlib.Path(ready).touch()
while not pathlib.Path(go).exists():
    time.sleep(0.005)
download.download(published, pathlib.Path(folder), [url])
"""


def test_of_two_processes_at_once_one_waits_for_the_other(files, folder, start, tmp_path):
    mirror = start(files, delay=0.4)
    hashes = json.dumps(hashes_of(files))
    go, ready = tmp_path / "go", [tmp_path / "ready-0", tmp_path / "ready-1"]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, vaelab.data.download.__file__, folder, mirror.url, hashes, flag, go],
            stderr=subprocess.PIPE,
            text=True,
        )
        for flag in ready
    ]
    try:
        deadline = time.monotonic() + 20
        while not all(flag.exists() for flag in ready) and time.monotonic() < deadline:
            time.sleep(0.01)
        go.touch()
        errors = [child.communicate(timeout=20)[1] for child in children]
    finally:
        for child in children:
            child.kill()
    assert [child.returncode for child in children] == [0, 0], errors
    assert_whole(folder, files)
    assert sorted(mirror.requested) == sorted(NAMES)


def test_without_a_root_the_data_module_fetches_into_the_cache(files, start, tmp_path, monkeypatch):
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    mirror = start(files)
    for _ in range(2):
        data = MNIST(mirrors=[mirror.url], val_size=7, support="unit_interval")
        data.prepare_data()
        data.setup()
    assert mirror.requested == [FIRST, SECOND]
    assert_whole(tmp_path / "cache" / "vaelab" / "mnist", files)
    elsewhere = MNIST(str(tmp_path / "source"), val_size=7, support="unit_interval")
    elsewhere.setup()
    assert_close(data.test, elsewhere.test, rtol=0, atol=0)


def test_with_a_root_the_data_module_fetches_nothing(files, start, tmp_path):
    mirror = start(files)
    data = MNIST(str(tmp_path / "source"), mirrors=[mirror.url], val_size=7)
    data.prepare_data()
    data.setup()
    assert mirror.requested == []
    assert_whole(tmp_path / "source", files)
