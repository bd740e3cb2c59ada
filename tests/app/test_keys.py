"""No key in conf/ that nothing reads: a key of a constructor elsewhere is one of its parameters; a key of vaelab's own
changes the numbers of a run, or is rejected, when its value changes."""

import inspect
import json
from pathlib import Path

import pytest
from hydra.utils import get_class
from omegaconf import DictConfig, ListConfig, OmegaConf

from helpers.needs import data_for, parts_for
from helpers.runner import ROOT, SHORT, TINY, compose_config
from vaelab.app.check import NEEDED, OPTIONAL
from vaelab.app.start import train

NOT_OF_THE_CONSTRUCTOR = {"_target_", "_partial_", "kl"}  # the builder reads kl: closed form or Monte Carlo
SILENT = {  # change what is drawn or written, not what is computed
    "objective.temperature",  # only gradient=gumbel_softmax reads it: test_gradients.py
    "objective.gamma",  # only a capacity reads it: test_penalties.py
    "callbacks.progress.refresh_rate",
    *(f"callbacks.last.{key}" for key in ("dirpath", "filename", "enable_version_counter", "seconds")),
    *(f"callbacks.pictures.{key}" for key in ("every_n_epochs", "examples", "dirpath", "timeout")),
}
CONF = ROOT / "conf"
OPTIONS = sorted(
    f"{file.parent.name}={file.stem}"
    for file in CONF.glob("*/*.yaml")
    if file.parent.name not in ("hydra", "experiment", "trainer")
)


def nodes(config, path=""):
    """Every node with a `_target_`, with its path."""
    if isinstance(config, DictConfig):
        if "_target_" in config:
            yield path, config
        for key in config:
            yield from nodes(config._get_node(key), f"{path}.{key}".lstrip("."))


def leaves(option):
    """(option, path) of every key of an option that a constructor of vaelab is given."""
    config = compose_config(Path("unused"), option)
    group = option.split("=")[0]
    for path, node in nodes(config.get(group), group):
        if node._target_.startswith("vaelab.") and group != "logger":  # loggers change no number: test_loggers.py
            for key in sorted(set(node) - NOT_OF_THE_CONSTRUCTOR):
                if not isinstance(node._get_node(key), DictConfig) and f"{path}.{key}" not in SILENT:
                    yield option, f"{path}.{key}"


def other(value):
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value + 0.7
    if isinstance(value, str):
        return "nonsense"
    if isinstance(value, ListConfig):
        return [other(item) for item in value] or ["nonsense"]
    return "/nonsense"


def outcome(folder, overrides, changes=None):
    """The numbers of a short run, or the error that ends it."""
    config = compose_config(folder, *SHORT, *overrides)
    for path, value in (changes or {}).items():
        OmegaConf.update(config, path, value)
    try:
        train(config)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return json.loads((folder / "metrics.json").read_text())


def fitting(option, small_mnist):
    """The overrides that make a short run of this option possible."""
    if option == "data=mnist":
        return [*fitting("model=bernoulli", small_mnist), option]
    if option == "data=fashion_mnist":
        return [option, f"data.root={small_mnist}", "data.val_size=13", "latent_dim=3", "data.eval_batch_size=5"]
    if option in ("data=digits", "data=images"):
        place = [f"data.path={small_mnist / 'pictures.npy'}"] if option == "data=images" else []
        return [option, *place, "data.val_size=7", "data.test_size=9", "latent_dim=3", "data.eval_batch_size=2"]
    if option == "data=shapes":
        few = [f"data.{key}=2" for key in ("scales", "orientations", "positions", "eval_batch_size")]
        return [option, *few, "data.size=8", "data.val_size=7", "data.test_size=9", "latent_dim=3"]
    if option in ("objective=beta_tc", "objective=info"):
        return [option, *TINY, "objective.samples=2", "objective.batch_size=2", "latent_dim=3"]
    if option.startswith("objective=elbo"):  # or else the number of cycles has no effect
        return [
            option,
            *TINY,
            "objective.samples=2",
            "objective.beta_schedule=cyclical",
            "objective.cycles=3",
            "latent_dim=3",
        ]
    if option in ("data=array", "data=table"):
        return [option, f"data.path={small_mnist / 'rows.npy'}", "latent_dim=3", "data.eval_batch_size=2"]
    overrides = [*parts_for(option), *(data_for(option, small_mnist) or TINY)]
    return [*overrides, "objective.samples=2", "latent_dim=3", "data.eval_batch_size=5"]


@pytest.fixture(scope="module")
def outcomes(small_mnist, tmp_path_factory):
    """The result of a run with an option unchanged. It is cached, because many keys belong to one option."""
    known = {}

    def of(option):
        if option not in known:
            known[option] = outcome(tmp_path_factory.mktemp("as_it_is"), [*fitting(option, small_mnist), option])
        return known[option]

    return of


@pytest.mark.parametrize(("option", "path"), [leaf for option in OPTIONS for leaf in leaves(option)])
def test_another_value_changes_the_run_or_is_rejected(option, path, outcomes, small_mnist, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where a download would go
    overrides = [*fitting(option, small_mnist), option]
    before = outcomes(option)
    assert isinstance(before, dict), before
    value = OmegaConf.select(compose_config(tmp_path, *SHORT, *overrides), path)
    changes = {path: other(value)}
    if path == "data.mirrors":
        changes |= {path: ["nonsense://"], "data.root": None}
        before = None
    after = outcome(tmp_path, overrides, changes)
    assert after != before
    assert not isinstance(after, str) or "nonsense" in after or " must " in after, after


@pytest.mark.parametrize("option", [*OPTIONS, "trainer=default"])
def test_every_key_is_a_parameter_of_its_constructor(option):
    group = option.split("=")[0]
    config = compose_config(Path("unused"), option)
    targets = [(node, get_class(node._target_)) for _, node in nodes(config.get(group), group)]
    assert targets or option == "logger=none"
    for node, target in targets:
        assert set(node) - NOT_OF_THE_CONSTRUCTOR <= set(inspect.signature(target.__init__).parameters)


@pytest.mark.parametrize("key", ["seed", "latent_dim"])
def test_the_top_level_keys_change_the_run(key, outcomes, small_mnist, tmp_path):
    overrides = [*fitting("data=sine", small_mnist), "data=sine"]
    assert outcome(tmp_path, overrides, {key: 5}) != outcomes("data=sine")


def test_a_key_that_nothing_reads_is_rejected(tmp_path):
    assert set(compose_config(tmp_path)) <= {*NEEDED, *OPTIONAL}
    with pytest.raises(ValueError, match="colour is not a key, so nothing would read it"):
        train(compose_config(tmp_path, "+colour=red"))


def test_the_refresh_rate_reaches_the_progress_bar():
    from hydra.utils import instantiate

    config = compose_config(Path("unused"), "callbacks.progress.refresh_rate=7")
    assert instantiate(config.callbacks.progress).refresh_rate == 7
