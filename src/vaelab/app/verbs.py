"""The verbs that write a file: each takes a run, the file and the options, and returns what it wrote, in words."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vaelab.commands.conditions import is_every, kind_of
from vaelab.commands.encode import encode
from vaelab.commands.interpolate import interpolate, place_of
from vaelab.commands.reconstruct import reconstruct
from vaelab.commands.sample import sample
from vaelab.commands.score import score_rows, summary, warn_if_unreliable
from vaelab.commands.score_conditions import score_conditions, summary_of_conditions
from vaelab.commands.traverse import traverse
from vaelab.evaluation import SAMPLES
from vaelab.runs.run import Run
from vaelab.tables import check_table_path

Options = argparse.Namespace
Overrides = dict[str, Any]
ONLY_TABLES = ("encode", "score")


def checked_output(options: Options) -> Path:
    """The file that -o names, checked before anything is computed.

    Raises:
        ValueError, OSError: the verb cannot write such a file, or the file holds the data themselves.
    """
    output = check_table_path(options.output, *((".png",) if options.verb not in ONLY_TABLES else ()))
    if options.verb == "traverse" and output.suffix.lower() != ".png":
        raise ValueError(f"-o must name a .png file, because traverse draws a picture, but is {output}")
    named = [options.data] if "data" in options else []
    if options.verb == "interpolate":
        named = [place_of(text).data for text in (options.start, options.end)]
    for data in map(Path, named):
        if output.exists() and data.expanduser().exists() and output.samefile(data.expanduser()):
            raise ValueError(
                f"-o must not name the data themselves, which would be lost, but is {output}; choose another"
            )
    return output


def _encode(run: Run, output: Path, options: Options, overrides: Overrides) -> str:
    return f"{encode(run, options.data, output, options.samples, overrides, options.condition)} rows"


def _interpolate(run: Run, output: Path, options: Options, overrides: Overrides) -> str:
    ends = options.start, options.end
    return interpolate(run, *ends, output, options.steps, options.path, overrides, options.condition)


def _reconstruct(run: Run, output: Path, options: Options, overrides: Overrides) -> str:
    more = overrides, options.condition, options.decode_as
    return f"{reconstruct(run, options.data, output, options.seed, *more)} rows"


def _sample(run: Run, output: Path, options: Options, overrides: Overrides) -> str:
    about = ""
    if options.latents != "prior":
        from vaelab.commands.latents import with_latents

        run, table = with_latents(run, options.latents, options.condition, options.seed, overrides)
        about = f"\n\n{table}"
    return f"{sample(run, options.n, output, options.show, options.seed, options.condition)} rows{about}"


def rows_in_words(n: int) -> str:
    """How many rows were written, such as `1 row`."""
    return f"{n:,} {'row' if n == 1 else 'rows'}"


def _score(run: Run, output: Path, options: Options, overrides: Overrides) -> str:
    samples = SAMPLES if options.samples is None else options.samples
    if is_every(run, options.condition):
        every = score_conditions(run, options.data, output, samples, options.seed, overrides)
        return f"{rows_in_words(every.rows)}\n\n{summary_of_conditions(every, samples)}"
    scored = score_rows(run, options.data, output, samples, options.seed, overrides, options.condition)
    warn_if_unreliable(scored, samples)
    return f"{rows_in_words(scored.rows)}\n\n{summary(scored, samples, kind_of(run))}"


def _traverse(run: Run, output: Path, options: Options, overrides: Overrides) -> str:
    span = {} if options.span is None else {"span": options.span}
    return traverse(run, output, options.steps, dimensions=options.latents, condition=options.condition, **span)


WRITE: dict[str, Callable[[Run, Path, Options, Overrides], str]] = {
    "encode": _encode,
    "interpolate": _interpolate,
    "reconstruct": _reconstruct,
    "sample": _sample,
    "score": _score,
    "traverse": _traverse,
}
