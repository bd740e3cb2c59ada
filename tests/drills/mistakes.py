"""Makes typical mistakes, and shows the message of each: python -m tests.drills.mistakes -o docs/mistakes.md.

Every line is a command in a process of its own, in a folder of made files. A mistake must end with one sentence, no
traceback and an exit code that is not 0, and leave every file as it was.
"""

import argparse
import hashlib
import pickle
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from tests.drills.typed_mistakes import FINE, LABELLED, SHORT, TRAIN, VAELAB
from tests.helpers.idx_files import random_images, write_idx_images, write_small_mnist
from tests.helpers.runner import ROOT, messages

SPECIAL, ESCAPED = r"([|<>*_])", r"\\\1"  # of Markdown
HEAD = """# What mistakes end with

`python -m tests.drills.mistakes -o docs/mistakes.md` made this table: {count} commands, each in a process of its own.

"""


def prepare(place: Path) -> None:
    """Makes the files that the mistakes are about."""
    images = random_images(40, 5, 7)
    for name, damage in {
        "images": {},
        "truncated": {"keep": 100},
        "magic": {"magic": 0x801},
        "promise": {"declared": (2**32 - 1,) * 3},
    }.items():
        (place / name).mkdir()
        write_idx_images(place / name / "train-images-idx3-ubyte", images, **damage)
        write_idx_images(place / name / "t10k-images-idx3-ubyte", images)
    write_small_mnist(place / "cut", train=60, test=20, rows=5, columns=7, gz=True)
    whole = (place / "cut" / "train-images-idx3-ubyte.gz").read_bytes()
    (place / "cut" / "train-images-idx3-ubyte.gz").write_bytes(whole[:60])
    rows = np.random.default_rng(0).normal(size=(40, 4))
    np.save(place / "rows.npy", rows)
    np.save(place / "wide.npy", np.zeros((4, 3)))
    np.save(place / "few.npy", rows[:7])
    np.save(place / "words.npy", rows.astype(str))
    np.save(place / "objects.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    np.save(place / "nan.npy", np.where(np.arange(160).reshape(40, 4) == 7, np.nan, 0.0))
    np.save(place / "nan3.npy", np.where(np.arange(9).reshape(3, 3) == 7, np.nan, 0.0))
    promise = bytearray((place / "rows.npy").read_bytes())
    (place / "promise.npy").write_bytes(promise.replace(b"(40, 4), }      ", b"(4000000000, 4)}"))
    with zipfile.ZipFile(place / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**10, 4)})
        file.write(bytes(1 << 24))
    (place / "ragged.csv").write_text("1,2,3\n4,5\n")
    (place / "rows.txt").write_text("1 2 3\n")
    mixed = [f"{age},{index % 4},{'abc'[index % 3]}" for index, age in enumerate(rows[:, 0])]
    (place / "mixed.csv").write_text("\n".join(["age,visits,kind", *mixed]) + "\n")
    (place / "unlabelled.csv").write_text("age,visits\n0.5,3\n")
    (place / "empty").mkdir()
    (place / "pictures").mkdir()
    (place / "pictures" / "0.png").write_text("no picture")
    for name, keys in {"run": SHORT, "labelled": LABELLED}.items():
        command = [sys.executable, str(ROOT / "train.py"), *keys.split(), f"hydra.run.dir={name}"]
        subprocess.run(command, cwd=place, check=True, capture_output=True)
    for name in ("torn", "pickled", "hostile", "elsewhere"):
        shutil.copytree(place / "run", place / name)
        (place / name / "metrics.json").unlink()
    for path in (place / "torn" / "checkpoints").glob("*.ckpt"):
        path.write_bytes(path.read_bytes()[:-2000])
    for path in (place / "pickled" / "checkpoints").glob("*.ckpt"):
        path.write_bytes(pickle.dumps(shutil.rmtree))
    for name in ("hostile", "elsewhere"):
        for path in (place / name / "checkpoints").glob("*.ckpt"):
            content = torch.load(path, weights_only=True)
            if name == "hostile":
                content["hyper_parameters"]["network"]["_target_"] = "os.system"
            else:
                content["hyper_parameters"]["callbacks"]["best"]["dirpath"] = "/tmp/elsewhere"
            torch.save(content, path)


def digest(place: Path) -> dict[str, str]:
    """Every relevant file: name -> its hash."""
    files = (path for path in sorted(place.rglob("*")) if path.is_file())
    kept = (path for path in files if path.name not in (".lock", "train.log") and "outputs" not in path.parts)
    return {str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def ending(place: Path, command: list[str]) -> tuple[int, list[str]]:
    """Returns the exit code and the printed lines of a command, without the folder."""
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=180, check=False)
    said = (done.stderr.strip() or done.stdout.strip()).replace(f"{place}/", "").replace(str(ROOT), ".")
    return done.returncode, messages(said)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.drills.mistakes", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, help="a file for the table")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mistakes-") as folder:
        place = Path(folder)
        prepare(place)
        before = digest(place)
        typed = [(f"python train.py {line}", line) for lines in TRAIN.values() for line in lines]
        commands = [
            [sys.executable, str(ROOT / "train.py"), *shlex.split(line), *_folder(line, f"outputs/{index}")]
            for index, (_, line) in enumerate(typed)
        ]
        vaelab = str(Path(sys.executable).with_name("vaelab"))
        typed += [(f"vaelab {line}", line) for line in VAELAB]
        commands += [[vaelab, *shlex.split(line)] for line in VAELAB]
        with ThreadPoolExecutor(2) as pool:
            endings = list(pool.map(lambda command: ending(place, command), commands))
        after = digest(place)
    names = sorted(before.keys() | after.keys())
    bad = [f"{name} is not what it was" for name in names if before.get(name) != after.get(name)]
    rows = []
    for (shown, line), (code, said) in zip(typed, endings, strict=True):
        if len(said) != 1 or (code == 0) != (line in FINE) or any("Traceback" in part for part in said):
            bad.append(f"{shown}: exit code {code}, {said}")
        rows.append(f"| `{shown}` | {code} | {re.sub(SPECIAL, ESCAPED, ' '.join(said))} |")
    table = "\n".join(["| typed | exit code | printed |", "|---|---|---|", *rows])
    print(table)
    if asked.output:
        asked.output.write_text(HEAD.format(count=len(rows)) + table + "\n")
    print(f"\n{len(rows)} mistakes, {len(bad)} that end otherwise", *bad, sep="\n")
    sys.exit(bool(bad))


def _folder(line: str, otherwise: str) -> list[str]:
    """The folder of a run if the line names none: runs that start in the same second would share one."""
    return [] if re.search(r"resume=|hydra\.run\.dir=|-m", line) else [f"hydra.run.dir={otherwise}"]


if __name__ == "__main__":
    main()
