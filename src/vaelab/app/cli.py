"""The `vaelab` command: `vaelab train …` trains, and the other verbs use trained models."""

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from vaelab.app.arguments import parser
from vaelab.checks import check_seed
from vaelab.platforms import END_SIGNALS, become_program
from vaelab.standard_streams import complete_streams
from vaelab.typed_command import COMMAND

log = logging.getLogger(__name__)


def train(arguments: Sequence[str]) -> NoReturn:
    """Replaces this process by the program that trains.

    Hydra must not see the word `train`, and Lightning starts each of several processes with the same command.
    """
    os.environ[COMMAND] = "vaelab train"
    become_program([sys.executable, "-m", "vaelab.app", *arguments])


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the `vaelab` command. It exits with 0, or with one sentence and another code."""
    if arguments is None:  # the command itself
        if sys.argv[1:2] == ["train"]:
            train(sys.argv[2:])
        complete_streams()
        os.environ["MPLBACKEND"] = "agg"  # a notebook sets its own backend, which may be missing
    options = parser().parse_args(arguments)
    if arguments is None:  # these signals raise an exception, so unfinished files are removed
        for number in END_SIGNALS:
            signal.signal(number, lambda number, _: sys.exit(128 + number))
        logging.basicConfig(format="%(message)s")  # on stderr
        logging.getLogger("vaelab").setLevel(logging.INFO)
    try:
        run_verb(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit("interrupted; unfinished files are not written")
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        from vaelab.errors import one_sentence

        sys.exit(f"error: {one_sentence(error)}")


def run_verb(options: argparse.Namespace) -> None:
    """Runs the verb on the command line."""
    check_seed("--seed", options.seed)
    overrides = dict(_key_and_value(override) for override in getattr(options, "overrides", ()))
    if options.verb == "evaluate":
        _evaluate(options, overrides)
    elif options.verb == "export":
        from vaelab.commands.export import export
        from vaelab.runs.load import load_run

        _show(export(load_run(options.run, options.device, options.allow), options.output), options.output)
    elif options.verb == "compare":
        from vaelab.sweeps.summary import summarise

        _show(summarise(options.run, options.output)[1], options.output)
    elif options.verb == "list":
        _list(options)
    else:
        _write_file(options, overrides)


def _write_file(options: argparse.Namespace, overrides: dict[str, Any]) -> None:
    """Writes what a trained model computes from data, or draws."""
    import torch

    from vaelab.app.verbs import WRITE, checked_output
    from vaelab.runs.load import load_run

    output = checked_output(options)
    run = load_run(options.run, options.device, options.allow)
    torch.manual_seed(options.seed)
    _show(f"{output}  {WRITE[options.verb](run, output, options, overrides)}", output)


def _show(text: str, *written: Path | None) -> None:
    """Prints the results of a verb. If they are already in files, an output that cannot be written is only a warning.

    Raises:
        OSError: the results cannot be printed and are in no file, or the reader has closed the pipe.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        if not any(written):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # otherwise Python would try again at exit
        files = ", ".join(str(path) for path in written if path)
        log.warning("standard output cannot be written (%s), but the results are in %s", error.strerror, files)


def _list(options: argparse.Namespace) -> None:
    from vaelab.sweeps.list_runs import list_runs
    from vaelab.sweeps.list_tables import as_json, as_text

    folder = options.folder.expanduser()
    runs, keys = list_runs(folder, options.sort)
    _show(as_json(runs, keys) if options.json else as_text(runs, keys, folder, options.sort))


def _evaluate(options: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from vaelab.commands.evaluate import evaluate_run, write_report
    from vaelab.commands.report_text import format_reports
    from vaelab.runs.load import load_run

    runs = [load_run(path, options.device, options.allow) for path in options.run]
    amounts = {"samples": options.samples, "memory": options.memory and options.memory * 2**20, "seed": options.seed}
    amounts["draws"] = options.draws
    given = {name: amount for name, amount in amounts.items() if amount is not None}
    reports, written, problems = {}, [], []
    for path, run in zip(options.run, runs, strict=True):
        try:  # this took minutes, so write it at once: another run's error must not lose it
            reports[str(path)] = evaluate_run(run, options.split, **given, overrides=overrides)
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
        raise ValueError(f"--data must be KEY=VALUE, but is {override}; write for example --data root=/my/images")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
