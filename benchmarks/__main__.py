"""Measures: python -m benchmarks speed | growth | process | memory | evaluation | compile."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from math import prod
from pathlib import Path
from typing import Any

from benchmarks.cases import MNIST, SINE, cases, growth
from benchmarks.race import Quartiles, available, machine, matmul_rate, per_step, race, ratio
from benchmarks.turns import ROOT
from vaelab.evaluation import log_marginal_likelihood

COLUMNS = (
    f"{'':10}{'ms/step':>9}{'steps/s':>9}{'of matmul':>11}{'peak MB':>9}   {'times the bare loop':26}with validation"
)


def speed(asked: argparse.Namespace) -> dict[str, Any]:
    """Races every contender on each case."""
    chosen = ("bare", *(name for name in asked.only or available() if name != "bare"))
    found: dict[str, Any] = {}
    for name, case in cases(asked.data_root).items():
        if asked.cases and name not in asked.cases:
            continue
        names = [each for each in chosen if case.draws is None or each != "pythae"]  # its loop has the ELBO only
        size = 3 if name == "sine" else 784
        flops = 2 * case.multiply_adds(size)
        for repeat in range(asked.repeats):
            taken = race(case, names, asked.turns, asked.out, device=asked.device)
            rate = statistics.median(turn["flops"] for turn in taken["matmul"])
            print(f"\n{name}, repeat {repeat + 1}: {flops / 1e6:.3g} MFLOP a step, matmul {rate / 1e9:.0f} GFLOP/s")
            print(COLUMNS)
            rows = {contender: row(taken, contender, flops, rate) for contender in names}
            found.setdefault(name, []).append({"matmul_flops": rate, "flops_per_step": flops, "loops": rows})
    return found


def row(taken: dict[str, list[dict[str, Any]]], name: str, flops: float, rate: float) -> dict[str, Any]:
    """Prints and returns one contender's times."""
    seconds = statistics.median(per_step(taken[name], "train"))
    peak = max(turn["peak_bytes"] for turn in taken[name])
    train, whole = (ratio(taken, name, "bare", key) for key in ("train", "whole"))
    share = flops / seconds / rate
    print(
        f"{name:10}{seconds * 1e3:9.3f}{1 / seconds:9.0f}{share:10.0%} {peak / 1e6:9.0f}   {train!s:26}{whole or '-'}",
        flush=True,
    )
    return {
        "seconds_per_step": seconds,
        "steps_per_second": 1 / seconds,
        "share_of_matmul": share,
        "peak_bytes": peak,
        "times_bare": vars(train),
        "times_bare_with_validation": whole and vars(whole),
    }


def grow(asked: argparse.Namespace) -> dict[str, Any]:
    """The cost of a step against batch size, width, latents and data, as numbers and as a plot."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for key, sizes in growth(Path(folder)).items():
            for size, case in sizes:
                taken = race(case, ("bare", "train.py"), asked.turns, asked.out, warm_up=600)
                times = {name: Quartiles.of(per_step(taken[name], "train")) for name in ("bare", "train.py")}
                line = "   ".join(f"{name} {q.median * 1e3:7.3f} ms" for name, q in times.items())
                print(f"{key:16}{size:9,}   {line}", flush=True)
                found.setdefault(key, []).append({"size": size, **{name: vars(q) for name, q in times.items()}})
    plot(found, asked.out / "growth.png")
    return found


def plot(found: dict[str, Any], path: Path) -> None:
    """Milliseconds per step against each size, both axes logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7), layout="constrained")
    axes = figure.subplots(2, 2).flat
    for axis, (key, points) in zip(axes, found.items(), strict=True):
        sizes = [point["size"] for point in points]
        for name, colour, marker in (("bare", "#717581", "o"), ("train.py", "#3f90da", "s")):
            middle, low, high = ([1e3 * point[name][part] for point in points] for part in ("median", "low", "high"))
            axis.fill_between(sizes, low, high, color=colour, alpha=0.25, linewidth=0)
            axis.plot(sizes, middle, color=colour, marker=marker, label=name)
        axis.set(xscale="log", yscale="log", xlabel=key, ylabel="ms per step", ylim=(0.5, 50))
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes], minor=False)
        axis.set_xticks([], minor=True)
        axis.yaxis.set_major_formatter("{x:g}")
        axis.legend(frameon=False)
    figure.savefig(path, dpi=120)
    print(f"\nwritten {path}")


