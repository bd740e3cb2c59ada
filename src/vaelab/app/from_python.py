"""`vaelab.train`: trains from Python what the command line would train."""

import codecs
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from omegaconf import OmegaConf

from vaelab.app.compose import compose, compose_with_hydra
from vaelab.platforms import interrupt_process
from vaelab.progress import CellOutput, environment_of_a_run, is_notebook

if TYPE_CHECKING:
    from vaelab.runs.run import Run

MULTIRUN = ("-m", "--multirun", "hydra.mode=MULTIRUN")
PATIENCE = 20.0  # seconds that an interrupted run has to save its weights


class RunFailed(RuntimeError):
    """Raised when a run or a sweep ends with an error. The message is one sentence."""


def train(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> "Run | list[Run]":
    """Trains like `vaelab train OVERRIDES`, in a separate process, and shows its output.

    If you press Ctrl-C, or *interrupt* in a notebook, the run saves its weights and ends. Then
    `vaelab.train(["resume=FOLDER"])` resumes it.

    Args:
        overrides: the overrides, as on the command line, such as `["model=bernoulli", "latent_dim=20"]`; `"-m"` starts
            a sweep.
        config_dir: a folder with your own options, like `--config-dir`.

    Returns:
        The trained run, as `vaelab.load_run` returns it. For a sweep: a list of its runs, sorted by folder.

    Raises:
        ValueError: no config can be composed from the overrides.
        RunFailed: the run failed, or one run of a sweep did. The other runs of the sweep are in its folder.

    >>> run = train(["latent_dim=5", "trainer.max_epochs=1"])  # doctest: +SKIP
    >>> run.metrics["test/elbo"]  # doctest: +SKIP
    -1.1539
    """
    from vaelab.runs.admitted import packages
    from vaelab.runs.load import load_run
    from vaelab.sweeps.cells import quoted

    if isinstance(overrides, str):
        raise ValueError(f"overrides must be a list, but is {overrides!r}; write [{overrides!r}]")
    if any(each.startswith("resume=") for each in overrides):
        return _resume(overrides)
    given = [each for each in overrides if each not in MULTIRUN]
    multirun = len(given) < len(overrides)
    options = [] if config_dir is None else [f"--config-dir={Path(config_dir).expanduser().absolute()}"]
    hydra = compose_with_hydra(given, config_dir, multirun=multirun).hydra
    folder = Path(hydra.sweep.dir if multirun else hydra.run.dir).expanduser().absolute()
    if multirun:
        _run(["-m", *options, *given, f"hydra.sweep.dir={quoted(folder)}"])
        return _runs_of_a_sweep(folder, given, config_dir)
    _run([*options, *given, f"hydra.run.dir={quoted(folder)}"])
    return load_run(folder, allow=packages(OmegaConf.to_container(compose(given, config_dir))))


def _resume(arguments: Sequence[str]) -> "Run":
    """Resumes a run as `vaelab train resume=FOLDER` does."""
    from vaelab.app.resume import allowed_packages
    from vaelab.runs.load import load_run

    _run(arguments)
    given = dict(argument.split("=", 1) for argument in arguments)
    return load_run(Path(given["resume"]).expanduser(), allow=allowed_packages(given.get("allow", "")))


def _runs_of_a_sweep(folder: Path, given: Sequence[str], config_dir: str | Path | None) -> "list[Run]":
    """The runs of a finished sweep."""
    from vaelab.runs.admitted import packages
    from vaelab.runs.load import load_run
    from vaelab.runs.run_state import read_state
    from vaelab.sweeps.cells import cells_in

    settings = [each for each in given if each.startswith(("hydra.", "hydra/"))]  # such as hydra.searchpath
    runs = []
    for name in sorted(cells_in(folder).values()):
        if (state := read_state(folder / name)) and state.state == "done":
            config = OmegaConf.to_container(compose([*settings, *state.overrides], config_dir))
            runs.append(load_run(folder / name, allow=packages(config)))
    return runs


def _run(arguments: Sequence[str]) -> None:
    """Runs `vaelab train ARGUMENTS`, and shows its output immediately.

    Raises:
        RunFailed: it ended with an error.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "vaelab.app", *arguments],
        env=os.environ | _variables(arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so Ctrl-C reaches it only once, from here
    )
    assert isinstance(process.stdout, BufferedReader)
    try:
        said = _show(process.stdout)
        code = process.wait()
    except KeyboardInterrupt:
        _interrupt(process)
        raise
    if code:
        raise RunFailed(_sentence(said, code))


def _variables(arguments: Sequence[str]) -> dict[str, str]:
    """Variables with which a run finds the same modules, and draws its progress bar. A sweep prints a line per run."""
    bar = {} if "-m" in arguments else environment_of_a_run(sys.stdout)
    return bar | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _show(output: BufferedReader) -> str:
    """Prints a stream as it arrives, and returns its last part."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    shown: TextIO | CellOutput = CellOutput() if is_notebook(sys.stdout) else sys.stdout
    said = ""
    while chunk := output.read1(2**16):
        text = decoder.decode(chunk)
        shown.write(text)
        shown.flush()
        said = (said + text)[-(2**16) :]
    if isinstance(shown, CellOutput):
        shown.close()
    return said


def _interrupt(process: "subprocess.Popen[bytes]") -> None:
    """Interrupts a run, which then saves its weights. Kills it if it doesn't end, or if the user interrupts again."""
    killer = threading.Timer(PATIENCE, process.kill)
    killer.daemon = True
    interrupt_process(process)
    killer.start()
    try:
        assert isinstance(process.stdout, BufferedReader)
        _show(process.stdout)
        process.wait()
    except KeyboardInterrupt:
        process.kill()
    finally:
        killer.cancel()


def _sentence(said: str, code: int) -> str:
    """The last sentence of a run that failed."""
    lines = [line for line in said.replace("\r", "\n").splitlines() if line.strip()]
    for line in reversed(lines):
        if line.startswith("error: "):
            return line.removeprefix("error: ")
    return f"{lines[-1].strip() if lines else 'the run said nothing'} (exit code {code})"
