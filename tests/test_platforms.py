"""Checks vaelab on systems that lack a part of Linux: each part is switched off, and vaelab uses its fallback."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from vaelab import platforms
from vaelab.open_folder import open_folder
from vaelab.sweeps.cells import _clear
from vaelab.whole_files import replacing, second_name, write_whole

PARTS = ("HAS_FOLDER_DESCRIPTORS", "HAS_FILE_LOCKS", "HAS_HARD_LINKS")
LACKING = ("NO_FOLLOW", "FOLDER")  # beside them, in Windows


@pytest.fixture(params=["Linux", *PARTS, "Windows"])
def system(request, monkeypatch):
    """A system that has everything, one that lacks a part, and one that lacks all of them."""
    lacks = {"Linux": (), "Windows": PARTS + LACKING}.get(request.param, (request.param,))
    for part in lacks:
        monkeypatch.setattr(platforms, part, 0)
    return request.param


@pytest.mark.usefixtures("system")
def test_files_are_whole_and_links_are_replaced(tmp_path):
    run, victim = tmp_path / "run", tmp_path / "victim"
    victim.write_text("mine")
    write_whole(run / "a" / "b" / "file", b"old", within=run)
    with suppress(ZeroDivisionError), replacing(run / "a" / "b" / "file") as file:
        file.write(b"half of it" * (1 // (file.write(b"begun") - 5)))
    assert (run / "a" / "b" / "file").read_bytes() == b"old"
    (run / "link").symlink_to(victim)
    write_whole(run / "link", b"new")
    assert (victim.read_text(), (run / "link").read_bytes()) == ("mine", b"new")
    assert sorted(path.name for path in run.rglob("*")) == ["a", "b", "file", "link"]


@pytest.mark.usefixtures("system")
def test_no_folder_on_the_way_is_a_link(tmp_path):
    run, outside = tmp_path / "run", tmp_path / "outside"
    outside.mkdir()
    run.mkdir()
    (run / "checkpoints").symlink_to(outside)
    with pytest.raises(OSError, match=r"last.ckpt cannot be written"):
        write_whole(run / "checkpoints" / "last.ckpt", b"new", within=run)
    assert not list(outside.iterdir())


@pytest.mark.usefixtures("system")
def test_a_second_name_keeps_the_contents(tmp_path):
    path, name = tmp_path / "last", tmp_path / "previous"
    second_name(path, name)
    assert not list(tmp_path.iterdir())
    for contents in (b"one", b"two", b"three"):
        second_name(path, name)
        write_whole(path, contents)
    assert (path.read_bytes(), name.read_bytes()) == (b"three", b"two")
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.usefixtures("system")
def test_a_folder_is_cleared_and_what_its_links_lead_to_stays(tmp_path):
    cell, victim = tmp_path / "cell", tmp_path / "victim"
    (cell / "inner" / "deep").mkdir(parents=True)
    victim.mkdir()
    for place in ("folder", "inner/folder"):
        (cell / place).symlink_to(victim)
    (victim / "precious.txt").write_text("mine")
    (cell / "state.json").touch()
    _clear(cell)
    assert [path.name for path in cell.iterdir()] == ["state.json"]
    assert (victim / "precious.txt").read_text() == "mine"
    (tmp_path / "link").symlink_to(cell)
    with pytest.raises(OSError, match="link"):
        _clear(tmp_path / "link")


@pytest.mark.parametrize("has_locks", [True, False])
def test_what_a_killed_process_left_is_removed_if_it_can_be_told(has_locks, tmp_path, monkeypatch):
    monkeypatch.setattr(platforms, "HAS_FILE_LOCKS", has_locks)
    (tmp_path / ".0123456789abcdef.part").touch()
    with replacing(tmp_path / "slow"):
        write_whole(tmp_path / "file", b"whole")
    assert {path.name for path in tmp_path.iterdir()} == {"slow", "file"} | (
        set() if has_locks else {".0123456789abcdef.part"}
    )


def test_a_file_that_was_removed_before_it_was_locked_is_begun_again(tmp_path, monkeypatch):
    lock, removed = platforms.lock_file, []

    def late(descriptor, wait):
        if wait and not removed:
            removed.extend(tmp_path.glob(".*.part"))
            removed[0].unlink()
        lock(descriptor, wait)

    monkeypatch.setattr(platforms, "lock_file", late)
    write_whole(tmp_path / "file", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert len(removed) == 1


@pytest.mark.parametrize("version", [(3, 10, 9), (3, 11, 0)])
def test_a_folder_with_a_link_in_it_is_removed_alone(version, tmp_path, monkeypatch):
    monkeypatch.setattr(platforms, "PYTHON", version)
    if version == (3, 10, 9):  # its rmtree knows no `dir_fd`
        rmtree = shutil.rmtree
        monkeypatch.setattr(shutil, "rmtree", lambda path: rmtree(path))
    (tmp_path / "victim" / "inner").mkdir(parents=True)
    (tmp_path / "run" / "old").mkdir(parents=True)
    (tmp_path / "run" / "old" / "link").symlink_to(tmp_path / "victim")
    with open_folder(tmp_path / "run") as folder:
        folder.remove("old")
    assert not list((tmp_path / "run").iterdir())
    assert (tmp_path / "victim" / "inner").is_dir()


def test_processors_and_memory_are_known_or_assumed(monkeypatch):
    assert 1 <= platforms.processors() <= os.cpu_count()
    assert 2**28 < platforms.memory() < 2**50
    monkeypatch.setattr(platforms, "HAS_AFFINITY", False)
    monkeypatch.setattr(platforms, "HAS_SYSCONF", False)
    assert platforms.processors() == os.cpu_count()
    assert platforms.memory() == float("inf")


PRIORITY = """
import os, sys
from vaelab import platforms
platforms.HAS_IDLE_SCHEDULING = sys.argv[1] == "True"
before = os.getpriority(os.PRIO_PROCESS, 0)
platforms.take_idle_time_only()
print(os.sched_getscheduler(0) == os.SCHED_IDLE, os.getpriority(os.PRIO_PROCESS, 0) - before)
platforms.take_normal_time(os.getpid())
print(os.sched_getscheduler(0) == os.SCHED_IDLE)
"""


@pytest.mark.parametrize(("has", "printed"), [(True, "True 0\nFalse\n"), (False, "False 3\nFalse\n")])
def test_drawing_leaves_the_processor_to_others(has, printed):
    process = subprocess.run([sys.executable, "-c", PRIORITY, str(has)], capture_output=True, text=True, check=True)
    assert process.stdout == printed


def wait_for_long():
    for _ in range(200):
        threading.Event().wait(0.05)


@pytest.mark.parametrize("has_signals", [True, False])
def test_the_main_thread_is_interrupted_from_another(has_signals, monkeypatch):
    monkeypatch.setattr(platforms, "HAS_SIGNALS", has_signals)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Timer(0.1, platforms.interrupt_main_thread).start()
        with pytest.raises(KeyboardInterrupt):
            wait_for_long()
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("has_signals", "code"), [(True, -signal.SIGINT), (False, -signal.SIGTERM)])
def test_a_process_is_interrupted_or_ended(has_signals, code, monkeypatch):
    monkeypatch.setattr(platforms, "HAS_SIGNALS", has_signals)
    script = "import signal, time; signal.signal(2, signal.SIG_DFL); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        platforms.interrupt_process(process)
        assert process.wait(30) == code


@pytest.mark.parametrize("has_signals", [True, False])
def test_a_process_becomes_another_program(has_signals):
    script = (
        f"import os, sys; from vaelab import platforms; platforms.HAS_SIGNALS = {has_signals}\n"
        "print(os.getpid(), flush=True)\n"
        "platforms.become_program([sys.executable, '-c', 'import os, sys; print(os.getpid()); sys.exit(7)'])"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    before, after = process.stdout.split()
    assert process.returncode == 7
    assert (before == after) == has_signals


OF_SOME_SYSTEMS = (
    *(r"sys\.platform", r"\bos\.name\b", "O_NOFOLLOW", "O_DIRECTORY", "O_NONBLOCK", "dir_fd", "fcntl", r"os\.fork\b"),
    *("sched_", r"os\.nice", r"os\.link\(", "sysconf", "SIGHUP", "setsid"),
)


def test_no_other_file_asks_which_system_this_is():
    """No other file calls functions that only some systems have."""
    found = {
        path.name
        for path in Path(platforms.__file__).parents[1].rglob("*.py")
        if re.search("|".join(OF_SOME_SYSTEMS), path.read_text())
    }
    assert found == {"open_folder.py", "platforms.py"}
