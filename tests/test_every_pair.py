"""Every two options of a model that can be chosen together train a step, traced and eager alike.

The rows are a covering array: each possible pair of options, and of ways to reach the encoder's gradient, is in one.
"""

from copy import deepcopy
from functools import cache

import pytest
import torch
from omegaconf import OmegaConf

from helpers.covering import covering_array, met_in
from helpers.options import GROUPS, SMALL, possible
from helpers.runner import ROOT, compose_config
from helpers.traced import assert_the_same
from vaelab.build import build_objective, build_vae
from vaelab.steps.purity import why_impure
from vaelab.steps.traced_gradient import TracedGradient

N, CLASSES = 9, 3
IMAGE, ROW = (6, 5), (4,)
KINDS, CATEGORIES = ["real", "count", "category", "binary"], [[], [], ["red", "green", "blue"], []]


@cache
def node(group, option):
    """The group's part of a config."""
    config = compose_config(ROOT, f"{group}={option}", "latent_dim=2", *SMALL.get(f"{group}={option}", []))
    return OmegaConf.to_container(config, resolve=True)[group]


def config_of(row):
    config = {
        group: deepcopy(node(group, row[group])) for group in ("model", "posterior", "prior", "network", "objective")
    }
    config["objective"] |= {"samples": 3} | ({"gradient": row["gradient"]} if "gradient" in config["objective"] else {})
    config["train_size"] = 10 * N
    if row["model"] == "columns":
        config |= {"column_kinds": KINDS, "column_categories": CATEGORIES}
    return config


ROWS = covering_array(GROUPS, possible)


def test_each_option_meets_each_other():
    met = {pair for row in ROWS for pair in met_in(row)}
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
    shape = ROW if row["model"] == "columns" else IMAGE
    vae = build_vae(config, shape, shape, condition)
    objective = build_objective(config, vae)
    assert why_impure(vae, objective) is None
    given = [] if condition is None else [torch.eye(CLASSES)[torch.arange(N) % CLASSES]]
    batch = vae.sample(N, *given), vae.sample(N, *given), *given
    traced = TracedGradient(vae, objective, batch)
    expected = assert_the_same(vae, objective, batch, traced)
    learned = [each for each in expected.gradients if each is not None]
    assert expected.loss.isfinite()
    assert all(each.isfinite().all() for each in learned)
    assert sum(bool(each.abs().sum() > 0) for each in learned) > len(learned) / 2
    with torch.no_grad():  # an optimiser step: the trace reads the parameters as they are
        for parameter in vae.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    assert_the_same(vae, objective, batch, traced)
