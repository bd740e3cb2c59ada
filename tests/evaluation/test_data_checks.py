"""Data of any dtype get the same scores in every function, and data that cannot be scored are refused in a sentence."""

from functools import partial

import pytest
import torch
from torch.testing import assert_close

from vaelab import VAE
from vaelab.evaluation import exact_log_marginal, log_marginal_likelihood, log_weights, score, views
from vaelab.evaluation.data_checks import check_data
from vaelab.families import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    DiscretizedLogistic,
    FullGaussian,
    IdentityGaussian,
    Poisson,
)
from vaelab.networks import MLP
from vaelab.objectives import ELBO
from vaelab.priors import StandardNormal

B, K, P = 7, 5, 3
DTYPES = [torch.uint8, torch.int64, torch.bool, torch.float16, torch.bfloat16, torch.float64]


def build(likelihood=Bernoulli, hidden=(4,)):
    torch.manual_seed(0)
    return VAE.build((K,), DiagonalGaussian((P,)), likelihood((K,)), StandardNormal((P,)), partial(MLP, hidden=hidden))


def binary(seed=1):
    return torch.randint(0, 2, (B, K), generator=torch.Generator().manual_seed(seed)).float()


ENTRANCES = {
    "encode": lambda vae, x, t: vae.encode(x).mean,
    "log_likelihood": lambda vae, x, t: vae.log_likelihood(vae.prior().sample((2, B)), t),
    "elbo": lambda vae, x, t: ELBO()(vae, x, t).elbo,
    "log_weights": lambda vae, x, t: log_weights(vae, x, t, 3).log_w,
    "log_marginal_likelihood": lambda vae, x, t: log_marginal_likelihood(vae, x, t, 3),
    "score": lambda vae, x, t: score(vae, [(x, t)], 3)["nll"],
    "exact_log_marginal": lambda vae, x, t: exact_log_marginal(vae, t),
    "reconstructions": lambda vae, x, t: torch.as_tensor(views.reconstructions(vae, x, t).target),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("likelihood", [Bernoulli, IdentityGaussian, FullGaussian])
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_every_dtype_has_the_number_of_float32(entrance, likelihood, dtype):
    vae, x, t = build(likelihood, () if entrance == "exact_log_marginal" else (4,)), binary(), binary(2)
    found = []
    for kind in (torch.float32, dtype):
        torch.manual_seed(3)
        found.append(ENTRANCES[entrance](vae, x.to(kind), t.to(kind)))
    if entrance == "exact_log_marginal" and likelihood is not IdentityGaussian:
        assert found == [None, None]
    else:
        assert_close(found[1].double(), found[0].double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("entrance", ["log_weights", "log_marginal_likelihood", "score", "reconstructions"])
def test_grey_values_are_refused_as_binary_data(entrance):
    vae, x, t = build(), binary(), binary(2)
    t[3, 1] = 0.25
    with pytest.raises(
        ValueError, match=r"the target must be 0 or 1 everywhere, because Bernoulli .* holds 0.25; bina"
    ):
        ENTRANCES[entrance](vae, x, t)
    assert ENTRANCES[entrance](build(IdentityGaussian), x, t) is not None
    assert ENTRANCES[entrance](vae, t, x) is not None  # what the encoder sees may be grey
    with pytest.raises(ValueError, match="but it holds 255"):
        ENTRANCES[entrance](vae, x, (255 * x).to(torch.uint8))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("entrance", [name for name in ENTRANCES if name not in ("encode", "log_likelihood", "elbo")])
def test_data_that_are_not_finite_are_refused(entrance, bad):
    vae, x, t = build(IdentityGaussian, ()), binary(), binary(2)
    if entrance != "latents":
        t[3, 1] = t[5, 0] = t[5, 1] = bad
        with pytest.raises(ValueError, match=r"target must hold only finite numbers, but 2 of 7 examples|x must hold"):
            ENTRANCES[entrance](vae, x, t)
    if entrance != "exact_log_marginal":
        x[3, 1] = bad
        with pytest.raises(ValueError, match="x must hold only finite numbers, but 1 of 7 examples hold NaN"):
            ENTRANCES[entrance](vae, x, binary(2))


@pytest.mark.parametrize("values", [binary().numpy(), binary().tolist(), binary().to(torch.complex64)])
@pytest.mark.parametrize("entrance", ["encode", "log_likelihood", "log_weights", "score"])
def test_only_tensors_of_real_numbers_are_accepted(entrance, values):
    with pytest.raises(TypeError, match="must be a tensor of real numbers, but is"):
        ENTRANCES[entrance](build(), values, values)


def test_targets_outside_a_unit_interval_are_refused():
    vae = build(IdentityGaussian)
    vae.decoder.family.support = "unit_interval"
    check_data(vae, binary(), binary() * 0.5)
    with pytest.raises(ValueError, match=r"between 0 and 1 everywhere, .*but it holds 1.5"):
        check_data(vae, binary(), binary() * 1.5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_model_in_half_precision_is_scored_in_float32(dtype):
    """With weights that half precision holds exactly, the number is that of the same weights in float32."""
    vae, x = build().to(dtype), binary()
    single = build().to(dtype).float()
    for entrance in ("log_weights", "log_marginal_likelihood", "score"):
        found = []
        for model in (vae, single):
            torch.manual_seed(4)
            found.append(ENTRANCES[entrance](model, x, x))
        assert torch.equal(*found)
        assert found[0].dtype in (torch.float32, torch.float64)
    assert {parameter.dtype for parameter in vae.parameters()} == {dtype}


def test_autocast_does_not_reach_a_score():
    vae, x = build(), binary()
    torch.manual_seed(5)
    expected = score(vae, [(x, x)], 3)["nll"]
    torch.manual_seed(5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(score(vae, [(x, x)], 3)["nll"], expected)


@pytest.mark.parametrize(
    ("family", "good", "bad", "cure"),
    [
        (Poisson, 7.0, 0.5, "model=gaussian"),
        (Poisson, 0.0, -1.0, "model=gaussian"),
        (partial(Categorical, categories=3), 2.0, 3.0, "from 0 to 2, .*model.categories"),
        (partial(DiscretizedLogistic, levels=17), 15 / 16, 0.5 + 1 / 255, "k/16 .*model.levels"),
    ],
)
def test_numbers_of_another_kind_are_refused_with_the_cure(family, good, bad, cure):
    vae = build(family)
    target = torch.full_like(binary(), good)
    check_data(vae, binary(), target)
    target[1, 2] = bad
    with pytest.raises(ValueError, match=cure):
        check_data(vae, binary(), target)
