import re

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from torch.testing import assert_close

from vaelab.networks import MLP

L, B = 9, 7
FORMULAS = {
    "tanh": np.tanh,
    "relu": lambda h: np.maximum(h, 0),
    "elu": lambda h: np.where(h > 0, h, np.exp(h) - 1),
    "gelu": lambda h: h * ndtr(h),
    "silu": lambda h: h / (1 + np.exp(-h)),
    "softplus": lambda h: np.log(1 + np.exp(h)),
}


def mlp(input_shape=(5,), output_size=3, **options):
    torch.manual_seed(0)
    return MLP(input_shape, output_size, **options).double()


def inputs(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def numbers(network):
    return [parameter.detach().numpy() for parameter in network.parameters()]


def test_one_hidden_layer_is_the_formula_of_the_tutorial():
    network, x = mlp(hidden=[11]), inputs(B, 5)
    w1, b1, w2, b2 = numbers(network)
    assert [w1.shape, b1.shape, w2.shape, b2.shape] == [(11, 5), (11,), (3, 11), (3,)]
    for row in range(B):
        expected = w2 @ np.tanh(w1 @ x[row].numpy() + b1) + b2
        assert_close(network(x)[row].detach().numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("activation", FORMULAS)
def test_every_activation_follows_every_hidden_layer_and_not_the_output(activation):
    network, x = mlp(hidden=[11, 13], activation=activation), inputs(B, 5)
    w1, b1, w2, b2, w3, b3 = numbers(network)
    h1 = FORMULAS[activation](x.numpy() @ w1.T + b1)
    h2 = FORMULAS[activation](h1 @ w2.T + b2)
    assert_close(network(x).detach().numpy(), h2 @ w3.T + b3, rtol=1e-10, atol=1e-12)


def test_without_hidden_layers_it_is_linear():
    network, x = mlp(hidden=[]), inputs(B, 5)
    w, b = numbers(network)
    assert_close(network(x).detach().numpy(), x.numpy() @ w.T + b, rtol=1e-12, atol=1e-12)


def test_the_default_is_one_hidden_tanh_layer():
    assert [type(layer).__name__ for layer in MLP((5,), 3).layers] == ["Linear", "Tanh", "Linear"]


@pytest.mark.parametrize("input_shape", [(5,), (3, 5), (1, 3, 5)])
@pytest.mark.parametrize("leading", [(), (B,), (L, B)])
def test_leading_dimensions_are_kept_and_the_example_is_flattened(input_shape, leading):
    network, x = mlp(input_shape, hidden=[11]), inputs(*leading, *input_shape)
    output = network(x)
    assert output.shape == (*leading, 3)
    flat = network.layers(x.reshape(-1, np.prod(input_shape)))
    assert_close(output, flat.view(*leading, 3), rtol=1e-12, atol=1e-12)


def test_it_is_a_function_of_its_input_alone():
    network, x = mlp(hidden=[11]), inputs(B, 5)
    assert torch.equal(network.train()(x), network.eval()(x))


@pytest.mark.parametrize("hidden", [[0], [-3], [2.5], [True], ["11"], [11, None]])
def test_a_width_that_is_no_width_is_named_in_the_error(hidden):
    with pytest.raises(ValueError, match=re.escape(f"network.hidden={hidden[-1]!r} ")):
        MLP((5,), 3, hidden=hidden)


@pytest.mark.parametrize("hidden", [11, "11", None])
def test_hidden_widths_that_are_no_list_are_named_in_the_error(hidden):
    sentence = rf"network.hidden must be a list of widths such as \[500\], but is {re.escape(str(hidden))}"
    with pytest.raises(ValueError, match=sentence):
        MLP((5,), 3, hidden=hidden)


@pytest.mark.parametrize("activation", ["sine", "Tanh", "", None])
def test_an_unknown_activation_is_named_beside_the_known_ones(activation):
    with pytest.raises(ValueError, match=re.escape(f"network.activation={activation} ") + ".*tanh, relu"):
        MLP((5,), 3, activation=activation)
