"""A config -> data, VAE and objective: networks for each side or one for both, the KL, priors that use the data."""

import json
import logging
import shutil

import pytest
import torch
from omegaconf import OmegaConf
from torch.distributions import kl_divergence

import vaelab
from helpers.idx_files import write_idx_labels, write_small_mnist
from helpers.runner import SHORT, TINY, compose_config
from vaelab.app.fit import build
from vaelab.app.resume import resume
from vaelab.app.start import train
from vaelab.build import build_networks, build_objective, build_vae, kl_of
from vaelab.commands.evaluate import evaluate_run
from vaelab.objectives import ELBO, IWAE
from vaelab.priors import VampPrior

X, T = (5,), (2, 3)


def plain(folder, *overrides):
    return OmegaConf.to_container(
        compose_config(folder, "latent_dim=3", "network.hidden=[7]", *overrides), resolve=True
    )


def built(config, condition_shape=None):
    torch.manual_seed(0)
    return build_vae(config, X, T, condition_shape)


def same(one, other):
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# Networks


def widths(network):
    return [layer.out_features for layer in network.layers if isinstance(layer, torch.nn.Linear)]


def test_encoder_and_decoder_share_keys_and_have_their_own(tmp_path):
    shared = built(plain(tmp_path, "network.hidden=[7,4]", "network.activation=relu"))
    assert widths(shared.encoder.network) == [7, 4, 6]
    assert widths(shared.decoder.network) == [7, 4, 12]
    assert isinstance(shared.decoder.network.layers[1], torch.nn.ReLU)
    own = built(plain(tmp_path, "network.encoder.hidden=[9,8,4]"))
    assert widths(own.encoder.network) == [9, 8, 4, 6]
    assert widths(own.decoder.network) == [7, 12]


def test_one_constructor_serves_for_both_networks(tmp_path):
    config = plain(tmp_path)
    single = {"_target_": "vaelab.networks.MLP", "_partial_": True, "hidden": [7], "activation": "tanh"}
    assert same(built(config), built(config | {"network": single}))
    typed = plain(tmp_path, "+network._target_=vaelab.networks.MLP")
    assert same(built(config), built(typed))


def test_each_network_may_be_a_class_of_your_own(tmp_path):
    config = plain(tmp_path, "network.decoder._target_=helpers.own_networks.Linear", "~network.decoder.activation")
    vae = built(config)
    assert type(vae.decoder.network).__name__ == "Linear"
    assert widths(vae.encoder.network) == [7, 6]
    assert vae.sample(4).shape == (4, *T)
    with pytest.raises(ValueError, match=r"network.encoder must be a constructor with a _target_, but is None"):
        build_networks(config["network"] | {"encoder": None})
    with pytest.raises(ValueError, match=r"network.decoder.activation is not a key of helpers.own_networks.Linear"):
        built(plain(tmp_path, "network.decoder._target_=helpers.own_networks.Linear"))


def test_a_part_without_a_constructor_is_named(tmp_path):
    for key in ("model", "posterior", "prior"):
        with pytest.raises(ValueError, match=f"{key} must have a _target_ that names a constructor, but has none"):
            built(plain(tmp_path) | {key: {"min_std": 0.1}})
        with pytest.raises(ValueError, match=f"{key}._target_ must be importable, but is nowhere.X"):
            built(plain(tmp_path) | {key: {"_target_": "nowhere.X"}})


# The KL

MONTE_CARLO = [
    (["objective=elbo_monte_carlo"], "objective.kl=monte_carlo"),
    (["+posterior.kl=monte_carlo"], "posterior.kl=monte_carlo"),
    (["+prior.kl=monte_carlo"], "prior.kl=monte_carlo"),
    (["posterior=flow", "prior=vamp"], "posterior.kl=monte_carlo and prior.kl=monte_carlo"),
    (["posterior=flow", "objective.samples=3"], "posterior.kl=monte_carlo"),
]


@pytest.mark.parametrize(("overrides", "asked"), MONTE_CARLO)
def test_whoever_asks_gets_a_kl_by_monte_carlo_and_is_named(overrides, asked, tmp_path, caplog):
    caplog.set_level(logging.INFO, "vaelab.build")
    config = plain(tmp_path, *overrides)
    objective = build_objective(config, built(config))
    assert caplog.messages == [f"the KL is estimated by Monte Carlo, because {asked}"]
    assert objective == ELBO(samples=config["objective"]["samples"], kl="monte_carlo", beta_schedule="linear")
    assert kl_of(objective) == "monte_carlo"


def test_nobody_asks_for_monte_carlo_by_default(tmp_path, caplog):
    caplog.set_level(logging.INFO, "vaelab.build")
    config = plain(tmp_path, "posterior=full", "prior=learned_diagonal", "+posterior.kl=closed_form")
    vae = built(config)
    objective = build_objective(config, vae)
    assert (kl_of(objective), caplog.messages) == ("closed_form", [])
    x, target = torch.randn(11, *X), torch.randn(11, *T)
    exact = kl_divergence(vae.encode(x), vae.prior())
    torch.testing.assert_close(objective(vae, x, target).kl, exact)
    estimate = build_objective(plain(tmp_path, "objective=elbo_monte_carlo", "objective.samples=20000"), vae)
    torch.testing.assert_close(estimate(vae, x, target).kl, exact, atol=0.1, rtol=0.05)


