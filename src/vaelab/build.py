"""Builds data, VAE, objective, optimiser and schedule from a run's config, for training, loading and sweeps.

A config is plain containers with every value filled in. Each function takes `allow`, which decides which constructors a
config may name (`vaelab.instantiate`). A user's own config may name any. The config of a loaded or resumed run may name
only those that `vaelab.runs.trust` admits.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import nn

from vaelab.baseline import Baseline
from vaelab.checks import check_choice
from vaelab.families import closed_form_kl
from vaelab.instantiate import Allow, anything, constructor_of, instantiate, made, made_with, takes
from vaelab.networks import OneHotColumns
from vaelab.objectives.elbo_parts import KLS
from vaelab.objectives.example_distributions import posterior_of, prior_of
from vaelab.vae import VAE

if TYPE_CHECKING:
    from vaelab.data import DataModule

Config = Mapping[str, Any]
log = logging.getLogger(__name__)


def build_data(config: Config, allow: Allow = anything) -> "DataModule":
    """Builds the data module of a config, before its data are read.

    Its constructor gets the likelihood's `support` and the model's `condition`, if it takes them.

    Raises:
        ValueError: a constructor is not allowed or cannot use its values, or the data have no condition.
    """
    node, more = config["data"], {}
    make, condition = constructor_of(node, allow, "data"), config.get("condition")
    likelihood = constructor_of(config["model"], allow, "model")
    support = getattr(getattr(likelihood, "__self__", likelihood), "support", None)
    if support is not None and takes(make, "support"):
        more["support"] = support
    if condition is not None and "condition" not in node:
        if not takes(make, "condition"):
            raise ValueError(
                f"condition={condition} needs data with a condition, but {node['_target_']} has none; leave the "
                "condition out, or use data=mnist"
            )
        more["condition"] = condition
    data: DataModule = instantiate(node, allow, "data", **more)
    return data


def ready_data(
    config: Config,
    allow: Allow = anything,
    names: Sequence[str] | None = None,
    condition_names: Sequence[str] | None = None,
    columns: Mapping[str, Any] | None = None,
) -> "DataModule":
    """Builds the data module of a config and reads its data, which are downloaded first if necessary.

    Args:
        config: the config of a run.
        allow: decides which constructors may be called.
        names: the columns of a trained model, in its order; None for a new run.
        condition_names: the classes of a trained conditional model, in its order; None for a new run.
        columns: the config of a trained model, for its `column_kinds` and `column_categories`; None for a new run.
    """
    data = build_data(config, allow)
    data.model_names = None if names is None else tuple(names)
    data.model_condition_names = None if condition_names is None else tuple(condition_names)
    data.model_columns = columns
    data.prepare_data()
    data.setup()
    return data


def build_vae(
    config: Config,
    x_shape: Sequence[int],
    target_shape: Sequence[int],
    condition_shape: Sequence[int] | None = None,
    allow: Allow = anything,
) -> VAE:
    """Builds the VAE of a config, with new weights.

    Args:
        config: the config of a run. If its key `standardize` is true, the model standardises x and real targets. Its
            key `levels` is the number of grey levels in the data, if they have levels. Its keys `column_kinds` and
            `column_categories` describe the columns of a mixed table.
        x_shape: the shape of x, the encoder's input.
        target_shape: the shape of the target, which the decoder is scored on.
        condition_shape: the shape of a condition; None if the model has none.
        allow: decides which constructors may be called.

    Raises:
        ValueError: a constructor is not allowed or cannot use its values, or the parts do not fit together.
    """
    posterior = made(without_kl(config["posterior"]), allow, "posterior")
    known = _columns(config, allow) | _levels(config, allow)
    likelihood = made(config["model"], allow, "model", event_shape=tuple(target_shape), **known)
    size = math.prod(condition_shape) if condition_shape else 0
    sizes = {"x_shape": tuple(x_shape), "condition_size": size, "pseudo_condition_size": size}
    prior: nn.Module = made_with(without_kl(config["prior"]), allow, "prior", **sizes)
    networks, standardize = build_networks(config["network"], allow), bool(config.get("standardize", False))
    categories = getattr(likelihood, "categories", ()) if likelihood.support == "mixed" else ()
    if any(categories) and tuple(x_shape) == tuple(target_shape) == (len(categories),):
        networks["encoder"] = partial(OneHotColumns, network=networks["encoder"], categories=categories)
    of_columns = isinstance(config.get("condition"), list | tuple)  # a class needs no units
    return VAE.build(tuple(x_shape), posterior, likelihood, prior, networks, size, standardize, of_columns)


def _columns(config: Config, allow: Allow) -> dict[str, Any]:
    """The kinds and the counts of categories of a mixed table's columns, if the likelihood takes them."""
    node, kinds = config["model"], config.get("column_kinds")
    if kinds is None or "kinds" in node or not takes(constructor_of(node, allow, "model"), "kinds"):
        return {}
    return {"kinds": kinds, "categories": [len(names) for names in config.get("column_categories") or ()]}


def _levels(config: Config, allow: Allow) -> dict[str, Any]:
    """The grey levels of the data as a keyword of the likelihood, if it takes it and the config sets none."""
    node, levels = config["model"], config.get("levels")
    wanted = levels is not None and node.get("levels") is None and takes(constructor_of(node, allow, "model"), "levels")
    return {"levels": levels} if wanted else {}


