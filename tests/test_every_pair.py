"""Every two options of a model that can be chosen together train a step, traced and eager alike.

The rows are a covering array: each possible pair of options, and of ways to reach the encoder's gradient, is in one.
"""

from copy import deepcopy
from functools import cache

import pytest
import torch
from omegaconf import OmegaConf
from torch.testing import assert_close

from helpers.covering import covering_array, pairs_of
from helpers.runner import ROOT, compose_config
from vaelab.build import build_objective, build_vae
from vaelab.steps.gradient import gradient
from vaelab.steps.purity import why_impure
from vaelab.steps.traced_gradient import TracedGradient

N, CLASSES = 9, 3
IMAGE = (6, 5)
GROUPS = {
    group: sorted(path.stem for path in (ROOT / "conf" / group).glob("*.yaml"))
    for group in ("model", "posterior", "prior", "network", "objective")
} | {
    "gradient": ["pathwise", "score_function", "score_function_baseline"],
    "condition": ["none", "label"],
}
SMALL = {  # tracing takes a fifth of a second, and longer for what has many layers
    "posterior=flow": ["posterior.transforms=1", "posterior.hidden=[5]", "posterior.bins=3", "posterior.context=2"],
    "prior=vamp": ["prior.components=3"],
    "network=mlp": ["network.hidden=[7]"],
    "model=categorical": ["model.categories=3"],
    "model=discretized_logistic": ["model.levels=5"],
    "model=low_rank": ["model.rank=2"],
}


def possible(row):
    """False if the builder refuses two of the choices in a row."""
    gradient_of, objective = row.get("gradient", "pathwise"), row.get("objective", "elbo")
    return not (
        (objective == "iwae" and gradient_of != "pathwise")
        or (row.get("prior") == "vamp" and row.get("condition") == "label")
    )


@cache
def node(group, option):
    """The group's part of a config."""
    config = compose_config(ROOT, f"{group}={option}", "latent_dim=2", *SMALL.get(f"{group}={option}", []))
    return OmegaConf.to_container(config, resolve=True)[group]


def config_of(row):
    config = {
        group: deepcopy(node(group, row[group])) for group in ("model", "posterior", "prior", "network", "objective")
    }
    if "gradient" in config["objective"]:
        config["objective"] |= {"gradient": row["gradient"], "samples": 3}
    return config


ROWS = covering_array(GROUPS, possible)


def test_each_option_meets_each_other():
    met = {pair for row in ROWS for pair in pairs_of(row)}
    for group, options in GROUPS.items():
        for other, others in GROUPS.items():
            if group < other:
                for option in options:
                    for one in others:
                        pair = {group: option, other: one}
                        assert (frozenset(pair.items()) in met) == possible(pair), pair
    assert len(ROWS) < 400


@pytest.mark.parametrize("row", ROWS, ids=["-".join(row[group] for group in GROUPS) for row in ROWS])
def test_two_options_train_together_traced_and_eager_alike(row):
    torch.manual_seed(0)
    config, condition = config_of(row), (CLASSES,) if row["condition"] == "label" else None
    vae = build_vae(config, IMAGE, IMAGE, condition)
    objective = build_objective(config, vae)
    assert why_impure(vae, objective) is None
    given = [] if condition is None else [torch.eye(CLASSES)[torch.arange(N) % CLASSES]]
    x = vae.sample(N, *given)
    traced = TracedGradient(vae, objective, (x, x, *given))
    torch.manual_seed(1)
    eager = gradient(vae, objective, x, x, *given)
    torch.manual_seed(1)
    found = traced(x, x, *given)
    assert_close(found.sums, eager.sums, rtol=0, atol=0)
    for ours, theirs in zip(found.gradients, eager.gradients, strict=True):
        assert_close(ours, theirs, rtol=0, atol=0)
    learned = [each for each in eager.gradients if each is not None]
    assert eager.loss.isfinite()
    assert all(each.isfinite().all() for each in learned)
    assert sum(bool(each.abs().sum() > 0) for each in learned) > len(learned) / 2
