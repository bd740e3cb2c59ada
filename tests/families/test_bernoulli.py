"""The Bernoulli's fast path, its extremes, and targets that are not 0 or 1."""

import math

import numpy as np
import pytest
import torch
from torch.func import vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

from vaelab.families import Bernoulli

L, B = 9, 7


def random_logits(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sum_of_terms(logits, value):
    return torch.from_numpy(-np.logaddexp(0, ((1 - 2 * value) * logits).numpy()).sum(-1))


@pytest.mark.parametrize("event_shape", [(1,), (16,), (4, 6), (13, 17)])
@pytest.mark.parametrize("spread", [1.0, 30.0, 300.0])  # at 300 a product of eight likelihoods underflows
def test_without_gradients_it_is_the_sum_of_its_terms(event_shape, spread):
    family = Bernoulli(event_shape)
    logits = spread * random_logits(L, B, family.num_parameters)
    value = (random_logits(B, family.num_parameters, seed=1) > 0).double()
    with torch.no_grad():
        log_prob = family(logits).log_prob(value.unflatten(-1, event_shape))
    assert_close(log_prob, sum_of_terms(logits, value), rtol=1e-10, atol=1e-10)


def test_without_gradients_it_is_as_good_in_float32_as_the_sum_of_its_terms():
    logits, value = 4 * random_logits(L, B, 784), (random_logits(B, 784, seed=1) > 0).double()
    with torch.no_grad():
        log_prob = Bernoulli((28, 28))(logits.float()).log_prob(value.float().unflatten(-1, (28, 28)))
    assert_close(log_prob.double(), sum_of_terms(logits, value), rtol=1e-6, atol=0)  # about -1,300 nats


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_in_half_precision_it_is_the_same_with_gradients_and_without(dtype):
    logits, value = torch.full((784,), 8.0, dtype=dtype), torch.ones(784, dtype=dtype)
    log_prob = Bernoulli((784,))(logits).log_prob(value)
    with torch.no_grad():
        assert torch.equal(Bernoulli((784,))(logits).log_prob(value), log_prob)
    assert log_prob.item() == pytest.approx(-784 * math.log1p(math.exp(-8)), rel=0.01)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_stays_finite_at_extreme_logits(dtype):
    logits = torch.tensor([1000, -1000, 1000, -1000, 0], dtype=dtype, requires_grad=True)
    target = torch.tensor([1, 0, 0, 1, 1], dtype=dtype)
    log_prob = Bernoulli((5,))(logits).log_prob(target)
    assert_close(log_prob, torch.tensor(-2000 - math.log(2), dtype=dtype))
    log_prob.backward()
    assert_close(logits.grad, torch.tensor([0, 0, -1, 1, 0.5], dtype=dtype))


# Grey values


@pytest.mark.parametrize("spread", [1.0, 300.0])
@pytest.mark.parametrize("grad_mode", [True, False])
def test_it_scores_grey_values_by_its_formula(grad_mode, spread):
    torch.manual_seed(6)
    logits, values = spread * torch.randn(3, B, 8).double(), torch.rand(B, 8).double()
    values[0] = values[0].round()
    y = [-torch.log1p((sign * logits).clamp(max=700).exp()) for sign in (-1, 1)]  # log y, log(1 − y)
    exact = (
        values * torch.where(logits < -700, logits, y[0]) + (1 - values) * torch.where(logits > 700, -logits, y[1])
    ).sum(-1)
    with torch.set_grad_enabled(grad_mode):
        assert_close(Bernoulli((8,))(logits).log_prob(values), exact, rtol=1e-9, atol=1e-9)
        assert Bernoulli((8,))(logits).log_prob(values.where(values < 0.9, math.nan)).isnan().any()


@pytest.mark.parametrize("grad_mode", [True, False])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32, torch.int64])
def test_it_refuses_whole_numbers_other_than_0_and_1(dtype, grad_mode):
    torch.manual_seed(7)
    logits, binary = torch.randn(B, 8), torch.randint(0, 2, (B, 8))
    with torch.set_grad_enabled(grad_mode):
        bernoulli = Bernoulli((8,))(logits)
        assert_close(bernoulli.log_prob(binary.to(dtype)), bernoulli.log_prob(binary.float()))
        assert_close(bernoulli.base_dist.log_prob(binary.to(dtype)), bernoulli.base_dist.log_prob(binary.float()))
        assert_close(bernoulli.log_prob(binary.bool()), bernoulli.log_prob(binary.float()))
        for wrong in (2, 127, *(() if dtype == torch.uint8 else (-1,))):
            values = binary.to(dtype)
            values[3, 5] = wrong
            for distribution in (bernoulli, bernoulli.base_dist):
                with pytest.raises(ValueError, match=rf"^binary targets must be 0 or 1, but one is {wrong}; [^.]*$"):
                    distribution.log_prob(values)


def test_whole_numbers_are_not_looked_at_while_operations_are_traced():
    logits, values = torch.randn(B, 8), torch.randint(0, 2, (B, 8))

    def log_p(logits, values):
        return Bernoulli((8,))(logits).log_prob(values)

    expected = log_p(logits, values)
    assert_close(vmap(log_p)(logits, values), expected)
    assert_close(make_fx(log_p)(logits, values)(logits, values), expected)
    assert_close(torch.jit.trace(log_p, (logits, values), check_trace=False)(logits, values), expected)
    assert_close(torch.compile(log_p, backend="eager", fullgraph=True)(logits, values), expected)
