"""The options of a model's groups, small settings for each, and which of them can be chosen together."""

from typing import get_args

from helpers.runner import ROOT
from vaelab.objectives.gradients import GradientName

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
    discrete = posterior in DISCRETE or prior in DISCRETE
    if posterior and prior and posterior != prior and discrete:
        return False
    if way == "gumbel_softmax" and ((posterior and posterior not in DISCRETE) or (prior and prior not in DISCRETE)):
        return False
    if way in ("pathwise", "stl", "dreg") and discrete:
        return False
    if way == "dreg" and (posterior == "mixture" or objective in ELBOS):
        return False
    if way == "vimco" and objective in ELBOS:
        return False
    has_closed_form = {posterior, prior}.isdisjoint({None, *BY_MONTE_CARLO})
    if way == "stl" and objective in ("elbo", "elbo_constant_beta") and has_closed_form:
        return False
    if objective in PATHWISE_ONLY and (way not in (None, "pathwise") or discrete):
        return False
    if objective == "beta_tc" and posterior not in (None, "diagonal", "full"):
        return False
    if objective == "info" and (posterior == "mixture" or prior in ("vamp", "mixture")):
        return False
    if row.get("model") == "columns" and network in ("conv", "residual"):
        return False
    return not (prior == "conditional" and row.get("condition") == "none")
