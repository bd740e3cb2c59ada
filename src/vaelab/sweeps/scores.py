"""Finds the score of a run, and its meaning: only runs with the same meaning can be compared."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaelab.escapes import short
from vaelab.files import read_small

ELBO = "val/elbo"  # it means the same under every objective, and ranks the runs of version 0.1
BOUND = "val/bound"  # the default of the key `score`
LOWER_IS_BETTER = ("loss", "nll", "kl", "error", "mse", "rmse", "mae")  # last words of such tags
CONFIGS = ("hparams.yaml", ".hydra/config.yaml")  # a run's settings; the first file has every value filled in
LARGEST_CONFIG = 1 << 20  # bytes
LARGEST_PART, BRACKETS = 4_000, 100  # characters, and opening brackets, of the lines about one key
HOW = (
    "gradient",
    "kl",
    "temperature",
)  # keys of an objective that change how its terms are estimated, but not what they mean


def is_lower_better(tag: str) -> bool:
    """True if the lowest number is the best.

    >>> is_lower_better("val/bound"), is_lower_better("test/nll (5000 samples)")
    (False, True)
    """
    return tag.split(" ")[0].split("/")[-1].split("_")[-1] in LOWER_IS_BETTER


def score_of(folder: Path, metrics: Mapping[str, Any]) -> str:
    """The tag of a run's score: the value of its key `score`, or the default of the version that trained it.

    Args:
        folder: the folder of the run.
        metrics: its final numbers.

    Raises:
        OSError, ValueError: the run's config cannot be read.
    """
    named = read_setting(folder, "score")
    return named if isinstance(named, str) else BOUND if BOUND in metrics else ELBO


def compared_by(folder: Path, score: str, metrics: Mapping[str, float]) -> str:
    """The meaning of a run's score, such as `IWAE(samples=5)`. Scores can be compared if tag and meaning agree.

    A bound that is the ELBO itself can be compared with every other such bound, under any objective.

    Raises:
        OSError, ValueError: the run's config cannot be read.
    """
    if score == ELBO or (ELBO in metrics and metrics.get(score) == metrics[ELBO]):
        return "ELBO"
    settings = read_setting(folder, "objective")
    if not isinstance(settings, dict):
        return "an unknown objective"
    name = str(settings.get("_target_", "")).removeprefix("vaelab.objectives.")
    given = [f"{key}={value}" for key, value in settings.items() if not key.startswith("_") and key not in HOW]
    return short(f"{name}({', '.join(sorted(given))})", 200)


def read_setting(folder: Path, key: str) -> Any:
    """The value of one key of a run's config; None if the run has no config, or its config has no such key.

    This parses only the lines about that key, so it is fast, and safe for any file.

    Raises:
        OSError, ValueError: the config cannot be read.
    """
    for name in CONFIGS:
        try:
            text = read_small(folder / name, LARGEST_CONFIG).decode()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except ValueError as error:
            raise ValueError(f"{name} must be a small text file: {error}") from error
        found = re.search(rf"^{key}:.*(?:\n[ -].*)*", text, re.MULTILINE)
        return None if found is None else _parsed(found[0], key, name)
    return None


def _parsed(lines: str, key: str, name: str) -> Any:
    """The value of a key in some lines of YAML. `name` is the file, for the error."""
    import yaml

    wrong = f"{key} in {name} must be a few lines of plain YAML"
    # References could stand for endless text, and brackets inside each other take long to parse.
    if len(lines) > LARGEST_PART or re.search("[&*]", lines) or len(re.findall(r"[\[{]", lines)) > BRACKETS:
        raise ValueError(wrong)
    try:
        return yaml.safe_load(lines)[key]
    except (yaml.YAMLError, RecursionError, TypeError) as error:
        raise ValueError(f"{wrong}, but cannot be read") from error
