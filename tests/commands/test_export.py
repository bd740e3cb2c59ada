"""Exported files against torch in float64, scipy's distributions, and the bytes on disk."""

import json

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from helpers.choices import FAMILIES, LIKELIHOODS, NETWORKS, POSTERIORS, PRIORS, P, named
from helpers.loaded_runs import Rows, loaded_run
from helpers.runner import SHORT, run_train
from vaelab import VAE, families, priors
from vaelab.app.cli import main
from vaelab.build import build_vae
from vaelab.commands.export import export
from vaelab.commands.exported_parts import numbers_of
from vaelab.runs.load import load_run

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
BATCH, CLASSES = 5, 4
TIGHT = {"rtol": 2e-5, "atol": 2e-5}


def make(likelihood, posterior, prior=PRIORS[0], shape=(2, 3), p=P, **options):
    """A model in float32 with generic weights."""
    torch.manual_seed(0)
    parts = posterior.build((p,)).float(), likelihood.build(shape).float(), prior.make(shape, (p,))
    vae = VAE.build(shape, *parts, NETWORKS["deep"], **options)
    for parameter in (*vae.prior.parameters(), *vae.encoder.network.parameters(), *vae.decoder.network.parameters()):
        torch.nn.init.normal_(parameter, std=0.5)
    return vae


def run_of(folder, vae, shape=(2, 3), conditional=False):
    data = Rows(torch.zeros(1, *shape))
    if conditional:
        data = Rows(torch.zeros(1, *shape), torch.zeros(1, CLASSES), ("a", "b", "c", "d"))
    return loaded_run(folder, vae, data)


def computed(path, **inputs):
    """The outputs of an ONNX file, by name."""
    session = onnxruntime.InferenceSession(path.read_bytes())
    names = [output.name for output in session.get_outputs()]
    values = {name: tensor.numpy() for name, tensor in inputs.items()}
    return dict(zip(names, session.run(None, values), strict=True))


def truth(conditional, *inputs):
    """The numbers of a distribution, by torch in float64."""
    conditional.double()
    with torch.no_grad():
        found = numbers_of(conditional(*(each.double() for each in inputs)))
    conditional.float()
    return found


def check(found, wanted):
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert_allclose(found[name], value, rtol=2e-5, atol=2e-5 * float(value.abs().max()), err_msg=name)


def moved(vae, shape):
    """The model with units that are far from 0 and 1, and differ for each number."""
    count = int(np.prod(shape))
    loc, scale = torch.linspace(-300, 500, count).view(shape), torch.logspace(-2, 2, count).view(shape)
    for units in (vae.encoder.input_units, vae.decoder.output_units):
        units.start_at(loc, scale)
    return loc + scale * torch.randn(BATCH, *shape)


def test_a_standardised_conditional_model_exports_in_the_units_of_its_data(tmp_path):
    likelihood, posterior = (next(row for row in LIKELIHOODS if row.name == name) for name in ("full", "diagonal"))
    vae = make(likelihood, posterior, condition_size=CLASSES, standardize=True)
    x = moved(vae, (2, 3))
    lines = export(run_of(tmp_path, vae, conditional=True), tmp_path / "my model.v2.onnx").splitlines()
    assert [line.partition("  ")[0] for line in lines] == [
        str(tmp_path / f"my model.v2.{part}.onnx") for part in ("encoder", "decoder")
    ]
    assert "z (batch, 3), condition (batch, 4) -> mean (batch, 2, 3), std (batch, 2, 3), scale_tril" in lines[1]
    session = onnxruntime.InferenceSession((tmp_path / "my model.v2.decoder.onnx").read_bytes())
    assert {each.name: each.shape for each in session.get_inputs()} == {"z": ["batch", P], "condition": ["batch", 4]}
    assert [each.shape[0] for each in session.get_outputs()] == ["batch"] * 3
    condition = torch.eye(CLASSES)[torch.arange(BATCH) % CLASSES]
    z = torch.randn(BATCH, P)
    check(computed(tmp_path / "my model.v2.encoder.onnx", x=x, condition=condition), truth(vae.encoder, x, condition))
    found = computed(tmp_path / "my model.v2.decoder.onnx", z=z, condition=condition)
    check(found, truth(vae.decoder, z, condition))
    covariance = found["scale_tril"] @ found["scale_tril"].transpose(0, 2, 1)
    assert_allclose(np.sqrt(covariance.diagonal(axis1=1, axis2=2)).reshape(BATCH, 2, 3), found["std"], rtol=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "my model.v2.decoder.onnx",
        "my model.v2.encoder.onnx",
    ]


