"""Every two options of a model that can be chosen together train a step, traced and eager alike.

The rows are a covering array: each possible pair of options, and of ways to reach the encoder's gradient, is in one.
"""

from copy import deepcopy
from functools import cache
from typing import get_args

import pytest
import torch
from omegaconf import OmegaConf

from helpers.covering import covering_array, pairs_of
from helpers.runner import ROOT, compose_config
from helpers.traced import assert_the_same
from vaelab.build import build_objective, build_vae
from vaelab.objectives.gradients import GradientName
from vaelab.steps.purity import why_impure
from vaelab.steps.traced_gradient import TracedGradient

N, CLASSES = 9, 3
IMAGE, ROW = (6, 5), (4,)
KINDS, CATEGORIES = ["real", "count", "category", "binary"], [[], [], ["red", "green", "blue"], []]
GROUPS = {
    group: sorted(path.stem for path in (ROOT / "conf" / group).glob("*.yaml"))
    for group in ("model", "posterior", "prior", "network", "objective")
} | {"gradient": list(get_args(GradientName)), "condition": ["none", "label"]}
SMALL = {  # tracing takes a fifth of a second, and longer for what has many layers
    "model=categorical": ["model.categories=3"],
    "model=low_rank": ["model.rank=2"],
    "model=discretized_logistic": ["model.levels=17", "model.components=2"],
    "posterior=flow": ["posterior.transforms=1", "posterior.hidden=[5]", "posterior.bins=3", "posterior.context=2"],
    "posterior=mixture": ["posterior.components=2"],
    "posterior=categorical": ["posterior.categories=3"],
    "posterior=two_layers": ["posterior.hidden=[5]"],
    "prior=two_layers": ["prior.hidden=[5]"],
    "prior=conditional": ["prior.hidden=[4]"],
    "prior=categorical": ["prior.family.categories=3"],
    "prior=vamp": ["prior.components=3"],
    "prior=mixture": ["prior.components=3"],
    "prior=flow": ["prior.transforms=1", "prior.hidden=[5]"],
    "network=mlp": ["network.hidden=[7]"],
    "network=gated_mlp": ["network.hidden=[7]"],
    "network=conv": ["network.channels=[3]", "network.hidden=[7]"],
    "network=residual": ["network.channels=[3]", "network.hidden=[7]"],
}
DISCRETE = ("bernoulli", "categorical")  # posteriors, with priors of the same name
ELBOS = ("elbo", "elbo_constant_beta", "elbo_monte_carlo")
PATHWISE_ONLY = ("beta_tc", "info")  # objectives that have no key gradient
BY_MONTE_CARLO = ("flow", "mixture", "two_layers", "vamp")  # posteriors and priors without a KL in closed form


def possible(row):
    """False if the builder refuses some of the choices in a row, or in a part of one."""
    posterior, prior, way = (row.get(group) for group in ("posterior", "prior", "gradient"))
    objective, network = row.get("objective"), row.get("network")
    if posterior and prior and posterior != prior and {posterior, prior} & {*DISCRETE}:
        return False
    if way == "gumbel_softmax" and ((posterior and posterior not in DISCRETE) or (prior and prior not in DISCRETE)):
        return False
    if way in ("pathwise", "stl", "dreg") and (posterior in DISCRETE or prior in DISCRETE):
        return False
    if way == "dreg" and (posterior == "mixture" or objective in ELBOS):
        return False
    if way == "vimco" and objective in ELBOS:
        return False
    if objective in PATHWISE_ONLY and (way not in (None, "pathwise") or posterior in DISCRETE or prior in DISCRETE):
        return False
    if objective == "beta_tc" and posterior not in (None, "diagonal", "full"):
        return False
    has_closed_form = {posterior, prior}.isdisjoint({None, *BY_MONTE_CARLO})
    if way == "stl" and objective in ("elbo", "elbo_constant_beta") and has_closed_form:
        return False
    if objective == "beta_tc" and (posterior not in (None, "diagonal", "full") or prior in DISCRETE):
        return False
    if objective == "info" and (posterior in (*DISCRETE, "mixture") or prior in ("vamp", "mixture", *DISCRETE)):
        return False
    if objective in ("beta_tc", "info") and way not in (None, "pathwise"):
        return False
    if row.get("model") == "columns" and network in ("conv", "residual"):
        return False
    return not (prior == "conditional" and row.get("condition") == "none")


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
