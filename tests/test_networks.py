import re

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.testing import assert_close

from helpers.choices import NETWORKS
from vaelab.networks import MLP

L, B, C = 9, 7, 2
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


def test_the_default_has_two_hidden_tanh_layers():
    assert [type(layer).__name__ for layer in MLP((5,), 3).layers] == ["Linear", "Tanh", "Linear", "Tanh", "Linear"]


# What every network in helpers/choices.py must do


def build(name, condition_size=0):
    torch.manual_seed(0)
    options = {"condition_size": condition_size} if condition_size else {}
    return NETWORKS[name]((3, 5), 4, **options).double()


@pytest.mark.parametrize("condition_size", [0, C])
@pytest.mark.parametrize("name", NETWORKS)
def test_each_example_is_mapped_by_itself_whatever_the_leading_dimensions(name, condition_size):
    network, x = build(name, condition_size), inputs(L, B, 3, 5)
    given = [inputs(B, C)] if condition_size else []  # for all L
    output = network(x, *given)
    assert output.shape == (L, B, 4)
    for each in [(0, 0), (L - 1, B - 1), (3, 5)]:
        assert_close(network(x[each], *(c[each[1]] for c in given)), output[each])
    assert_close(network(x[2], *given), output[2])


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_a_function_of_its_parameters_and_its_input_alone(name):
    network, x = build(name), inputs(B, 3, 5)
    before = torch.get_rng_state()
    assert torch.equal(network.train()(x), network.eval()(x))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("condition_size", [0, C])
@pytest.mark.parametrize("name", NETWORKS)
def test_many_members_can_be_mapped_at_once(name, condition_size):
    """`torch.func.vmap` over the parameters of several networks, and over the gradient of a loss."""
    members = [build(name, condition_size) for _ in range(3)]
    for number, member in enumerate(members):
        for parameter in member.parameters():
            parameter.data += 0.1 * number
    parameters, _ = stack_module_state(members)
    x = inputs(len(members), B, 3, 5)
    given = [inputs(len(members), B, C)] if condition_size else []

    def loss(parameters, x, *given):
        return functional_call(members[0], parameters, (x, *given)).cos().sum()

    found = vmap(grad(loss))(parameters, x, *given)
    for number, member in enumerate(members):
        member(x[number], *(c[number] for c in given)).cos().sum().backward()
        for path, parameter in member.named_parameters():
            assert_close(found[path][number], parameter.grad)


# A condition


def test_a_condition_is_appended_to_the_flattened_input():
    network, x, c = mlp((3, 5), hidden=[11], condition_size=C), inputs(L, B, 3, 5), inputs(B, C).float()
    w1, b1, w2, b2 = numbers(network)
    assert w1.shape == (11, 3 * 5 + C)
    both = np.concatenate([x.numpy().reshape(L, B, -1), np.broadcast_to(c.numpy(), (L, B, C))], axis=-1)
    expected = np.tanh(both @ w1.T + b1) @ w2.T + b2
    assert_close(network(x, c).detach().numpy(), expected, rtol=1e-12, atol=1e-12)
    whole = torch.ones(B, C, dtype=torch.int64)
    assert_close(network(x, whole), network(x, whole.double()))


def test_a_condition_that_does_not_fit_is_refused():
    x = inputs(B, 5)
    with pytest.raises(ValueError, match=r"condition must have the shape \(…, 2\), but there is none"):
        mlp(condition_size=C)(x)
    with pytest.raises(ValueError, match=r"condition must have the shape \(…, 2\), but its shape is \(7, 3\)"):
        mlp(condition_size=C)(x, inputs(B, 3))
    with pytest.raises(ValueError, match=r"condition must be left out, but its shape is \(7, 2\)"):
        mlp()(x, inputs(B, C))
    for wrong in (inputs(B - 1, C), inputs(L, B, C)):
        shape = re.escape(str(tuple(wrong.shape)))
        with pytest.raises(ValueError, match=rf"condition must fit the leading dimensions \(7,\) .* but .* {shape}"):
            mlp(condition_size=C)(x, wrong)
    for wrong in (-1, 2.0, None):
        with pytest.raises(ValueError, match="condition_size"):
            mlp(condition_size=wrong)


# Arguments


@pytest.mark.parametrize("hidden", [[0], [-3], [2.5], [True], ["11"], [11, None]])
def test_a_width_that_is_no_width_is_named_in_the_error(hidden):
    with pytest.raises(ValueError, match=f"network.hidden.*{re.escape(repr(hidden[-1]))}"):
        MLP((5,), 3, hidden=hidden)


@pytest.mark.parametrize("hidden", [11, "11", None])
def test_hidden_widths_that_are_no_list_are_named_in_the_error(hidden):
    sentence = rf"network.hidden must be a list of widths such as \[500\], but is {re.escape(str(hidden))}"
    with pytest.raises(ValueError, match=sentence):
        MLP((5,), 3, hidden=hidden)


@pytest.mark.parametrize("activation", ["sine", "Tanh", "", None])
def test_an_unknown_activation_is_named_beside_the_known_ones(activation):
    with pytest.raises(
        ValueError, match=f"network.activation.*{activation}.*tanh, relu|network.activation.*tanh, relu.*{activation}"
    ):
        MLP((5,), 3, activation=activation)