def test_a_flow_exports_its_draws_as_a_function_of_noise(tmp_path):
    posterior = next(row for row in POSTERIORS if row.name == "spline")
    vae = make(LIKELIHOODS[-1], posterior)
    torch.nn.init.normal_(vae.encoder.family.couplings.transforms[0].hyper[-1].weight)
    export(run_of(tmp_path, vae), tmp_path / "m.pt2")
    x, noise = torch.randn(BATCH, 2, 3), torch.randn(BATCH, P)
    z, log_q = torch.export.load(tmp_path / "m.encoder.pt2").module()(x, noise)
    q = vae.encode(x)
    assert_allclose(log_q, q.log_prob(z).detach(), rtol=1e-4, atol=1e-4)  # the density of the draw, by the inverse
    many = torch.export.load(tmp_path / "m.encoder.pt2").module()(x[:1].expand(4000, -1, -1), torch.randn(4000, P))[0]
    assert_allclose(many.mean(0), q.mean[0], atol=float(0.15 * q.stddev[0].max()))
    probability, _ = torch.export.load(tmp_path / "m.decoder.pt2").module()(z[:1])  # a batch of another size
    assert_allclose(probability, torch.sigmoid(vae.decoder.network(z[:1])).view(1, 2, 3).detach(), rtol=1e-5)


@pytest.mark.drill
@pytest.mark.parametrize("row", **named(FAMILIES))
def test_every_family_and_prior_exports(row, tmp_path):
    """Each family as a likelihood, and as a posterior if it can be one, with each prior and other shapes in turn."""
    number = FAMILIES.index(row)
    ending = "pt2" if number // 3 % 3 == 0 else "onnx"  # an .onnx is made from what a .pt2 holds
    likelihood = row if row in LIKELIHOODS else LIKELIHOODS[0]
    posterior = row if row in POSTERIORS else POSTERIORS[number % 2]
    fitting = [prior for prior in PRIORS if prior.support == posterior.support]
    prior, shape = fitting[number % len(fitting)], ((7,), (1, 5, 3), (2, 3))[number % 3]
    p, standardize = posterior.unit * (number % 2 + 2), likelihood.support == "real" and number % 2 == 0
    vae = make(likelihood, posterior, prior, shape, p=p, standardize=standardize)
    x, z = torch.randn(BATCH, *shape), torch.randn(BATCH, p)
    if standardize:
        x = moved(vae, shape)
    said = export(run_of(tmp_path, vae, shape), tmp_path / f"m.{ending}")
    has_numbers = not isinstance(vae.encoder.family, families.TwoLayers)  # else only the decoder is exported
    assert said.count("agrees with torch") == 1 + has_numbers
    if ending == "onnx":
        check(computed(tmp_path / "m.decoder.onnx", z=z), truth(vae.decoder, z))
        if has_numbers and not isinstance(vae.encoder.family, families.Flow):
            check(computed(tmp_path / "m.encoder.onnx", x=x), truth(vae.encoder, x))
    else:
        found = torch.export.load(tmp_path / "m.decoder.pt2").module()(z)
        wanted = truth(vae.decoder, z)
        check(dict(zip(wanted, found, strict=True)), wanted)


class NoMoments(families.Family):
    """A family whose mean has no closed form, and from which only draws are known."""

    support = "real"

    def __init__(self, event_shape):
        super().__init__(event_shape)
        self.num_parameters = self.event_size

    def forward(self, parameters):
        normal = torch.distributions.Normal(parameters.unflatten(-1, self.event_shape), 1.0)
        return Unknown(torch.distributions.Independent(normal, len(self.event_shape)))


class Unknown(torch.distributions.Distribution):
    """A distribution without moments."""

    arg_constraints = {}  # noqa: RUF012
    has_rsample = True

    def __init__(self, base):
        self.base = base
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    def rsample(self, sample_shape=()):
        return self.base.rsample(sample_shape)


class Reads(torch.nn.Linear):
    """A network that looks at its input, which no trace can follow."""

    def __init__(self, shape, outputs, condition_size=0):
        super().__init__(int(np.prod(shape)), outputs)

    def forward(self, x):
        return super().forward(x.flatten(1)) * (2 if x.sum().item() > 0 else 1)