def build_networks(node: Mapping[str, Any], allow: Allow = anything) -> dict[str, Callable[..., nn.Module]]:
    """The constructors of both networks. If the node itself has a `_target_`, both use it."""
    if node.get("_target_") is not None:
        rest = {name: value for name, value in node.items() if name not in ("encoder", "decoder")}
        same = instantiate(rest | {"_partial_": True}, allow, "network")
        return {"encoder": same, "decoder": same}
    if missing := [name for name in ("encoder", "decoder") if not isinstance(node.get(name), Mapping)]:
        raise ValueError(
            f"network.{missing[0]} must be a constructor with a _target_, but is {node.get(missing[0])}; use "
            "network=mlp, or set network._target_ for both"
        )
    names = ("encoder", "decoder")
    return {name: instantiate({**node[name], "_partial_": True}, allow, f"network.{name}") for name in names}


def start_at_data(vae: VAE, data: "DataModule") -> None:
    """Starts a new model at its data: its units, the decoder's bias, and the prior's pseudo-inputs."""
    encoder: Any = vae.encoder
    decoder: Any = vae.decoder
    units_of = (
        ("x", encoder.input_units),
        ("target", decoder.output_units),
        ("condition", encoder.condition_units),
        ("condition", decoder.condition_units),
    )
    for which, units in units_of:
        if units is not None:
            units.start_at(*data.standardization(which))
    decoder.start_at(data.mean())
    start_from: Any = getattr(vae.prior, "start_from", None)
    if start_from is not None:
        conditions = (data.conditions["train"],) if data.conditions and takes(start_from, "conditions") else ()
        start_from(data.examples("train")[0], *conditions)


def fitted_baseline(vae: VAE, data: "DataModule") -> Baseline:
    """The baseline of a model, fitted to the training split of its data."""
    decoder: Any = vae.decoder
    if data.support == "binary":  # the mean decides, and a module may draw the pixels afresh each time
        return Baseline(decoder).fit_(data.mean().unsqueeze(0))
    x, target = data.examples("train")
    return Baseline(decoder).fit_(x if target is None else target)


def build_objective(config: Config, vae: VAE, allow: Allow = anything) -> Any:
    """Builds the objective of a config. Its KL is by Monte Carlo if posterior, prior or objective sets that.

    An objective that takes `train_size`, the number of training examples, gets that of the config.

    Raises:
        ValueError: the KL of posterior and prior has no closed form, and none of the three sets Monte Carlo; or a part
            does not fit the others.
    """
    objective = made_with(config["objective"], allow, "objective", train_size=config.get("train_size"))
    asking = [f"{group}.kl" for group in ("posterior", "prior") if asked_kl(config, group) == "monte_carlo"]
    if getattr(objective, "kl", None) == "monte_carlo":
        asking.append("objective.kl")
    elif asking and hasattr(objective, "with_kl_by_monte_carlo"):
        objective = objective.with_kl_by_monte_carlo()
    if asking and hasattr(objective, "kl"):
        log.info("the KL is estimated by Monte Carlo, because %s", " and ".join(f"{key}=monte_carlo" for key in asking))
    elif getattr(objective, "kl", None) == "closed_form":
        _check_closed_form(vae)
    check_parts(vae, objective)
    return objective


def check_parts(vae: VAE, objective: Any) -> None:
    """Asks the objective, the prior and all families if they fit together, if they have a method `check(vae)`.

    Raises:
        ValueError: a part does not fit the others.
    """
    families = (getattr(each, "family", None) for each in (vae.encoder, vae.decoder, vae.prior))
    for part in (objective, vae.prior, *families):
        check: Any = getattr(part, "check", None)
        if check is not None:
            check(vae)


def kl_of(objective: Any) -> str:
    """How an objective computes the KL: `closed_form` or `monte_carlo`. Without a `kl`, it uses only draws."""
    return str(getattr(objective, "kl", "monte_carlo"))


def asked_kl(config: Config, group: str) -> str | None:
    """The key `kl` of a posterior or a prior: `monte_carlo`, `closed_form`, or None if it has no such key."""
    asked = config[group].get("kl")
    return None if asked is None else check_choice(f"{group}.kl", asked, KLS)


def without_kl(node: Mapping[str, Any]) -> dict[str, Any]:
    """A node without `kl`, because the builder reads that key, not the constructor."""
    return {name: value for name, value in node.items() if name != "kl"}


def _check_closed_form(vae: VAE) -> None:
    q = posterior_of(vae)
    if q is not None and closed_form_kl(q, prior_of(vae)) is None:
        raise ValueError(
            f"objective.kl must be monte_carlo for posterior={type(vae.encoder.family).__name__} and "
            f"prior={type(vae.prior).__name__}, because their KL has no closed form, but is closed_form; use "
            "objective.kl=monte_carlo or objective=elbo_monte_carlo"
        )


def build_optimizer(config: Config, allow: Allow = anything) -> Callable[..., Any]:
    """Builds the constructor of the optimiser: parameters -> optimiser."""
    make: Callable[..., Any] = made({**config["optimizer"], "_partial_": True}, allow, "optimizer")
    return make


def build_scheduler(config: Config, allow: Allow = anything) -> Callable[..., Any] | None:
    """Builds the constructor of the learning-rate schedule: optimiser -> schedule; None for a constant rate."""
    node = config.get("scheduler")
    return None if node is None else made({**node, "_partial_": True}, allow, "scheduler")
