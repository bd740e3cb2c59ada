"""The `vaelab` command: `vaelab train …` trains, and the other verbs use trained models."""

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from vaelab.checks import SPLITS, check_seed
from vaelab.platforms import END_SIGNALS
from vaelab.standard_streams import complete_streams
from vaelab.typed_command import COMMAND

EPILOG = """RUN   a run's folder (outputs/<date>/<time>, multirun/<date>/<time>/<job>) or one of its checkpoints
DATA  train, val or test, or a file: .npy .npz .csv .tsv .parquet, an IDX file, a folder of images
FILE  .npz .csv .parquet, or .png for a picture"""
SEED = "of every draw but those of pixels, which data.seed of the run decides (default 0)"
COMPARE = "which configuration is best, and how sure is that: runs and sweeps side by side"
LATENTS = "which, from 1 (default: the ten of most KL where the run has been evaluated, or else the first ten)"
OVERRIDES = "a key of the run's data to change, such as root=/where/the/files/are"

TRAIN = "train a VAE or a sweep of them, or resume a run"

log = logging.getLogger(__name__)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; `{self.prog} --help` shows how\n")


def parser() -> Parser:
    """The command line of every verb."""
    main = Parser("vaelab", description="Train VAEs and use them.", epilog=EPILOG, formatter_class=_Plain)
    main.add_argument("--version", action=_Version, nargs=0, help="print the version of vaelab")
    verbs = main.add_subparsers(metavar="VERB", required=True, parser_class=Parser)
    verbs.add_parser("train", help=f"{TRAIN}; `vaelab train --help` shows how", add_help=False)

    def verb(name: str, text: str, runs: str | None = None) -> Parser:
        added = verbs.add_parser(name, help=text, description=f"{text}.", epilog=EPILOG, formatter_class=_Plain)
        added.set_defaults(verb=name)
        added.add_argument("run", metavar="RUN", type=Path, nargs=runs, help="a run's folder or a checkpoint")
        return added

    evaluate = verb("evaluate", "how good is it: log p by importance sampling, bounds, use of the latents", "+")
    evaluate.add_argument("--samples", type=int, default=5000, help="importance samples per example (default 5000)")
    evaluate.add_argument("--split", choices=SPLITS, default="test", help="default test")
    evaluate.add_argument("--memory", type=int, metavar="MB", help="memory of one chunk of samples, per thread")

    encode = verb("encode", "what are the latents of these data: mean and std of q(z|x)")
    encode.add_argument("data", metavar="DATA", help="what to encode")
    encode.add_argument("--samples", type=int, default=0, help="draws of z ~ q(z|x) per row, beside mean and std")

    reconstruct = verb("reconstruct", "what comes back of these data: mean and a draw of p(t|z), z the mean of q(z|x)")
    reconstruct.add_argument("data", metavar="DATA", help="what to reconstruct")

    sample = verb("sample", "what has it learned to draw: t ~ p(t|z), z ~ p(z)")
    sample.add_argument("-n", type=int, default=64, help="how many (default 64)")
    sample.add_argument(
        "--show",
        choices=("mean", "sample"),
        help="in a picture: the mean of p(t|z), or a draw of it (default: mean of images, draws of points)",
    )

    traverse = verb("traverse", "what does each latent do: p(t|z) along one latent at a time, or over both of two")
    traverse.add_argument("--steps", type=int, help="values per latent (default 11, or 20 where latent_dim is 2)")
    traverse.add_argument("--latents", type=int, nargs="+", metavar="J", help=LATENTS)
    traverse.add_argument("--span", type=float, default=3.0, help="how many standard deviations of p(z) (default 3)")

    compare = verbs.add_parser("compare", help=COMPARE, description=f"{COMPARE}.", formatter_class=_Plain)
    compare.set_defaults(verb="compare", seed=0)
    compare.add_argument("run", metavar="DIR", type=Path, nargs="+", help="a run's folder, or that of a sweep")
    compare.add_argument("-o", "--output", metavar="FOLDER", type=Path, help="for summary.csv, summary.md and plots")

    for added in (encode, reconstruct, sample, traverse):
        added.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="where to write")
    for added in (evaluate, encode, reconstruct, sample, traverse):
        added.add_argument("--seed", type=int, default=0, help=SEED)
        added.add_argument("--device", default="cpu", help="cpu (default) or cuda")
        added.add_argument("--allow", action="append", default=[], metavar="PACKAGE", help="your own classes' package")
    for added in (evaluate, encode, reconstruct):
        added.add_argument("--data", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help=OVERRIDES)
    return main


