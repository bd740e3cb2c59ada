"""Reading run folders, and the reasons if a folder cannot be read."""

import json
import math
import os
import time
import tracemalloc

import pytest

from helpers.run_folders import MNIST, write_object, write_run
from vaelab.runs.run_state import State, write_state
from vaelab.sweeps.ranking import why_not
from vaelab.sweeps.rows import read_row, read_rows
from vaelab.sweeps.run_files import LARGEST_FILE
from vaelab.sweeps.summary import summarise


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def link(target):
    def change(path):
        path.unlink()
        path.symlink_to(target)

    return change


def folder(path):
    path.unlink()
    path.mkdir()


def two_gigabytes(path):
    with path.open("r+b") as file:
        file.truncate(2 << 30)


def text(contents):
    return lambda path: path.write_text(contents)


def changed(**values):
    return lambda path: write_object(path, json.loads(path.read_text()) | values)


def number(tag, value):
    return changed(**{tag: value})


DEEP = "[" * 100_000
DIGITS = "9" * 5000
BROKEN = {
    "a pipe": ("metrics", pipe, "metrics.json must be"),
    "a pipe of states": ("state", pipe, "state.json must be"),
    "a link": ("metrics", link("/etc/hostname"), "metrics.json"),
    "a link to nothing": ("state", link("nowhere"), "state.json"),
    "a device": ("data", link("/dev/zero"), "data.json"),
    "a folder": ("metrics", folder, "metrics.json"),
    "2 GB": ("metrics", two_gigabytes, "metrics.json"),
    "half of it": ("metrics", text('{"val/elbo": -1'), "metrics.json is not JSON (Expecting ',' delimiter"),
    "nothing": ("state", text(""), "state.json is not JSON (Expecting value"),
    "no UTF-8": ("data", lambda path: path.write_bytes(b'{"data": "\xff\xfe"}'), "data.json is not JSON ('utf-8'"),
    "an open nest": ("metrics", text(DEEP), "metrics.json is nested too deeply"),
    "a closed nest": ("data", text('{"data": ' + DEEP + "]" * 100_000 + "}"), "data.json is nested too deeply"),
    "a list": ("metrics", text("[1, 2]"), "metrics.json must hold a JSON object, but holds [1, 2]"),
    "a number as text": ("metrics", number("val/elbo", "-1.5"), "must be a number, but is '-1.5'"),
    "a truth value": ("metrics", number("val/elbo", True), "'val/elbo' in metrics.json must be a number, but is True"),
    "a list of null": ("metrics", number("test/kl", [None]), "must be a number, but is [None]"),
    "a list as number": ("metrics", number("val/elbo", [[-1.0]]), "must be a number, but is [[-1.0]]"),
    "an object as number": ("metrics", number("val/elbo", {"a": {"b": 1}}), "must be a number, but is {'a': {'b': 1}}"),
    "too many numbers": ("metrics", changed(**{f"t{i}": 0.0 for i in range(2000)}), "at most 1000 numbers"),
    "hundreds of digits": ("metrics", text('{"val/elbo": ' + DIGITS + "}"), "its val/elbo is inf"),
    "a huge exponent": ("metrics", text('{"val/elbo": 1e999}'), "its val/elbo is inf"),
    "an overflow": ("metrics", text('{"val/elbo": -1e300}'), "its val/elbo is -1e+300"),
    "NaN": ("metrics", text('{"val/elbo": NaN}'), "its val/elbo is nan"),
    "infinity": ("metrics", text('{"val/elbo": Infinity}'), "its val/elbo is inf"),
    "another state": ("state", changed(state="finished"), "must be one of pending, running, done, failed, but is 'fin"),
    "a state in a list": ("state", changed(state=["done"]), "but is ['done']"),
    "overrides as text": ("state", changed(overrides="seed=1"), "must be a list of at most 200 texts"),
    "overrides without end": ("state", changed(overrides=["a=1"] * 201), "must be a list of at most 200 texts"),
    "a number as override": ("state", changed(overrides=[7]), "state.json must hold a text in place of 7"),
    "a reason in a list": ("state", changed(reason=["why"]), "state.json must hold a text in place of ['why']"),
    "an empty object": ("state", text("{}"), "state in state.json must be one of"),
    "seconds as text": ("state", changed(seconds="12"), "seconds in state.json must be a number, but is '12'"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "change", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_malformed_run_is_a_row_that_says_what_is_wrong(name, change, reason, tmp_path):
    for seed in (1, 2):
        for size in (2, 10):
            write_run(tmp_path / f"{size},{seed}", -seed - size / 10, (f"latent_dim={size}", f"seed={seed}"))
    change(write_run(tmp_path / "bad", 7.0, ("latent_dim=5", "seed=1")) / f"{name}.json")
    began = time.monotonic()
    left, summary = summarise([tmp_path], None)
    assert time.monotonic() - began < 5
    ranked, left_out = (table.splitlines() for table in summary.split("\n\n")[:2])
    assert [line.split()[:3] for line in ranked[2:]] == [["2", "2", "-1.700"], ["10", "2", "-2.500"]]
    title, head, line = left_out
    assert (title, head.split()[-1]) == ("not compared", "reason")
    assert reason in line
    assert len(line) < 260
    assert left == ("unreadable" in line)


@pytest.mark.parametrize("change", [two_gigabytes, text(DEEP), text('{"val/elbo": ' + DIGITS + "}")])
def test_a_malformed_run_takes_no_memory(change, tmp_path):
    run = write_run(tmp_path / "bad", 7.0)
    change(run / "metrics.json")
    tracemalloc.start()
    read_row(run)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10 * LARGEST_FILE


def test_a_run_without_state_or_numbers_is_pending(tmp_path):
    for name, state in {"new": "pending", "killed": "running"}.items():
        (tmp_path / name).mkdir()
        write_state(tmp_path / name, State(state))
    rows = {row.folder.name: (row.state, row.reason) for row in read_rows([tmp_path])}
    assert rows == {"new": ("pending", ""), "killed": ("pending", "was killed")}


def test_null_is_a_number_that_is_not_finite(tmp_path):
    write_run(tmp_path / "own", -1.0, **{"val/mine": None})
    write_run(tmp_path / "lost", -1.0, **{"val/elbo": None})
    rows = {row.folder.name: row for row in read_rows([tmp_path])}
    assert {name: why_not(row) for name, row in rows.items()} == {"own": "", "lost": "its val/elbo is nan"}
    assert math.isnan(rows["own"].metrics["val/mine"])


def test_a_folder_that_may_not_be_read_is_a_row(tmp_path, monkeypatch):
    write_run(tmp_path / "good", -1.0)
    (tmp_path / "closed").mkdir()
    scandir = os.scandir
    monkeypatch.setattr("os.scandir", lambda path: scandir("/nowhere" if path.name == "closed" else path))
    rows = read_rows([tmp_path])
    assert [row.folder.name for row in rows] == ["closed", "good"]


def test_folders_are_searched_at_any_depth_without_following_links(tmp_path):
    write_run(tmp_path / "a" / "b" / "c" / "d", -1.0)
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert [row.folder.name for row in read_rows([tmp_path])] == ["d"]


def test_the_nll_says_how_many_samples_stand_behind_it(tmp_path):
    row = read_row(write_run(tmp_path / "a", -2.0, nll=1.5, samples=50))
    assert {tag: value for tag, value in row.metrics.items() if "nll" in tag} == {"test/nll (50 samples)": 1.5}
    last = write_run(tmp_path / "b", -2.0, nll=1.5)
    changed(checkpoint="last.ckpt")(last / "evaluation.json")
    assert "test/nll (5000 samples of last.ckpt)" in read_row(last).metrics


@pytest.mark.parametrize(
    ("change", "remark"),
    [
        (changed(split="val"), "is about other data (it differs in its split)"),
        (changed(overrides="noise_std=0.5"), "is about other data (it differs in its split)"),
        (changed(per="row of 3 numbers"), "is about other data (it differs in per)"),
        (changed(samples="many"), "must hold an nll"),
        (changed(samples=0), "must hold an nll"),
        (changed(nll=None), "must hold an nll"),
        (text("[]"), "must hold a JSON object"),
        (pipe, "must be"),
        (two_gigabytes, "bytes"),
    ],
)
def test_an_nll_of_something_else_is_left_out_with_a_remark(change, remark, tmp_path):
    run = write_run(tmp_path / "a", -2.0, nll=1.5)
    change(run / "evaluation.json")
    row = read_row(run)
    assert row.metrics == {k: v for k, v in row.metrics.items() if "nll" not in k}
    assert (row.state, row.metrics["val/elbo"]) == ("done", -2.0)
    assert row.remark.startswith("test/nll is left out, because evaluation.json")
    assert remark in row.remark
    assert f"a: {row.remark}" in " ".join(summarise([run], None)[1].split())


def test_the_seed_of_an_evaluation_is_not_that_of_the_data(tmp_path):
    run = write_run(tmp_path / "a", -2.0, data=MNIST | {"seed": 3}, nll=1.5)
    changed(seed=0)(run / "evaluation.json")
    assert read_row(run).metrics["test/nll (5000 samples)"] == 1.5


def test_data_may_be_described_by_any_json(tmp_path):
    data = MNIST | {"names": ["age", "height"], "seed": 3, "read": "300 rows of a.csv"}
    row = read_row(write_run(tmp_path / "a", -2.0, data=data))
    assert row.data == MNIST | {"names": '["age", "height"]', "seed": "3"}
    assert math.isfinite(row.seconds)


def test_a_run_of_version_0_1_is_read(tmp_path):
    """A run of an older version has no data.json, or no state.json."""
    for name in ("data.json", "state.json"):
        run = write_run(tmp_path / name, -2.0)
        (run / name).unlink()
        assert read_row(run).metrics["val/elbo"] == -2.0
        assert read_row(run).state == "done"


def test_the_largest_file_is_read(tmp_path):
    run = write_run(tmp_path / "a", -2.0)
    contents = (run / "metrics.json").read_bytes()
    (run / "metrics.json").write_bytes(contents + b" " * (LARGEST_FILE - len(contents)))
    assert read_row(run).state == "done"
    (run / "metrics.json").write_bytes(contents + b" " * (LARGEST_FILE + 1 - len(contents)))
    assert read_row(run).state == "unreadable"
