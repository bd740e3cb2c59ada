"""Opens hostile run folders with every verb, and resumes them: python -m tests.drills.hostile.

Each command runs in a fork of this process, which has everything imported, inside a tree whose every file is hashed
before and after. Nothing outside the run's own folder may change, nothing may reach for the network or end with a
traceback, and nothing may take 5 s or 1 GB more than the same command on the good run that the folders are made from.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch

from tests.drills.hostile_folders import HOSTILE, victims
from tests.helpers.runner import compose_config

PROCESSES = 2
SECONDS, BYTES = 5.0, 2**30  # more than on the good run
TRIES = 3  # of a command that takes longer
KEYS = (
    *("trainer.max_epochs=2", "trainer.log_every_n_steps=1", "data.train_size=60", "data.val_size=20"),
    *("data.test_size=20", "data.batch_size=30", "network.hidden=[6]", "latent_dim=3", "scheduler=exponential"),
)
VERBS = {
    "evaluate": "evaluate RUN --samples 20",
    "encode": "encode RUN test -o out.csv",
    "reconstruct": "reconstruct RUN test -o out.csv",
    "sample": "sample RUN -n 5 -o out.csv",
    "traverse": "traverse RUN --steps 2 -o out.png",
    "compare": "compare RUN",
    "resume": "resume=RUN trainer.max_epochs=4",
}
NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.bind")
HOOK = """
import sys
def note(event, arguments, names={names!r}, path={path!r}):
    if event in names and getattr(arguments[0], "family", 0) != 1:  # a socket of this machine alone has family 1
        with open(path, "a") as file:
            file.write(f"{{event}}\\n")
        raise OSError("the drill has no network")
