"""Each default has one value: a page in conf/ and the constructor that it calls agree on it."""

import inspect
from functools import cache
from pathlib import Path

import pytest
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from helpers.runner import ROOT, compose_config
from vaelab.data import Array, DataModule, Digits, Images, Reading, Sine

STATED = {  # a page that states another value than its constructor's default, and why
    ("data=sine_surface", "data.surface"): "it is what the option is for",
    ("data=mnist", "data.mirrors"): "the constructor's null stands for them",
    ("data=fashion_mnist", "data.mirrors"): "as for data=mnist",
    ("objective=elbo_monte_carlo", "objective.kl"): "it is what the option is for",
    ("objective=elbo", "objective.beta_schedule"): "a run has a length, but an objective in a script has none",
    ("objective=elbo_monte_carlo", "objective.beta_schedule"): "as for objective=elbo",
    ("posterior=diagonal", "posterior.min_std"): "the KL keeps σ of q well above it; 0.01 is a floor for likelihoods",
    ("posterior=full", "posterior.min_std"): "as for posterior=diagonal",
    ("posterior=diagonal", "posterior.init_std"): "q starts as wide as the prior N(0, I), so that the KL starts small",
    ("posterior=full", "posterior.init_std"): "as for posterior=diagonal",
    ("prior=learned_diagonal", "prior.family.min_std"): "as for posterior=diagonal",
    ("prior=learned_full", "prior.family.min_std"): "as for posterior=diagonal",
    ("prior=learned_diagonal", "prior.family.init_std"): "it starts as N(0, I)",
    ("prior=learned_full", "prior.family.init_std"): "it starts as N(0, I)",
    ("posterior=mixture", "posterior.min_std"): "as for posterior=diagonal",
    ("posterior=mixture", "posterior.init_std"): "as for posterior=diagonal",
    ("prior=conditional", "prior.family.min_std"): "as for posterior=diagonal",
    ("prior=conditional", "prior.family.init_std"): "it starts as N(0, I)",
    ("prior=mixture", "prior.family.init_std"): "its components start as wide as N(0, I)",
}
BUILDERS = {"posterior.kl", "prior.kl"}  # read by vaelab.build and not handed on
OPTIONS = sorted(
    f"{file.parent.name}={file.stem}"
    for file in (ROOT / "conf").glob("*/*.yaml")
    if file.parent.name not in ("hydra", "experiment", "trainer")  # these name no constructor of vaelab
)


@cache
def composed(option):
    """The part of the config that an option fills."""
    return compose_config(Path("unused"), option)[option.split("=")[0]]


def nodes(config, path):
    """Every node that names a constructor of vaelab, with its path."""
    if isinstance(config, DictConfig):
        if str(config.get("_target_")).startswith("vaelab."):
            yield path, config
        for key in config:
            yield from nodes(config._get_node(key), f"{path}.{key}")


def written(option):
    """(option, path, key) of every value that a page writes down itself and a constructor of vaelab takes."""
    group = option.split("=")[0]
    for path, node in nodes(composed(option), group):
        for key in sorted(set(node) - {"_target_", "_partial_"}):
            if (
                f"{path}.{key}" not in BUILDERS
                and not OmegaConf.is_interpolation(node, key)
                and not isinstance(node._get_node(key), DictConfig)
            ):
                yield option, path, key


@pytest.mark.parametrize(
    ("option", "path", "key"),
    [each for option in OPTIONS for each in written(option) if (option, f"{each[1]}.{each[2]}") not in STATED],
)
def test_a_page_and_its_constructor_have_one_default(option, path, key):
    node = OmegaConf.select(OmegaConf.create({option.split("=")[0]: composed(option)}), path)
    default = inspect.signature(get_class(node._target_)).parameters[key].default
    value = OmegaConf.to_container(OmegaConf.create({key: node._get_node(key)}))[key]
    assert default is inspect.Parameter.empty or value == (list(default) if isinstance(default, tuple) else default)


def test_every_stated_exception_is_in_a_page():
    known = {(option, f"{path}.{key}") for option in OPTIONS for option, path, key in written(option)}
    assert set(STATED) <= known


@pytest.mark.parametrize(
    ("one", "other", "keys"),
    [
        (Array, Reading, ("header", "missing", "background")),
        (Array, DataModule, ("batch_size", "eval_batch_size")),
        (Images, Reading, ("missing", "background")),
        (Digits, DataModule, ("batch_size", "eval_batch_size")),
        (Sine, DataModule, ("batch_size",)),
    ],
)
def test_values_that_two_classes_of_data_share_are_equal(one, other, keys):
    parameters = inspect.signature(one).parameters
    assert {key: parameters[key].default for key in keys} == {key: getattr(other, key) for key in keys}
