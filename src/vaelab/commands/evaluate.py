"""`vaelab evaluate`: how good is it?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from vaelab.escapes import for_terminal
from vaelab.evaluation import evaluate, incomparable, warnings
from vaelab.runs.find_checkpoint import checkpoint_in
from vaelab.runs.folder import write_json
from vaelab.runs.run import Run

CAPTION = (
    "Nats per example. ± is one standard error over the examples of this split. It contains the noise of the draws of "
    "z, but not what another training seed would change, nor how far a bound lies from the truth.",
    "In expectation elbo and iw_K are lower bounds on log p. nll, bits_per_dim, regret and regret_paired are estimates "
    "whose expectation is an upper bound, which falls as --samples grows. ess and pareto_k are medians.",
    "mutual_information and aggregate_kl lie between two bounds, in expectation. The bounds depend on the number of "
    "examples, and meet only as it grows.",
)
PLACES = ("root", "path")  # the place of the data does not affect the numbers
HIDDEN = {"nll_change", "kl_per_dimension", "ess_min", "aggregated_examples", "latent_dim"}
LOW, HIGH = "_low", "_high"  # the two bounds of a quantity


def evaluate_run(
    run: Run,
    split: str = "test",
    samples: int = 5000,
    memory: int | None = None,
    seed: int = 0,
    overrides: Mapping[str, Any] = {},
) -> dict[str, Any]:
    """The report of one run: its numbers (`vaelab.evaluation.evaluate`) and what they can be compared with.

    Args:
        run: what `load_run` returned.
        split: train, val or test.
        samples: importance samples per example.
        memory: about how many bytes one chunk of decoded samples may take; on a CPU each of torch's threads has one.
        seed: of every draw.
        overrides: keys of the run's data config to change, such as `root`.
    """
    datamodule = run.ready_datamodule(overrides)
    batches = datamodule.batches(split)
    options = {} if memory is None else {"memory": memory}
    torch.manual_seed(seed)
    with tqdm(total=len(batches.x), unit=" examples", leave=False, disable=None) as bar:
        report = evaluate(run.vae, datamodule, split, samples, progress=bar.update, **options)
    config = run.config
    return report | {
        **datamodule.describe(),
        "checksum": datamodule.checksum(split),
        "beta": config["objective"].get("beta", 1.0),
        "min_std": config["model"].get("min_std"),
        "checkpoint": run.checkpoint.name,
        "seed": seed,
        "overrides": " ".join(f"{key}={value}" for key, value in overrides.items() if key not in PLACES),
    }


def comparability(report: Mapping[str, Any]) -> str:
    """One line: what kind of number the log p of a report is."""
    floor = "none" if report["min_std"] is None else _short(report["min_std"])
    kind = "log-density" if report["measure"] == "density" else "log-probability"
    return (
        f"{kind} per {report['per']} of {report['data']}, {report['split']} split; "
        f"binarisation: {report['binarisation']}; dequantisation: {report['dequantisation']}; "
        f"trained with beta {_short(report['beta'])}, sigma floor {floor}; "
        f"scored in {report.get('precision', 'unknown precision')}, sums in float64"
    )


def format_reports(names: Sequence[str], reports: Sequence[Mapping[str, Any]]) -> str:
    """A row per number and a column per run, then what the numbers mean, and whether you can compare them.

    Control characters from a run's files are shown as text.
    """
    keys = [_row(key) for report in reports for key, value in report.items() if _is_number(key, value)]
    rows = [("", *names), *((key, *(_cell(report, key) for report in reports)) for key in dict.fromkeys(keys))]
    rows = [tuple(map(for_terminal, row)) for row in rows]
    widths = [max(len(row[column]) for row in rows) + 2 for column in range(len(rows[0]))]
    lines = [
        "".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    lines += ["", *CAPTION]
    for name, report in zip(names, reports, strict=True):
        lines += ["", f"{name}: {comparability(report)}", *(f"warning: {sentence}" for sentence in warnings(report))]
    if reasons := incomparable(reports):
        lines += ["", f"These runs CANNOT be compared by their scores, because they differ in {'; '.join(reasons)}."]
    elif len({str(report["min_std"]) for report in reports}) > 1:
        lines += ["", "Compare with care: on data without noise, a lower sigma floor alone gives a higher density."]
    return "\n".join(map(for_terminal, lines))


def _short(value: Any) -> str:
    return f"{value:g}" if type(value) in (int, float) else str(value)


def _row(key: str) -> str:
    """The name of the row that shows a number: both bounds of a quantity share one."""
    return key.removesuffix(LOW).removesuffix(HIGH)


def _is_number(key: str, value: Any) -> bool:
    return (
        type(value) in (int, float) and not key.endswith("_stderr") and key not in HIDDEN | {"beta", "min_std", "seed"}
    )


def _cell(report: Mapping[str, Any], key: str) -> str:
    if f"{key}{LOW}" in report:
        return f"{_cell(report, f'{key}{LOW}')} to {_cell(report, f'{key}{HIGH}')}"
    value, error = report.get(key), report.get(f"{key}_stderr")
    if key == "active_units":
        return f"{value} of {report['latent_dim']}"
    if value is None or type(value) is int:
        return "-" if value is None else str(value)
    digits = 4 if key == "bits_per_dim" else 3
    return f"{value:.{digits}f}" if error is None else f"{value:.{digits}f} ± {error:.{digits}f}"


def write_report(run: Run, report: Mapping[str, Any]) -> Path:
    """Writes `evaluation.json` into the run's folder; another split, checkpoint or data gets a file of its own."""
    parts = ["evaluation"]
    parts += [report["split"]] if report["split"] != "test" else []
    parts += [run.checkpoint.stem] if run.checkpoint != checkpoint_in(run.folder) else []
    parts += ["changed"] if report["overrides"] else []
    path = run.folder / f"{'_'.join(parts)}.json"
    write_json(path, report)
    return path