def test_what_cannot_be_exported_is_said_and_the_rest_is_written(tmp_path):
    vae = VAE.build(
        (3,), families.DiagonalGaussian((2,)), NoMoments((3,)), priors.StandardNormal((2,)), NETWORKS["mlp"]
    )
    said = export(run_of(tmp_path, vae, (3,)), tmp_path / "m.pt2")
    assert "the decoder is left out, because its mean and standard deviation have no closed form" in said
    assert [path.name for path in tmp_path.iterdir()] == ["m.encoder.pt2"]
    vae = VAE.build((3,), families.DiagonalGaussian((2,)), NoMoments((3,)), priors.StandardNormal((2,)), Reads)
    with pytest.raises(
        ValueError, match=r"m.pt2 was not written: the encoder is left out, because the export failed .*; use"
    ):
        export(run_of(tmp_path / "no", vae, (3,)), tmp_path / "m.pt2")


def test_other_numbers_than_torch_are_refused(tmp_path, monkeypatch):
    vae = make(LIKELIHOODS[0], POSTERIORS[0])
    monkeypatch.setattr("vaelab.commands.export_formats.TOLERANCE", -1.0)
    with pytest.raises(ValueError, match=r"torch.export must agree with torch to -1 of .*, but its mean"):
        export(run_of(tmp_path, vae), tmp_path / "m.pt2")
    assert not list(tmp_path.iterdir())


def test_a_trained_run_is_exported_where_its_data_are_gone(tmp_path, small_mnist):
    """The verb, the metadata of its files, and a model that is rebuilt from the .safetensors file."""
    safe_open = pytest.importorskip("safetensors").safe_open
    data = tmp_path / "daten ü"
    data.mkdir()
    (data / "rows.npy").write_bytes((small_mnist / "rows.npy").read_bytes())
    given = (*SHORT, "data=array", f"data.path='{data / 'rows.npy'}'", "hydra.run.dir=run", "prior=vamp")
    assert run_train(tmp_path, *given).returncode == 0
    (data / "rows.npy").unlink()
    vae = load_run(tmp_path / "run").vae
    for ending in ("onnx", "safetensors"):
        main(["export", str(tmp_path / "run"), "-o", str(tmp_path / f"m.{ending}")])
    x = torch.randn(BATCH, 4)
    check(computed(tmp_path / "m.encoder.onnx", x=x), truth(vae.encoder, x))
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        notes, weights = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    config = json.loads(notes["config"])
    rebuilt = build_vae(config, config["x_shape"], config["target_shape"])
    rebuilt.load_state_dict(weights)
    z = rebuilt.encode(x).mean
    assert torch.equal(z, vae.encode(x).mean)
    assert torch.equal(rebuilt.decode(z).log_prob(x), vae.decode(z).log_prob(x))
    assert torch.equal(rebuilt.prior().log_prob(z), vae.prior().log_prob(z))
    held = b"".join(path.read_bytes() for path in tmp_path.glob("m.*"))
    assert len(list(tmp_path.glob("m.*"))) == 3
    assert b"site-packages" not in held  # no path of this machine
    assert str(tmp_path).encode() not in held
    assert data.name.encode() not in held


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("m.csv", r"-o must end in one of .onnx, .pt2, .safetensors, but is .*m.csv$"),
        ("nowhere/m.pt2", r"the folder .*nowhere does not exist; make it first"),
    ],
)
def test_paths_that_cannot_be_written_are_refused(name, said, tmp_path):
    run = run_of(tmp_path, make(LIKELIHOODS[0], POSTERIORS[0]))
    with pytest.raises((ValueError, OSError), match=said):
        export(run, tmp_path / name)


@pytest.mark.parametrize("ending", ["onnx", "safetensors"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(ending, tmp_path, monkeypatch):
    missing = {"onnx": "onnxscript", "safetensors": "safetensors"}[ending]
    monkeypatch.setitem(__import__("sys").modules, f"{missing}{'.torch' if ending == 'safetensors' else ''}", None)
    run = run_of(tmp_path, make(LIKELIHOODS[0], POSTERIORS[0]))
    run.config.update(x_shape=[2, 3])
    with pytest.raises(ValueError, match=rf"^.{ending} needs {missing}, which .*; run pip install .*{missing}"):
        export(run, tmp_path / f"m.{ending}")