def test_a_pair_without_a_closed_form_is_refused_before_training(tmp_path):
    for overrides in (["posterior=flow", "posterior.kl=null"], ["prior=vamp", "prior.kl=closed_form"]):
        config = plain(tmp_path, *overrides)
        vae = built(config)
        state = torch.get_rng_state()
        with pytest.raises(ValueError, match=r"no closed form, but is closed_form; use objective.kl=monte_carlo"):
            build_objective(config, vae)
        assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match=r"posterior.kl must be one of closed_form, monte_carlo, but is sometimes"):
        build_objective(plain(tmp_path, "+posterior.kl=sometimes"), vae)


def test_an_objective_made_of_draws_needs_no_closed_form(tmp_path):
    config = plain(tmp_path, "posterior=flow", "posterior.kl=null", "objective=iwae")
    objective = build_objective(config, built(config))
    assert objective == IWAE(samples=5)
    assert kl_of(objective) == "monte_carlo"


# Priors that use the data, and conditions


def test_a_new_run_alone_starts_its_prior_from_training_inputs(tmp_path, monkeypatch):
    overrides = [*SHORT, *TINY, "prior=vamp", "prior.components=4", "optimizer.lr=0.0"]
    module, data = build(compose_config(tmp_path, *overrides))
    torch.testing.assert_close(module.vae.prior.pseudo_inputs.data, data.train[0][:4])
    train(compose_config(tmp_path / "run", *overrides))
    monkeypatch.setattr(VampPrior, "start_from", lambda *arguments: pytest.fail("the prior was started again"))
    run = vaelab.load_run(tmp_path / "run")
    torch.testing.assert_close(run.vae.prior.pseudo_inputs.data, data.train[0][:4])
    resume({"resume": str(tmp_path / "run"), "trainer.max_epochs": "2"})
    assert run.config["kl"] == "monte_carlo"
    assert evaluate_run(run, samples=7)["moments_by"]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    write_small_mnist(folder, train=60, test=20, rows=5, columns=7)
    for name, n in (("train", 60), ("t10k", 20)):
        write_idx_labels(folder / f"{name}-labels-idx1-ubyte", 3 + torch.arange(n) % 4)
    return ["model=bernoulli", "data=mnist", f"data.root={folder}", "data.val_size=13", "latent_dim=3"]


def test_a_conditional_run_keeps_the_shape_and_the_names_of_its_condition(labelled, tmp_path):
    train(compose_config(tmp_path, *SHORT, *labelled, "condition=label"))
    run = vaelab.load_run(tmp_path)
    assert (run.condition_shape, run.condition_names) == ((4,), ("3", "4", "5", "6"))
    assert run.vae.encoder.network.condition_size == run.vae.decoder.network.condition_size == 4
    data = run.ready_datamodule({})
    x, _, condition = next(iter(data.batches("test")))
    assert condition.argmax(-1).tolist() == [i % 4 for i in range(20)]
    one, other = (run.vae.encode(x, torch.eye(4)[i].expand(20, 4)).mean for i in (0, 1))
    assert (one - other).abs().max() > 1e-3
    resume({"resume": str(tmp_path), "trainer.max_epochs": "2"})
    assert json.loads((tmp_path / "metrics.json").read_text()).keys() >= {"test/elbo"}


def test_a_condition_that_nobody_can_use_is_refused(labelled, tmp_path):
    config = plain(tmp_path, *labelled) | {"condition": "label"}
    config["data"] = {"_target_": "helpers.own_classes.Bare"}
    with pytest.raises(ValueError, match=r"condition=label needs data with a condition, but .*Bare has none"):
        vaelab.build.build_data(config)


# Runs of version 0.1


def test_a_run_of_version_0_1_loads_evaluates_and_resumes(tmp_path):
    overrides = [*SHORT, *TINY, "latent_dim=3", "objective=elbo_monte_carlo", "trainer.max_epochs=2", "score=val/elbo"]
    train(compose_config(tmp_path / "new", *overrides))
    shutil.copytree(tmp_path / "new", tmp_path / "old")
    for path in (tmp_path / "old" / "checkpoints").iterdir():
        content = torch.load(path, weights_only=True)
        config = content["hyper_parameters"]
        for key in ("kl", "condition", "condition_shape", "condition_names", "score"):
            config.pop(key, None)
        config["data"].pop("condition", None)
        config["network"] = {key: config["network"]["encoder"][key] for key in ("_target_", "_partial_")}
        config["network"] |= {"hidden": [6], "activation": "tanh"}
        config["objective"] = {"_target_": "vaelab.objectives.ELBOMonteCarlo", "samples": 1, "gradient": "pathwise"}
        path.unlink()
        torch.save(content, path)
    new, old = (vaelab.load_run(tmp_path / name) for name in ("new", "old"))
    assert same(new.vae, old.vae)
    torch.manual_seed(0)
    assert evaluate_run(old, samples=7)["nll"] == evaluate_run(new, samples=7)["nll"]
    for name in ("new", "old"):
        resume({"resume": str(tmp_path / name), "trainer.max_epochs": "3"})
    ended = [torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("new", "old")]
    assert all(torch.equal(value, ended[1]["state_dict"][name]) for name, value in ended[0]["state_dict"].items())
    assert ended[0]["epoch"] == 3
