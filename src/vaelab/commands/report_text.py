"""Reports of `vaelab evaluate` as text: a table, what its numbers mean, and what you can compare."""

from collections.abc import Mapping, Sequence
from typing import Any

from vaelab.decimals import decimals, kind_of_score
from vaelab.escapes import for_terminal, short
from vaelab.evaluation import incomparable, warnings

CAPTION = (
    "Nats per example. ± is one standard error over the examples of this split. It includes the noise of the draws of "
    "z, but not the effect of another training seed, nor the distance of a bound from the truth.",
    "In expectation, elbo and iw_K are lower bounds on log p. The expectations of nll, bits_per_dim, regret and "
    "regret_paired are upper bounds, which fall as --samples grows. ess and pareto_k are medians.",
    "mutual_information and aggregate_kl lie between two bounds, in expectation. The bounds depend on the number of "
    "examples, and meet only as it grows.",
)
LANDMARKS = {  # explained if they are in a report
    "baseline": "baseline is the mean log p of the likelihood without a latent, fitted to the training split. gain is "
    "the mean of log p̂ minus that of each example.",
    "ceiling": "ceiling is minus the entropy of the data's generator: in expectation, no model scores higher.",
    "mig": "mig, sap and dci_* compare the mean of q(z|x) with the data's known factors. 1 is best and 0 worst, but "
    "dci_informativeness is about dci_guessing for latents that tell nothing. Another training seed changes them far "
    "more than other examples would (docs/representation.md).",
    "draws_mmd2": "draws_* compare draws of the model with examples of the split. aggregate_draws_* do so for draws "
    "whose z comes from q(z|x) of other examples. If draws and data have the same distribution, mmd2 is 0 on average "
    "and accuracy [95 % interval] is 0.5; p is the chance of so large a value then. If only aggregate_draws_* come "
    "close to that, p(z) is to blame: good reconstructions, bad samples (docs/representation.md).",
}
FLOORS = ("min_std", "min_std_low", "min_std_high")
HIDDEN = {
    *("nll_change", "kl_per_dimension", "ess_min", "aggregated_examples", "latent_dim", "beta", "seed"),
    *(*FLOORS, "draws_bandwidth", "aggregate_draws_bandwidth"),
}
# Settings of an objective that change how it is trained or estimated, but not what its terms mean
HOW = ("gradient", "kl", "beta_schedule", "warmup", "cycles", "temperature")
UNUSED = {"free_bits": 0, "capacity": None}  # penalties that a run does not use
LOW, HIGH = "_low", "_high"  # the two bounds of a quantity


def format_reports(names: Sequence[str], reports: Sequence[Mapping[str, Any]]) -> str:
    """A row per number and a column per run, then what the numbers mean, and if you can compare them.

    Control characters from a run's files are escaped.
    """
    landmarks = [text for key, text in LANDMARKS.items() if any(key in report for report in reports)]
    lines = [*_table(names, reports), "", *CAPTION, *landmarks]
    for name, report in zip(names, reports, strict=True):
        lines += ["", f"{name}: {comparability(report)}", *estimates(report)]
        lines += [f"warning: {sentence}" for sentence in warnings(report)]
    if reasons := incomparable(reports):
        lines += ["", f"These runs CANNOT be compared by their scores, because they differ in {'; '.join(reasons)}."]
    elif len({str([report.get(key) for key in FLOORS]) for report in reports}) > 1:
        lines += ["", "Compare with care: on data without noise, just a lower sigma floor gives a higher density."]
    return "\n".join(map(for_terminal, lines))


def comparability(report: Mapping[str, Any]) -> str:
    """One line about the log p of a report: what kind of number it is."""
    kind = kind_of_score(report["measure"])
    given = f" given the {report['condition']}" if report.get("condition") else ""
    return (
        f"{kind} per {report['per']} of {report['data']}{given}, {report['split']} split; "
        f"binarisation: {report['binarisation']}; dequantisation: {report['dequantisation']}; "
        f"trained with {_training(report)}; "
        f"scored in {report.get('precision', 'unknown precision')}, sums in float64"
    )


