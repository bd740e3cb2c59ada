"""One line about a run, for a notebook."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaelab.escapes import for_terminal, short
from vaelab.files import read_json

if TYPE_CHECKING:
    from vaelab.runs.run import Run

LARGE = 1e6  # from here on, numbers have an exponent
MOST = 40  # the most letters of a name


def line_about(run: "Run") -> str:
    """Such as `Run(outputs/2026-11-22/16-56-34: gaussian on sin(x+y), latent_dim 2, test ELBO -0.71 ± 0.02)`.

    The ± is the standard error that `vaelab evaluate` found, if it has measured this run.
    """
    latent_dim = run.vae.latent_shape.numel()
    facts = f"{_model(run)} on {_data(run)}, latent_dim {latent_dim}, {_score(run)}"
    return f"Run({for_terminal(_short_path(run.folder))}: {for_terminal(facts)})"


def _short_path(folder: Path) -> Path:
    """The folder from the working folder, if it lies inside."""
    with suppress(OSError, ValueError):  # the working folder is gone, or the run lies elsewhere
        return folder.absolute().relative_to(Path.cwd())
    return folder


def _model(run: "Run") -> str:
    """The option of the likelihood, or its class."""
    choice = (run.config.get("choices") or {}).get("model")
    return short(str(choice), MOST) if choice else type(run.vae.decoder.family).__name__


def _data(run: "Run") -> str:
    """The file or the folder that the data came from, or else their name without details."""
    config = run.config.get("data") or {}
    if isinstance(path := config.get("path"), str):
        return short(Path(path).name, MOST)
    if isinstance(name := _read(run.folder / "data.json").get("data"), str):
        return short(name.partition(" on [")[0].partition(", ")[0], MOST)
    return str(config.get("_target_", "unknown data")).split(".")[-1]


def _score(run: "Run") -> str:
    """The ELBO of the test split, or else of the validation split."""
    report = _read(run.folder / "evaluation.json")
    elbo, error = report.get("elbo"), report.get("elbo_stderr")
    of_these_weights = report.get("checkpoint") == run.checkpoint.name and report.get("split") == "test"
    if of_these_weights and isinstance(elbo, float) and isinstance(error, float):
        return f"test ELBO {_number(elbo)} ± {_number(error)}"
    metrics = run.metrics
    split = next((split for split in ("test", "val") if f"{split}/elbo" in metrics), None)
    return f"{split} ELBO {_number(metrics[f'{split}/elbo'])}" if split else "no final numbers yet"


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < LARGE else f"{value:.3g}"


def _read(path: Path) -> dict[str, Any]:
    """The contents of a small JSON file; empty if there is none, or if it was edited by hand."""
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