def process(asked: argparse.Namespace) -> dict[str, Any]:
    """Whole processes, from start to the printed table: `train.py` and the bare loop on 10 epochs of MNIST."""
    if asked.data_root is None:
        sys.exit(
            "error: process needs --data-root, because the bare loop downloads nothing; name the folder with MNIST"
        )
    ratios = []
    for repeat in range(asked.repeats):
        with tempfile.TemporaryDirectory() as folder:
            own = timed(
                "train.py", *MNIST, f"data.root={asked.data_root}", "trainer.max_epochs=10", f"hydra.run.dir={folder}"
            )
        bare = timed("-m", "benchmarks.bare_process", asked.data_root, "10")
        ratios.append(own / bare)
        print(f"repeat {repeat + 1}: train.py {own:.1f} s, bare loop {bare:.1f} s, ratio {own / bare:.2f}", flush=True)
    print(f"ratio {Quartiles.of(ratios)}")
    return {"ratios": ratios}


def timed(*command: str) -> float:
    """The seconds that a Python process takes."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: {command[0]} failed: {done.stderr.strip().splitlines()[-1]}")
    return time.perf_counter() - start


def memory(asked: argparse.Namespace) -> dict[str, Any]:
    """The peak memory of `train.py` over 200 epochs."""
    taken = race(SINE, ("train.py",), 200 // SINE.epochs, asked.out, warm_up=0)["train.py"]
    peaks = [turn["peak_bytes"] / 1e6 for turn in taken]
    print(f"peak MB, every {SINE.epochs} epochs up to 200: {', '.join(f'{peak:.1f}' for peak in peaks)}")
    return {"peak_megabytes": peaks}


def evaluation(asked: argparse.Namespace) -> dict[str, Any]:
    """Compares the decoder's rate, in log p by importance sampling on Burda et al.'s network, with matrix products."""
    case = cases(asked.data_root)["burda"]
    module, data = case.build()
    vae, x, samples = module.vae.eval(), data.test[:40], 5_000
    per_decode = 2 * sum(map(prod, case.layers(784)[1]))
    rates, shares = [], []
    for turn in range(asked.turns + 1):
        rate, start = matmul_rate(), time.perf_counter()
        log_marginal_likelihood(vae, x, samples=samples)
        seconds = time.perf_counter() - start
        if turn:  # the first one is a warm-up
            rates.append(rate)
            shares.append(per_decode * len(x) * samples / seconds / ((rate + matmul_rate()) / 2))
    share = Quartiles.of(shares)
    print(f"decoder's products at {share} of the matmul rate, {statistics.median(rates) / 1e9:.0f} GFLOP/s")
    return {"share_of_matmul": vars(share), "matmul_flops": statistics.median(rates), "flops_per_decode": per_decode}


def compiling(asked: argparse.Namespace) -> dict[str, Any]:
    """What compile=true costs, with an empty and with a full cache, and after how many steps it pays."""
    found: dict[str, Any] = {}
    for name, case in cases(asked.data_root).items():
        with tempfile.TemporaryDirectory() as cache:
            for state in ("empty", "full"):
                command = [sys.executable, "-m", "benchmarks.compiling", *case.overrides]
                environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache}
                done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f"error: compiling {name} failed: {done.stderr.strip().splitlines()[-1]}")
                took = json.loads(done.stdout)
                saved = took["traced"] - took["compiled"]
                steps = f"{took['seconds'] / saved:,.0f} steps" if saved > 0 else "never"
                gradient = f"gradient {took['recorded'] * 1e3:.2f} -> {took['compiled'] * 1e3:.2f} ms"
                line = f"{name:6} cache {state:6} compiling {took['seconds']:5.1f} s, {gradient}, pays after {steps}"
                print(line, flush=True)
                found.setdefault(name, {})[state] = took
    return found


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return int(text)


MEASURES = {
    "speed": speed,
    "growth": grow,
    "process": process,
    "memory": memory,
    "evaluation": evaluation,
    "compile": compiling,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", choices=list(MEASURES))
    parser.add_argument("--data-root", help="folder of the MNIST files; they are downloaded if you leave it out")
    parser.add_argument("--cases", nargs="+", choices=list(cases(None)), help="cases to race (default all)")
    parser.add_argument("--only", nargs="+", choices=available(), help="loops to race with bare (default all)")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cpu", help="device that speed trains on (default cpu)"
    )
    parser.add_argument("--turns", type=positive, default=11, help="turns of each contender (default 11)")
    parser.add_argument("--repeats", type=positive, default=3, help="how often everything is started again (default 3)")
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"), help="folder for JSON, plot and logs")
    asked = parser.parse_args()
    asked.out = asked.out.absolute()
    asked.out.mkdir(parents=True, exist_ok=True)
    found = MEASURES[asked.what](asked)
    path = asked.out / f"{asked.what}.json"
    path.write_text(json.dumps({"machine": machine(), asked.what: found}, indent=1))
    print(f"written {path}")


if __name__ == "__main__":
    main()