sys.addaudithook(note)
"""


class Ending(NamedTuple):
    """How a command ended: exit code, seconds, bytes of memory at most, what it printed, and its connections."""

    code: int
    seconds: float
    memory: int
    said: str
    connections: int


def digest(place: Path, own: Path) -> dict[str, tuple]:
    """Type, mode, link target and hash of all that lies in a tree, but for one folder."""
    found: dict[str, tuple] = {}
    waiting = [place]
    while waiting:
        for entry in os.scandir(waiting.pop()):
            info = entry.stat(follow_symlinks=False)
            if entry.path in (str(own), str(place / "log")):
                continue
            content: object = None
            if stat.S_ISDIR(info.st_mode):
                waiting.append(Path(entry.path))
            elif stat.S_ISLNK(info.st_mode):
                content = os.readlink(entry.path)
            elif stat.S_ISREG(info.st_mode):
                content = hashlib.sha256(Path(entry.path).read_bytes()).hexdigest()
            found[entry.path] = (stat.S_IFMT(info.st_mode), stat.S_IMODE(info.st_mode), content)
    return found


def run_command(verb: str, run: Path, place: Path, limit: float) -> Ending:
    """Runs it in a fork, in a working folder beside the runs."""
    log, noted = place / "log" / "said.txt", place / "log" / "connections.txt"
    for path in (log, noted):
        path.unlink(missing_ok=True)
    began = time.monotonic()
    if not (process := os.fork()):
        _become(VERBS[verb], run, place, log, noted)
    while True:
        ended, status, used = os.wait4(process, os.WNOHANG)
        if ended:
            break
        if time.monotonic() - began > limit:
            os.killpg(process, signal.SIGKILL)
            _, status, used = os.wait4(process, 0)
            break
        time.sleep(0.01)
    seconds = time.monotonic() - began
    said = log.read_bytes().decode(errors="replace") if log.exists() else ""
    connections = len(noted.read_text().splitlines()) if noted.exists() else 0
    for path in (place / "work").glob("out.*"):
        path.unlink()
    return Ending(os.waitstatus_to_exitcode(status), seconds, used.ru_maxrss * 1024, said, connections)


def _become(command: str, run: Path, place: Path, log: Path, noted: Path) -> None:
    """The fork becomes the command."""
    code = 1
    try:
        os.setpgid(0, 0)
        output = os.open(log, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(place / "work")
        exec(HOOK.format(names=NETWORK, path=str(noted)), {})
        arguments = [argument.replace("RUN", str(run)) for argument in command.split()]
        if command.startswith("resume"):
            from vaelab.app.main import resume_run

            resume_run(arguments)
        else:
            from vaelab.app.cli import main

            main(arguments)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def make_tree(place: Path, good: Path) -> None:
    """The sandbox: a good run, hostile ones beside it, a home, a working folder, and victims."""
    for name in ("runs", "home", "work", "log"):
        (place / name).mkdir(parents=True)
    victims(place / "outside")
    shutil.copytree(good, place / "good")


def tried(name: str, verb: str, place: Path, usual: Ending) -> tuple[Ending, list[str]]:
    """Makes a hostile folder and uses it once. Returns the result, and the changes outside."""
    run = place / "runs" / "hostile"
    shutil.copytree(place / "good", run)
    HOSTILE[name](run, place / "outside")
    before = digest(place, run)
    end = run_command(verb, run, place, usual.seconds + 2 * SECONDS)
    after = digest(place, run)
    shutil.rmtree(run)
    changed = [path for path in sorted(before.keys() | after.keys()) if before.get(path) != after.get(path)]
    if changed:  # what one has damaged must not count against the next
        shutil.rmtree(place / "outside")
        victims(place / "outside")
    return end, [f"{path} has changed" for path in changed]


def faults(name: str, place: Path, usual: dict[str, Ending]) -> list[str]:
    """Lists what the verbs do wrong with one hostile folder, a line each."""
    found = []
    for verb in VERBS:
        end, wrong = tried(name, verb, place, usual[verb])
        for _ in range(TRIES - 1):
            if end.seconds > usual[verb].seconds + SECONDS:  # the machine may be busier than it was
                usual[verb] = max(usual[verb], usual_ending(verb, place), key=lambda end: end.seconds)
                again, changed = tried(name, verb, place, usual[verb])
                end, wrong = min(end, again, key=lambda end: end.seconds), wrong + changed
        if end.connections:
            wrong.append(f"{end.connections} connections")
        if "Traceback" in end.said or end.code < 0:
            wrong.append(f"exit code {end.code}: {end.said[-300:]!r}")
        if end.code > 0 and "error: " not in end.said:
            wrong.append(f"exit code {end.code} without a sentence: {end.said[-300:]!r}")
        if any(character in end.said for character in "\x1b\x07\u202e"):
            wrong.append("control characters in what is printed")
        if end.seconds > usual[verb].seconds + SECONDS:
            wrong.append(f"{end.seconds:.1f} s in place of {usual[verb].seconds:.1f} s")
        if end.memory > usual[verb].memory + BYTES:
            wrong.append(f"{end.memory / BYTES:.1f} GB in place of {usual[verb].memory / BYTES:.1f} GB")
        found += [f"{name}, {verb}: {line}" for line in wrong]
        said = end.said.strip().splitlines()
        print(json.dumps([name, verb, end.code, round(end.seconds, 1), (said or [""])[-1][:300], wrong]), flush=True)
    return found


def usual_ending(verb: str, place: Path) -> Ending:
    """How a command ends on the good run."""
    run = shutil.copytree(place / "good", place / "runs" / "usual")
    end = run_command(verb, run, place, 120.0)
    shutil.rmtree(run)
    return end


def work(place: Path, names: list[str]) -> list[str]:
    """Runs all verbs on some folders, and lists what is wrong."""
    usual = {}
    for verb in VERBS:
        ends = [usual_ending(verb, place) for _ in range(2)]
        if ends[-1].code:
            return [f"the good run, {verb}: {ends[-1].said[-500:]}"]
        usual[verb] = max(ends, key=lambda end: end.seconds)
    return [line for name in names for line in faults(name, place, usual)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.drills.hostile", description=__doc__)
    parser.add_argument("names", nargs="*", help="of the folders; all unless given")
    asked = parser.parse_args()
    names = asked.names or list(HOSTILE)
    torch.set_num_threads(1)
    place = Path(tempfile.mkdtemp(prefix="hostile-drill-")).resolve()
    os.environ |= {"HOME": str(place / "home"), "MPLCONFIGDIR": str(place / "matplotlib"), "XDG_CACHE_HOME": str(place)}
    (place / "hook").mkdir()
    (place / "hook" / "sitecustomize.py").write_text(HOOK.format(names=NETWORK, path=str(place / "connections.txt")))
    os.environ["PYTHONPATH"] = str(place / "hook")  # for the processes that a command starts

    import pyarrow.csv
    import pyarrow.parquet  # noqa: F401

    from vaelab.app.start import train

    train(compose_config(place / "good", *KEYS))
    began, workers = time.monotonic(), []
    for index in range(PROCESSES):
        make_tree(place / str(index), place / "good")
        out = place / f"{index}.txt"
        if not (process := os.fork()):
            with out.open("w") as file:
                os.dup2(file.fileno(), 1)
            found = work(place / str(index), names[index::PROCESSES])
            print(json.dumps(found), flush=True)
            os._exit(0)
        workers.append((process, out))
    bad = []
    print("| folder | command | exit code | seconds | last line |\n|---|---|---|---|---|")
    for process, out in workers:
        os.waitpid(process, 0)
        *rows, found = out.read_text().splitlines()
        bad += json.loads(found)
        for name, verb, code, seconds, said, _ in map(json.loads, rows):
            print(f"| {name} | {verb} | {code} | {seconds} | {said.replace(str(place), '')} |")
    if (place / "connections.txt").exists():
        bad.append("a process that a command started reached for the network")
    minutes = (time.monotonic() - began) / 60
    print(
        f"\n{len(names)} folders, {len(names) * len(VERBS)} commands, {len(bad)} faults, {minutes:.1f} min",
        *bad,
        sep="\n",
    )
    if bad:
        sys.exit(1)
    shutil.rmtree(place)


if __name__ == "__main__":
    main()
