"""The arguments of the `vaelab` command. This imports neither torch nor Hydra, so its help appears at once."""

import argparse
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from vaelab.checks import SPLITS

RUN = "RUN   a run's folder (outputs/<date>/<time>, multirun/<date>/<time>/<job>) or one of its checkpoints"
TERMS = f"""{RUN}
DATA  train, val or test, or a file: .npy .npz .csv .tsv .parquet, an IDX file, a folder of images
FILE  .npz .csv .parquet, or .png for a picture"""
ROWS = "A, B  one row each, numbered from 0: test:3, wine.csv:0, images/:12, or a file that holds a single row"
TRAIN = "train a VAE or a sweep of VAEs, or resume a run; `vaelab train --help` shows how"
LIST = "list the runs below a folder: their states, their scores, and how they differ"
OVERRIDE = "KEY=VALUE…"  # the metavar of what `train` takes
COMPARE = "compare runs and sweeps: which configuration is best, and how sure that is"
FROM_FILE = "default: the labels in the data; needed if a file has none"
SEED = "the seed of all draws except pixels, which have the run's data.seed (default 0)"
LATENTS = "which latents, from 1 (default: the ten with the highest KL if the run is evaluated, else the first ten)"
OVERRIDES = "a key of the run's data to change, such as root=/where/the/files/are"


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one sentence.

    Attributes:
        completions: metavar -> how a shell completes it; only `vaelab.app.completion` sets it.
    """

    completions: ClassVar[dict[str, Any]] = {}

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """Adds an argument, which a shell can complete if its metavar is in `completions`."""
        action = super().add_argument(*names, **options)
        if options.get("metavar") in self.completions:
            vars(action)["complete"] = self.completions[options["metavar"]]
        return action

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; `{self.prog} --help` shows how\n")


class KeepLines(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the epilog, and gives the names of verbs and options enough room."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26)


class Version(argparse.Action):
    """Prints the version, which is looked up only on request."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        import vaelab

        print(f"vaelab {vaelab.__version__}")
        parser.exit()


def parser() -> Parser:
    """The parser of the command line, with all verbs."""
    main = Parser("vaelab", description="Train VAEs and use them.", epilog=TERMS, formatter_class=KeepLines)
    main.add_argument("-V", "--version", action=Version, nargs=0, help="print the version of vaelab")
    verbs = main.add_subparsers(metavar="VERB", required=True, parser_class=Parser)
    train = verbs.add_parser("train", help=TRAIN, add_help=False)
    if OVERRIDE in Parser.completions:  # otherwise Hydra reads them
        train.add_argument("overrides", metavar=OVERRIDE, nargs="*")
    _add_evaluate(verbs)
    _add_score(verbs)
    _add_encode(verbs)
    _add_reconstruct(verbs)
    _add_sample(verbs)
    _add_traverse(verbs)
    _add_interpolate(verbs)
    _add_export(verbs)
    _add_compare(verbs)
    _add_list(verbs)
    return main


def _add_evaluate(verbs: "argparse._SubParsersAction[Parser]") -> None:
    text = "measure how good models are: log p by importance sampling, bounds, use of the latents"
    evaluate = _add(verbs, "evaluate", text, runs="+", data=True)
    evaluate.add_argument("--samples", type=int, help="importance samples per example (default 5000)")
    evaluate.add_argument("--split", choices=SPLITS, default="test", help="default test")
    drawn = "how many draws of the model to compare with the data; 0 compares none (default 1000)"
    evaluate.add_argument("--draws", type=int, help=drawn)
    evaluate.add_argument("--memory", type=int, metavar="MB", help="memory of one chunk of samples, per thread")


def _add_score(verbs: "argparse._SubParsersAction[Parser]") -> None:
    text = "score each row of data, to find unusual ones: log p, ELBO, and how far to trust them"
    score = _add(verbs, "score", text, output=True, data=True)
    _add_condition(score, f"{FROM_FILE}; all: every class")
    score.add_argument("data", metavar="DATA", help="what to score")
    score.add_argument("--samples", type=int, help="importance samples per row (default 5000)")


def _add_encode(verbs: "argparse._SubParsersAction[Parser]") -> None:
    encode = _add(verbs, "encode", "write the latents of data: mean and std of q(z|x)", output=True, data=True)
    _add_condition(encode, FROM_FILE)
    encode.add_argument("data", metavar="DATA", help="what to encode")
    encode.add_argument("--samples", type=int, default=0, help="draws of z ~ q(z|x) per row, beside mean and std")


def _add_reconstruct(verbs: "argparse._SubParsersAction[Parser]") -> None:
    text = "write reconstructions of data: mean and a draw of p(t|z), where z is the mean of q(z|x)"
    reconstruct = _add(verbs, "reconstruct", text, output=True, data=True)
    _add_condition(reconstruct, FROM_FILE)
    text = "decode with this condition instead of the one of each row; all: with every class"
    reconstruct.add_argument("--as", dest="decode_as", metavar="CONDITION", help=text)
    reconstruct.add_argument("data", metavar="DATA", help="what to reconstruct")


