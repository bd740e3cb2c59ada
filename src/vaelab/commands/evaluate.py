"""`vaelab evaluate`: how good is it?"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vaelab.checks import check_whole
from vaelab.commands.report_text import objective_settings
from vaelab.evaluation import DRAWS, MEMORY, SAMPLES, evaluate
from vaelab.progress import examples_bar
from vaelab.runs.find_checkpoint import checkpoint_in
from vaelab.runs.folder import write_json
from vaelab.runs.run import Run

log = logging.getLogger(__name__)
PLACES = ("root", "path")  # the place of the data does not affect the numbers


def evaluate_run(
    run: Run,
    split: str = "test",
    samples: int = SAMPLES,
    memory: int = MEMORY,
    seed: int = 0,
    overrides: Mapping[str, Any] = {},
    draws: int = DRAWS,
) -> dict[str, Any]:
    """The report of one run: its numbers (`vaelab.evaluation.evaluate`), and facts that decide what to compare.

    Args:
        run: the run, from `load_run`.
        split: train, val or test.
        samples: importance samples per example.
        memory: about how many bytes one chunk of decoded samples may take; on a CPU, each of torch's threads holds one.
        seed: the seed of all draws.
        overrides: keys of the run's data config to change, such as `root`.
        draws: how many draws of the model to compare with the split; 0 compares none.
    """
    check_whole("--draws", draws, 0)
    datamodule = run.ready_datamodule(overrides)
    trained = run.config.get("fingerprint")
    if split != "train" and trained is not None and datamodule.fingerprint() != trained:
        log.warning(
            "the data or their splits differ from those that the run was trained on, so the %s split may hold examples "
            "that it was trained on; evaluate it with the old data",
            split,
        )
    batches = datamodule.batches(split)
    torch.manual_seed(seed)
    with examples_bar(len(batches.x)) as bar:
        report = evaluate(run.vae, datamodule, split, samples, memory, bar.update, run.baseline, draws)
    if "mig" in report and "dci_completeness" not in report:
        log.warning("dci is left out, because it needs scikit-learn; install it with: pip install 'vaelab[digits]'")
    return report | {
        **datamodule.describe(),
        "checksum": datamodule.checksum(split),
        **_training(run),
        "checkpoint": run.checkpoint.name,
        "seed": seed,
        "overrides": " ".join(f"{key}={value}" for key, value in overrides.items() if key not in PLACES),
    }


def _training(run: Run) -> dict[str, Any]:
    """The settings of training that affect the numbers: the objective, its β, and the likelihood's floor of σ.

    β is None for an objective without one, and the floor is None for a likelihood without one. If a model standardises,
    its floor is in standardised units, so the range in the data's units is given too.
    """
    objective = run.config.get("objective") or {}
    return {
        "objective": str(objective.get("_target_", "")).split(".")[-1] or None,
        "objective_settings": objective_settings(objective),
        "beta": objective.get("beta"),
        **_floor(getattr(run.vae.decoder, "family", None), getattr(run.vae.decoder, "output_units", None)),
    }


def _floor(family: Any, units: Any) -> dict[str, float | None]:
    """The floor of σ, and the least and the largest of it over the numbers of a target, in the data's units."""
    kinds = getattr(family, "kinds", None)  # only some columns of a mixed table have a σ
    floor = getattr(family, "min_std", None) if kinds is None or "real" in kinds else None
    if floor is None or units is None:
        return {"min_std": floor}
    scale = units.scale.flatten()
    if kinds is not None:
        scale = scale[[kind == "real" for kind in kinds]]
    return {"min_std": floor, "min_std_low": floor * scale.min().item(), "min_std_high": floor * scale.max().item()}


def write_report(run: Run, report: Mapping[str, Any]) -> Path:
    """Writes `evaluation.json` into the run's folder. Another split, checkpoint or data get a separate file."""
    parts = ["evaluation"]
    parts += [report["split"]] if report["split"] != "test" else []
    parts += [run.checkpoint.stem] if run.checkpoint != checkpoint_in(run.folder) else []
    parts += ["changed"] if report["overrides"] else []
    path = run.folder / f"{'_'.join(parts)}.json"
    write_json(path, report)
    return path