class _Plain(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the epilog."""


class _Version(argparse.Action):
    """Prints the version, which is looked up only if someone asks."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        import vaelab

        print(f"vaelab {vaelab.__version__}")
        parser.exit()


def train(arguments: Sequence[str]) -> NoReturn:
    """Replaces this process by the one that trains.

    Hydra must not see the word `train`, and Lightning's launcher of several processes starts each by the same command.
    """
    os.environ[COMMAND] = "vaelab train"
    command = [sys.executable, "-m", "vaelab.app", *arguments]
    if os.name == "nt":  # there `execv` returns to the shell at once
        sys.exit(subprocess.call(command))
    os.execv(sys.executable, command)


def main(arguments: Sequence[str] | None = None) -> None:
    """The `vaelab` command; exits 0, or with one sentence and another code."""
    if arguments is None:  # the command itself
        if sys.argv[1:2] == ["train"]:
            train(sys.argv[2:])
        complete_streams()
        os.environ["MPLBACKEND"] = "agg"  # a notebook sets its own backend, which may be missing
    options = parser().parse_args(arguments)
    if arguments is None:  # these signals end it by an exception, so that unfinished files are removed
        for number in END_SIGNALS:
            signal.signal(number, lambda number, _: sys.exit(128 + number))
        logging.basicConfig(format="%(message)s")  # on stderr
        logging.getLogger("vaelab").setLevel(logging.INFO)
    try:
        run_verb(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit("interrupted: what was not finished is not written")
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        from vaelab.errors import one_sentence

        sys.exit(f"error: {one_sentence(error)}")


def run_verb(options: argparse.Namespace) -> None:
    """Does what the command line says."""
    check_seed("--seed", options.seed)
    overrides = dict(_key_and_value(override) for override in getattr(options, "overrides", ()))
    if options.verb == "evaluate":
        _evaluate(options, overrides)
        return
    if options.verb == "compare":
        from vaelab.sweeps.summary import summarise

        _show(summarise(options.run, options.output)[1], options.output)
        return
    import torch

    from vaelab.commands import latents
    from vaelab.runs.load import load_run
    from vaelab.tables import check_table_path

    output = check_table_path(options.output, *((".png",) if options.verb != "encode" else ()))
    if options.verb == "traverse" and output.suffix.lower() != ".png":
        raise ValueError(f"-o must name a .png file, because traverse draws a picture, but is {output}")
    if "data" in options and output.exists() and Path(options.data).exists() and output.samefile(options.data):
        raise ValueError(f"{output} holds the data themselves, which would be lost; give -o another name")
    run = load_run(options.run, options.device, options.allow)
    torch.manual_seed(options.seed)
    if options.verb == "encode":
        written = latents.encode(run, options.data, output, options.samples, overrides)
    elif options.verb == "reconstruct":
        written = latents.reconstruct(run, options.data, output, options.seed, overrides)
    elif options.verb == "sample":
        written = latents.sample(run, options.n, output, options.show, options.seed)
    else:
        shown = latents.traverse(run, output, options.steps, options.span, options.latents)
    _show(f"{output}  {shown if options.verb == 'traverse' else f'{written} rows'}", output)


def _show(text: str, *written: Path | None) -> None:
    """Prints what a verb has found. If it is in files already, a full standard output is a warning.

    Raises:
        OSError: it cannot be printed and is in no file, or whoever read has seen enough.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        if not any(written):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the end of the process would try again
        files = ", ".join(str(path) for path in written if path)
        log.warning("standard output cannot be written (%s), but the results are in %s", error.strerror, files)


def _evaluate(options: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from vaelab.commands.evaluate import evaluate_run, format_reports, write_report
    from vaelab.runs.load import load_run

    runs = [load_run(path, options.device, options.allow) for path in options.run]
    memory = None if options.memory is None else options.memory * 2**20
    reports, written, problems = {}, [], []
    for path, run in zip(options.run, runs, strict=True):
        try:  # minutes of work: what is done is written at once, and no other run's trouble loses it
            reports[str(path)] = evaluate_run(run, options.split, options.samples, memory, options.seed, overrides)
            written.append(write_report(run, reports[str(path)]))
        except (ValueError, OSError) as error:
            problems.append(error)
    if reports:
        table = format_reports(list(reports), list(reports.values()))
        _show("\n".join([table, "", *(f"written {path}" for path in written)]), *written)
    if problems:
        raise problems[0]


def _key_and_value(override: str) -> tuple[str, Any]:
    key, equals, value = override.partition("=")
    if not equals or not key.isidentifier():
        raise ValueError(f"--data must be KEY=VALUE, as in --data root=/my/images, but is {override}")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