def _add_sample(verbs: "argparse._SubParsersAction[Parser]") -> None:
    sample = _add(verbs, "sample", "draw new examples: z ~ p(z), t ~ p(t|z)", output=True, data=True)
    _add_condition(sample, "default: all classes in turn; all: each z with every class")
    sample.add_argument("-n", type=int, help="how many (default 64, or 10 styles with --condition all)")
    shown = "in a picture: the mean of p(t|z), or a draw of it (default: means of images, draws of points)"
    sample.add_argument("--show", choices=("mean", "sample"), help=shown)
    source = "where z comes from: the prior (default), or the latents of training examples (needs the run's data)"
    sample.add_argument("--latents", choices=("prior", "aggregate", "mixture", "flow"), default="prior", help=source)


def _add_traverse(verbs: "argparse._SubParsersAction[Parser]") -> None:
    text = "draw what each latent does: p(t|z) along one latent at a time, or over both if there are two"
    traverse = _add(verbs, "traverse", text, output=True)
    _add_condition(traverse, "default: the first class")
    traverse.add_argument("--steps", type=int, help="values per latent (default 11, or 20 if latent_dim is 2)")
    traverse.add_argument("--latents", type=int, nargs="+", metavar="J", help=LATENTS)
    traverse.add_argument("--span", type=float, help="how many standard deviations of p(z) (default 3)")


def _add_interpolate(verbs: "argparse._SubParsersAction[Parser]") -> None:
    text = "walk from one row to another: p(t|z) along a path between their means of q(z|x)"
    interpolate = _add(verbs, "interpolate", text, output=True, data=True, terms=f"{TERMS}\n{ROWS}")
    _add_condition(interpolate, "default: that of both rows")
    interpolate.add_argument("start", metavar="A", help="the row at the start, such as test:3")
    interpolate.add_argument("end", metavar="B", help="the row at the end, such as test:17")
    interpolate.add_argument("--steps", type=int, default=11, help="points of the path, ends included (default 11)")
    shape = "linear (default), or spherical: an arc around the mean of p(z)"
    interpolate.add_argument("--path", choices=("linear", "spherical"), default="linear", help=shape)


def _add_list(verbs: "argparse._SubParsersAction[Parser]") -> None:
    runs = verbs.add_parser("list", help=LIST, description=f"{LIST}.", formatter_class=KeepLines)
    runs.set_defaults(verb="list", seed=0)
    runs.add_argument("folder", metavar="FOLDER", type=Path, help="a folder of runs, such as outputs or multirun")
    order = "within a state: score (default), the best first, or date, the latest first"
    runs.add_argument("--sort", choices=("score", "date"), default="score", help=order)
    runs.add_argument("--json", action="store_true", help="print JSON, for scripts")


def _add_export(verbs: "argparse._SubParsersAction[Parser]") -> None:
    text = "write the encoder and the decoder for other programs: .onnx or .pt2, or all weights: .safetensors"
    _add(verbs, "export", text, output=True, terms=f"{RUN}\nFILE  .onnx .pt2 .safetensors")


def _add_compare(verbs: "argparse._SubParsersAction[Parser]") -> None:
    compare = verbs.add_parser("compare", help=COMPARE, description=f"{COMPARE}.", formatter_class=KeepLines)
    compare.set_defaults(verb="compare", seed=0)
    compare.add_argument("run", metavar="DIR", type=Path, nargs="+", help="the folder of a run or of a sweep")
    compare.add_argument("-o", "--output", metavar="FOLDER", type=Path, help="for summary.csv, summary.md and plots")


def _add_condition(verb: Parser, default: str) -> None:
    text = f"for a conditional model: a class by its name or number from 0, or columns such as age=30,sex=f ({default})"
    verb.add_argument("--condition", metavar="CONDITION", help=text)


def _add(
    verbs: "argparse._SubParsersAction[Parser]",
    name: str,
    text: str,
    runs: str | None = None,
    output: bool = False,
    data: bool = False,
    terms: str = TERMS,
) -> Parser:
    """Adds a verb that uses trained models, with the arguments that such verbs share."""
    verb = verbs.add_parser(name, help=text, description=f"{text}.", epilog=terms, formatter_class=KeepLines)
    verb.set_defaults(verb=name)
    verb.add_argument("run", metavar="RUN", type=Path, nargs=runs, help="a run's folder or a checkpoint")
    if output:
        verb.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="where to write")
    verb.add_argument("--seed", type=int, default=0, help=SEED)
    verb.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    verb.add_argument("--allow", action="append", default=[], metavar="PACKAGE", help="the package of your own classes")
    if data:
        verb.add_argument("--data", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help=OVERRIDES)
    return verb
