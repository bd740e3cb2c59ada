"""Numbers on a device without float64: all sums are computed on the CPU."""

import sys
from functools import partial

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vaelab import VAE, precision
from vaelab.data import DataModule
from vaelab.evaluation import aggregate_posterior, evaluate
from vaelab.families import DiagonalGaussian, FullGaussian, IdentityGaussian
from vaelab.networks import MLP
from vaelab.priors import LearnedPrior, StandardNormal
from vaelab.training.running_means import RunningMeans

N, K, P = 23, 5, 3


class WithoutFloat64(TorchDispatchMode):
    """Imitates such a device: float32 numbers are on it, float64 numbers on the CPU, and the two must not mix."""

    moving = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        flat = torch.utils._pytree.tree_leaves((args, kwargs))
        seen = {each.dtype for each in flat if isinstance(each, torch.Tensor) and each.dim()}
        made = {each.dtype for each in torch.utils._pytree.tree_leaves(result) if isinstance(each, torch.Tensor)}
        both = {torch.float32, torch.float64}
        assert not both <= seen or func is torch.ops.aten.copy_.default, f"{func} mixes devices"
        assert self.moving or not (torch.float32 in seen and torch.float64 in made), (
            f"{func} makes float64 on the device"
        )
        return result


@pytest.fixture
def device(monkeypatch):
    """The CPU, as if it had no float64."""
    mode = WithoutFloat64()

    def moved(function):
        def inside(values, *arguments, **options):
            mode.moving = True
            try:
                return function(values, *arguments, **options)
            finally:
                mode.moving = False

        return inside

    for module in ("latents", "linear_gaussian", "report", "score"):
        monkeypatch.setattr(sys.modules[f"vaelab.evaluation.{module}"], "double", moved(precision.double))
    return mode


class Rows(DataModule):
    x_shape = target_shape = (K,)
    eval_batch_size = 10
    test = torch.randn(N, K, generator=torch.Generator().manual_seed(1))

    def entropy(self):
        return 7.0

    def log_prob(self, target):
        return -target.square().sum(-1)


@pytest.mark.parametrize(
    ("likelihood", "posterior", "prior"),
    [
        (IdentityGaussian, DiagonalGaussian, StandardNormal),  # an exact log p
        (DiagonalGaussian, FullGaussian, lambda shape: LearnedPrior(FullGaussian(shape))),
    ],
)
def test_evaluate_needs_no_float64_on_the_device(likelihood, posterior, prior, device):
    torch.manual_seed(0)
    vae = VAE.build((K,), posterior((P,)), likelihood((K,)), prior((P,)), partial(MLP, hidden=[]))
    with device:
        report = evaluate(vae, Rows(), samples=30)
        aggregate_posterior(vae.encode(Rows.test), vae.prior())
    torch.manual_seed(0)
    vae = VAE.build((K,), posterior((P,)), likelihood((K,)), prior((P,)), partial(MLP, hidden=[]))
    assert evaluate(vae, Rows(), samples=30) == report


def test_sums_are_kept_where_there_is_float64(monkeypatch):
    assert precision.sum_device(torch.device("cuda", 1)) == torch.device("cuda", 1)
    monkeypatch.setattr(precision, "has_float64", lambda device: False)
    assert precision.sum_device(torch.device("mps")) == torch.device("cpu")
    assert precision.sum_device(torch.device("cpu")) == torch.device("cpu")
    means = RunningMeans()
    means.load_state_dict({"names": ["a"], "sums": torch.ones(1), "count": 2}, torch.device("mps"))
    assert means.take()["a"].item() == 0.5


def test_has_float64_asks_the_device():
    assert precision.has_float64("cpu")
    assert not precision.has_float64("mps")  # it has none, if there is one at all


def test_the_device_of_a_module_without_numbers_is_the_cpu():
    assert precision.device_of(torch.nn.Identity()) == torch.device("cpu")
    with precision.full_precision(torch.nn.Identity()) as module:
        assert isinstance(module, torch.nn.Identity)


def test_a_copy_in_float32_leaves_the_model_as_it_is():
    module = MLP((3,), 2).to(torch.bfloat16)
    with precision.full_precision(module) as copy:
        assert {parameter.dtype for parameter in copy.parameters()} == {torch.float32}
        assert copy is not module
    assert {parameter.dtype for parameter in module.parameters()} == {torch.bfloat16}
    with precision.full_precision(copy) as same:
        assert same is copy