def objective_settings(objective: Mapping[str, Any]) -> str:
    """The settings of an objective that change what its terms mean: `alpha=0.5, samples=5`."""
    used = {key: value for key, value in objective.items() if key not in UNUSED or value != UNUSED[key]}
    hidden = (*HOW, *(() if "capacity" in used else ("gamma",)))
    given = {key: value for key, value in used.items() if not key.startswith("_") and key not in hidden}
    return ", ".join(sorted(f"{key}={_short(value)}" for key, value in given.items()))


def _training(report: Mapping[str, Any]) -> str:
    """The objective with its settings, such as `IWAE(samples=5)`, and the floor of σ, if the likelihood has one."""
    given = str(report.get("objective_settings") or "")
    brackets = f"({given})" if given else ""
    objective = [short(f"{report['objective']}{brackets}", 200)] if report.get("objective") else []
    beta = [] if report.get("beta") is None or "beta=" in given else [f"beta {_short(report['beta'])}"]
    floor = "none" if report["min_std"] is None else _short(report["min_std"])
    if "min_std_low" in report:
        floor = f"{_short(report['min_std_low'])} to {_short(report['min_std_high'])} in the data's units"
    return ", ".join([*objective, *beta, f"sigma floor {floor}"])


def estimates(report: Mapping[str, Any]) -> list[str]:
    """Sentences about numbers that are estimated in this report, or mean something else than in others."""
    found = []
    if report.get("kl_by") == "draws":
        found.append("kl and elbo: KL(q ‖ p) has no closed form here, so it is estimated from the same draws as nll.")
    if (draws := report.get("moments_by", "closed form")) != "closed form":
        found.append(f"active_units: the mean of q(z|x) has no closed form, so it is estimated from {draws} of each.")
    if report.get("kl_per_dimension_by") == "moments":
        found.append(
            "kl_per_dimension, in evaluation.json: q or p is not Gaussian, so Gaussians with the same means and "
            "variances take its place, and the sum may differ from kl."
        )
    if report.get("prior_given"):
        found.append(
            "mutual_information and aggregate_kl: the prior is p(z|c), so these are I(x; z | c) and the mean of "
            "KL(q(z|c) ‖ p(z|c)) over c. active_units counts how far E_q[z_j] varies around the prior's mean."
        )
    return found


def _table(names: Sequence[str], reports: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = [_row(key) for report in reports for key, value in report.items() if _is_number(key, value)]
    rows = [("", *names), *((key, *(_cell(report, key) for report in reports)) for key in dict.fromkeys(keys))]
    rows = [tuple(map(for_terminal, row)) for row in rows]
    widths = [max(len(row[column]) for row in rows) + 2 for column in range(len(rows[0]))]
    return [
        "".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]


def _short(value: Any) -> str:
    return f"{value:g}" if type(value) in (int, float) else str(value)


def _row(key: str) -> str:
    """The name of the row that shows a number: both bounds of a quantity share one."""
    return key.removesuffix(LOW).removesuffix(HIGH)


def _is_number(key: str, value: Any) -> bool:
    return type(value) in (int, float) and not key.endswith("_stderr") and key not in HIDDEN


def _cell(report: Mapping[str, Any], key: str) -> str:
    if f"{key}{LOW}" in report and key in report:
        low, high = (decimals(report[f"{key}{end}"], 3) for end in (LOW, HIGH))
        return f"{decimals(report[key], 3)} [{low}, {high}]"
    if f"{key}{LOW}" in report:
        return f"{_cell(report, f'{key}{LOW}')} to {_cell(report, f'{key}{HIGH}')}"
    value, error = report.get(key), report.get(f"{key}_stderr")
    if key == "active_units":
        return f"{value} of {report['latent_dim']}"
    if value is None or type(value) is int:
        return "-" if value is None else str(value)
    if key.endswith("_p") and value < 0.001:
        return "< 0.001"
    digits = 4 if key == "bits_per_dim" else 3
    return decimals(value, digits) + ("" if error is None else f" ± {decimals(error, digits)}")
