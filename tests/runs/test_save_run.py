"""A module from a plain Lightning script can be saved as a run, loaded, and used by every verb."""

import json
import shutil
from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer
from torch.testing import assert_close

import vaelab
from helpers import forked
from helpers.own_networks import Forgetful, Linear
from helpers.runner import ROOT
from vaelab import VAE, data, families, networks, objectives, priors, training
from vaelab.app.cli import main
from vaelab.app.resume import resume
from vaelab.build import build_data
from vaelab.commands.evaluate import evaluate_run
from vaelab.instantiate import instantiate
from vaelab.runs.node_of import node_of

SCRIPT = """
from functools import partial
import torch
import vaelab
from lightning.pytorch import Trainer
from own_networks import Linear
from vaelab import VAE, data, families, networks, objectives, priors, training

points = data.Sine(train_size=60, val_size=20, test_size=30, surface=True, noise_std=0.1)
network = {"encoder": partial(Linear, hidden=[7]), "decoder": partial(networks.MLP, hidden=[5], activation="relu")}
posterior, likelihood = families.Flow((2,), context=3, hidden=[4]), families.FullGaussian((3,), min_std=0.05)
vae = VAE.build((3,), posterior, likelihood, priors.VampPrior((3,), 4), network)
objective = objectives.ELBO(samples=2, kl="monte_carlo")
module = training.VAEModule(vae, objective, partial(torch.optim.Adam, lr=1e-2))
trainer = Trainer(max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False)
trainer.fit(module, points)
trainer.test(module, points, verbose=False)
vaelab.save_run("run", module, points)
torch.save(module.vae.state_dict(), "weights.pt")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("script")
    shutil.copy(ROOT / "tests" / "helpers" / "own_networks.py", place)
    (place / "script.py").write_text(SCRIPT)
    process = forked.run([str(place / "script.py")], place, 120)
    assert process.returncode == 0, process.stderr
    return place / "run"


def test_it_loads_as_it_was_trained(folder):
    with pytest.raises(ValueError, match=r"names own_networks.Linear, which is not a class of vaelab"):
        vaelab.load_run(folder)
    run = vaelab.load_run(folder, allow=["own_networks"])
    saved = torch.load(folder.parent / "weights.pt", weights_only=True)
    for name, value in run.vae.state_dict().items():
        assert_close(value, saved[name], rtol=0, atol=0)
    assert run.config["kl"] == "monte_carlo"
    assert run.config["optimizer"] == {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.01}
    assert run.config["objective"]["samples"] == 2
    assert set(run.metrics) >= {"test/elbo", "test/bound"}
    points = data.Sine(train_size=60, val_size=20, test_size=30, surface=True, noise_std=0.1)
    points.setup()
    assert run.config["fingerprint"] == points.fingerprint()
    report = evaluate_run(run, samples=9)
    assert report["data"] == "sin(x+y) on [-π, π]², noise 0.1"
    assert report["nll"] < 1e3


@pytest.mark.parametrize(
    "command",
    [
        *("evaluate RUN --samples 9 ALLOW", "encode RUN test -o z.csv ALLOW", "reconstruct RUN val -o x.npz ALLOW"),
        *("sample RUN -n 7 -o s.csv ALLOW", "traverse RUN -o t.png --steps 3 ALLOW", "compare RUN -o compared"),
    ],
)
def test_every_verb_serves_it(command, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(command.replace("RUN", str(folder)).replace("ALLOW", "--allow own_networks").split())
    written = [path for path in tmp_path.rglob("*") if path.is_file()] or [folder / "evaluation.json"]
    assert all(path.stat().st_size > 30 for path in written)


def test_it_cannot_be_resumed(folder):
    with pytest.raises(ValueError, match=r"was written by vaelab.save_run, .* cannot be resumed; train a new run"):
        resume({"resume": str(folder), "allow": "own_networks"})


def parts(**changed):
    """A small untrained module and its data."""
    given = {
        "posterior": families.DiagonalGaussian((3,)),
        "likelihood": families.Laplace((1,)),
        "prior": priors.StandardNormal((3,)),
        "network": partial(networks.MLP, hidden=[5]),
    }
    vae = VAE.build((2,), **given | changed)
    return training.VAEModule(vae, objectives.ELBO(), torch.optim.Adam), data.Sine(
        train_size=11, val_size=5, test_size=7
    )


def test_a_module_without_a_trainer_is_saved_once(tmp_path):
    module, points = parts()
    state = torch.get_rng_state()
    assert vaelab.save_run(tmp_path / "run", module, points) == tmp_path / "run"
    assert torch.equal(torch.get_rng_state(), state)
    run = vaelab.load_run(tmp_path / "run")
    x = torch.randn(9, 2)
    assert_close(run.vae.encode(x).mean, module.vae.encode(x).mean, rtol=0, atol=0)
    assert run.metrics == {}
    assert json.loads((tmp_path / "run" / "state.json").read_text())["state"] == "done"
    assert json.loads((tmp_path / "run" / "hparams.yaml").read_text())["posterior"]["event_shape"] == [3]
    with pytest.raises(ValueError, match=r"folder must be new or empty, but .*run is not; name another folder"):
        vaelab.save_run(tmp_path / "run", module, points)


UNNAMED = type("Unnamed", (networks.MLP,), {"__module__": "__main__"})


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"network": Forgetful},
            r"network.encoder must keep its constructor's argument width .* add self.width = width",
        ),
        (
            {"network": type("Local", (networks.MLP,), {"__module__": "__main__"})},
            "encoder must be defined in a module",
        ),
        ({"network": partial(Linear, hidden=torch.tensor([3, 4]))}, r"network.encoder.hidden must be made of numbers"),
    ],
)
def test_what_cannot_be_made_again_is_not_saved(changed, sentence, tmp_path):
    module, points = parts(**changed)
    with pytest.raises(ValueError, match=sentence):
        vaelab.save_run(tmp_path / "run", module, points)
    assert not (tmp_path / "run").exists()


def test_a_part_that_keeps_something_else_than_it_was_given_is_not_saved(tmp_path):
    module, points = parts(network=partial(Linear, hidden=[4]))
    module.vae.encoder.network.hidden = [9]
    with pytest.raises(ValueError, match=r"the model cannot be rebuilt .*must have the shape"):
        vaelab.save_run(tmp_path / "run", module, points)
    with pytest.raises(ValueError, match="module must have a vae and an objective, but is a Linear"):
        vaelab.save_run(tmp_path / "run", torch.nn.Linear(2, 3), points)


MADE = [
    *(
        families.Flow((3,), context=5, kind="affine"),
        families.IdentityGaussian((3, 2), std=0.3),
        families.Bernoulli((4,)),
    ),
    *(priors.LearnedPrior(families.FullGaussian((3,), init_std=0.6)), priors.VampPrior((2, 5), components=7)),
    *(networks.MLP((2, 5), 3, hidden=[4], activation="silu", condition_size=2), objectives.IWAE(samples=7)),
    *(objectives.ELBO(samples=3, beta=0.5, gradient="score_function"), objectives.ELBOMonteCarlo(samples=3)),
    data.Sine(train_size=9, domain=[-1.5, 2.0], surface=True, noise_std=0.3, seed=5),
    data.MNIST(root="/images", val_size=13, resample=False, support="real"),
    data.Array("/rows.csv", val_size=0.3, header=True, missing="drop", background=7),
]


@pytest.mark.parametrize("made", MADE, ids=lambda made: type(made).__name__)
def test_a_node_makes_the_same_again(made):
    node = node_of(made, "key")
    again = instantiate(node)
    assert type(again) is type(made)
    assert node_of(again, "key") == node
    json.dumps(node)
    changed = [name for name, value in node.items() if value is not None]
    assert len(changed) > 1


def test_the_data_of_a_run_are_made_from_their_node():
    points = data.Sine(train_size=9, val_size=5, test_size=7, surface=True, seed=3)
    points.setup()
    config = {"data": node_of(points, "data", ["support"]), "model": {"_target_": "vaelab.families.Laplace"}}
    again = build_data(config)
    again.setup()
    assert again.fingerprint() == points.fingerprint()


def test_a_trainers_epochs_are_kept(tmp_path):
    module, points = parts()
    trainer = Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, points)
    vaelab.save_run(tmp_path / "run", module, points)
    content = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert (content["epoch"], content["global_step"]) == (3, 3)
