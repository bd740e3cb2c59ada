"""Folders of finished runs, made by hand."""

import json

from vaelab.runs.run_state import State, write_state

MNIST = {"measure": "density", "per": "image", "data": "MNIST"}


def write_run(folder, score, overrides=(), data=MNIST, nll=None, samples=5000, **metrics):
    """A finished run: every ELBO and log-likelihood is `score`, every KL 0.5, unless `metrics` says otherwise."""
    folder.mkdir(parents=True)
    numbers = {f"{split}/{term}": score for split in ("val", "test") for term in ("elbo", "log_likelihood")}
    write_object(folder / "metrics.json", numbers | {"val/kl": 0.5, "test/kl": 0.5} | metrics)
    write_object(folder / "data.json", data)
    write_state(folder, State("done", "", tuple(overrides), ",".join(overrides), None, 12.5))
    if nll is not None:
        report = data | {"split": "test", "samples": samples, "nll": nll, "checkpoint": "best.ckpt", "overrides": ""}
        write_object(folder / "evaluation.json", report)
    return folder


def write_object(path, values):
    path.write_text(json.dumps(values))
