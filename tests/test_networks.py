import ctypes
import math
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from scipy.special import expit, ndtr
from torch import nn
from torch.func import functional_call, grad, jacrev, stack_module_state, vmap
from torch.testing import assert_close

from helpers.choices import LIKELIHOODS, NETWORKS, PRIORS, P, diagonal
from vaelab import VAE
from vaelab.evaluation.memory_needed import decode_bytes
from vaelab.families import DiagonalGaussian
from vaelab.instantiate import anything, instantiate, takes
from vaelab.networks import MLP, ConvDecoder, ConvEncoder, GatedMLP
from vaelab.priors import StandardNormal
from vaelab.runs.node_of import node_of

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


# What every network in helpers/choices.py must do, as an encoder of images and as a decoder to them

SHAPES = {"encoder": (3, 5), "decoder": (4,)}
EVENTS = {"encoder": (4,), "decoder": (3, 5)}
both = pytest.mark.parametrize("part", ["encoder", "decoder"])


def made(name, part, **options):
    """A network of the list with generic weights, which gives two numbers for each value."""
    torch.manual_seed(0)
    make = NETWORKS[name][part] if isinstance(NETWORKS[name], dict) else NETWORKS[name]
    options |= {"event_shape": EVENTS[part]} if takes(make, "event_shape") else {}
    network = make(SHAPES[part], 2 * math.prod(EVENTS[part]), **{key: value for key, value in options.items() if value})
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    return network.double()


@both
@pytest.mark.parametrize("condition_size", [0, C])
@pytest.mark.parametrize("name", NETWORKS)
def test_each_example_is_mapped_by_itself_whatever_the_leading_dimensions(name, condition_size, part):
    network, x = made(name, part, condition_size=condition_size), inputs(L, B, *SHAPES[part])
    given = [inputs(B, C)] if condition_size else []  # for all L
    output = network(x, *given)
    assert output.shape == (L, B, 2 * math.prod(EVENTS[part]))
    for each in [(0, 0), (L - 1, B - 1), (3, 5)]:
        assert_close(network(x[each], *(c[each[1]] for c in given)), output[each])
    assert_close(network(x[2], *given), output[2])
    assert network(x[:, :0], *(c[:0] for c in given)).shape == (L, 0, output.shape[-1])


@both
@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_a_function_of_its_parameters_and_its_input_alone(name, part):
    network, x = made(name, part), inputs(B, *SHAPES[part])
    before = torch.get_rng_state()
    assert torch.equal(network.train()(x), network.eval()(x))
    assert torch.equal(torch.get_rng_state(), before)


@both
@pytest.mark.parametrize("name", NETWORKS)
def test_every_number_that_it_is_given_and_every_parameter_has_a_gradient(name, part):
    network = made(name, part, condition_size=C)
    given = inputs(B, *SHAPES[part]).requires_grad_(), inputs(B, C).requires_grad_()
    network(*given).cos().sum().backward()
    assert all((tensor.grad != 0).any(0).all() for tensor in given)
    assert all((parameter.grad != 0).any() for parameter in network.parameters())


@both
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", NETWORKS)
def test_half_precision_gives_nearly_the_same(name, dtype, part):
    network, x = made(name, part), inputs(B, *SHAPES[part])
    truth = network(x)
    found = network.to(dtype)(x.to(dtype))
    assert found.dtype == dtype
    assert_close(found.double(), truth, rtol=0.1, atol=0.02 * float(truth.detach().abs().max()))


@both
@pytest.mark.parametrize("condition_size", [0, C])
@pytest.mark.parametrize("name", NETWORKS)
def test_many_members_can_be_mapped_at_once(name, condition_size, part):
    """`torch.func.vmap` over the parameters of several networks, and over the gradient of a loss."""
    members = [made(name, part, condition_size=condition_size) for _ in range(3)]
    for number, member in enumerate(members):
        for parameter in member.parameters():
            parameter.data += 0.1 * number
    parameters, _ = stack_module_state(members)
    x = inputs(len(members), B, *SHAPES[part])
    given = [inputs(len(members), B, C)] if condition_size else []

    def loss(parameters, x, *given):
        return functional_call(members[0], parameters, (x, *given)).cos().sum()

    found = vmap(grad(loss))(parameters, x, *given)
    for number, member in enumerate(members):
        member(x[number], *(c[number] for c in given)).cos().sum().backward()
        for path, parameter in member.named_parameters():
            assert_close(found[path][number], parameter.grad)


@both
@pytest.mark.parametrize("name", NETWORKS)
def test_the_bias_is_what_its_output_starts_at(name, part):
    network, x = made(name, part), inputs(B, *SHAPES[part])
    before, change = network(x), inputs(network.bias.numel())
    with torch.no_grad():
        network.bias.add_(change)
    assert_close(network(x) - before, change.expand(B, -1))


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
    sentence = rf"network.hidden must be a list of widths such as \[500\], but is {re.escape(repr(hidden))}"
    with pytest.raises(ValueError, match=sentence):
        MLP((5,), 3, hidden=hidden)


@pytest.mark.parametrize("activation", ["sine", "Tanh", "", None])
def test_an_unknown_activation_is_named_beside_the_known_ones(activation):
    with pytest.raises(
        ValueError, match=f"network.activation.*{activation}.*tanh, relu|network.activation.*tanh, relu.*{activation}"
    ):
        MLP((5,), 3, activation=activation)


# Gates


def test_the_gated_network_is_its_formula():
    """h = (W h + b) ⊙ sigmoid(V h + c), twice, and a linear output. W and V are stacked in one layer."""
    torch.manual_seed(0)
    network, x = GatedMLP((3, 5), 4, hidden=[11, 13]).double(), inputs(B, 3, 5)
    wv1, bc1, wv2, bc2, w, b = numbers(network)
    h = x.numpy().reshape(B, 15)
    for wv, bc, width in [(wv1, bc1, 11), (wv2, bc2, 13)]:
        h = (h @ wv[:width].T + bc[:width]) * expit(h @ wv[width:].T + bc[width:])
    assert_close(network(x).detach().numpy(), h @ w.T + b, rtol=1e-10, atol=1e-12)


# Images

IMAGES = [(7, 11), (1, 1), (1, 1, 1), (1, 28, 28), (3, 7, 11), (7, 11, 3), (5, 2, 9), (3, 64, 64), (64, 64, 3)]


def encoder(shape, outputs=4, **options):
    torch.manual_seed(0)
    return ConvEncoder(shape, outputs, **{"channels": [3, 4], "hidden": [6], **options}).double()


def decoder(shape, per_value=2, rest=0, latents=5, **options):
    torch.manual_seed(0)
    outputs = per_value * math.prod(shape) + rest
    return ConvDecoder((latents,), outputs, shape, **{"channels": [3, 4], "hidden": [6], **options}).double()


@pytest.mark.parametrize("options", [{}, {"channels": [2]}, {"blocks": 2, "kernel": 5, "channels": [2, 3, 5]}])
@pytest.mark.parametrize("shape", IMAGES)
def test_images_of_every_size_and_layout_become_numbers_and_come_from_numbers(shape, options):
    assert encoder(shape, 4, **options)(inputs(2, *shape)).shape == (2, 4)
    for per_value, rest in [(1, 0), (6, 0), (2, 5)]:  # Bernoulli, a mixture of 2, a family with numbers left over
        outputs = per_value * math.prod(shape) + rest
        assert decoder(shape, per_value, rest, **options)(inputs(2, 5)).shape == (2, outputs)


def correlated(maps, weight):
    """Cross-correlation with zeros around, by scipy: (i, h, w) and (o, i, k, k) -> (o, h, w)."""
    return np.stack([sum(correlate2d(m, k, mode="same") for m, k in zip(maps, each, strict=True)) for each in weight])


@pytest.mark.parametrize("blocks", [0, 1])
def test_the_encoder_is_its_formula(blocks):
    """Every second row and column of a correlation; h + f(h); an activation; and a linear map of the flat result."""
    network, x = encoder((7, 5), channels=[3], hidden=[], activation="silu", blocks=blocks), inputs(7, 5)
    w, b, *of_block, w_out, b_out = numbers(network)
    maps = correlated(x.numpy()[None], w)[:, ::2, ::2] + b[:, None, None]
    assert maps.shape == (3, 4, 3)
    maps = maps + (branch(maps, *of_block) if blocks else 0)
    expected = w_out @ FORMULAS["silu"](maps).ravel() + b_out
    assert_close(network(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def branch(maps, w1, b1, w2, b2):
    hidden = correlated(FORMULAS["silu"](maps), w1) + b1[:, None, None]
    return correlated(FORMULAS["silu"](hidden), w2) + b2[:, None, None]


@pytest.mark.parametrize("blocks", [0, 1])
def test_the_decoder_is_its_formula(blocks):
    """A linear map to small maps; h + f(h); an activation; each pixel twice in each direction; a correlation."""
    network, z = decoder((7, 5), channels=[3], hidden=[], activation="silu", blocks=blocks), inputs(5)
    network.bias.data = inputs(2 * 35)
    bias, w_in, b_in, *of_block, w = numbers(network)
    maps = (w_in @ z.numpy() + b_in).reshape(3, 4, 3)
    maps = FORMULAS["silu"](maps + (branch(maps, *of_block) if blocks else 0))
    large = maps.repeat(2, axis=1).repeat(2, axis=2)[:, :7, :5]
    expected = correlated(large, w).ravel() + bias
    assert_close(network(z).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_channels_may_come_last():
    x = inputs(B, 3, 7, 5)
    assert_close(encoder((7, 5, 3))(x.movedim(1, -1)), encoder((3, 7, 5))(x))
    first, last = (decoder(shape)(inputs(B, 5)).unflatten(-1, (2, *shape)) for shape in [(3, 7, 5), (7, 5, 3)])
    assert_close(last.movedim(-1, 2), first)


def test_pixels_may_be_whole_numbers():
    whole = torch.arange(B * 35).view(B, 7, 5).to(torch.uint8)
    assert_close(encoder((7, 5))(whole), encoder((7, 5))(whole.double()))
    assert GatedMLP((7, 5), 3).double()(whole).dtype == torch.float64


def test_every_value_of_an_image_depends_on_every_latent_and_every_number_on_every_pixel():
    for shape in [(28, 28), (3, 7, 11)]:
        network = decoder(shape, rest=3, activation="silu", blocks=1)
        assert (jacrev(network)(inputs(5)) != 0).all()
        assert (jacrev(encoder(shape, activation="silu"))(inputs(*shape)) != 0).all()


def test_an_image_that_is_shifted_by_four_pixels_has_maps_that_are_shifted_by_one():
    network, blob = encoder((64, 48), blocks=1).maps, torch.zeros(1, 1, 64, 48).double()
    blob[..., 29:34, 21:26] = inputs(5, 5)
    background = network(torch.zeros_like(blob))
    change, shifted = network(blob) - background, network(blob.roll((4, -4), (-2, -1))) - background
    assert change[..., 2:-2, 2:-2].count_nonzero() == change.count_nonzero() > 0
    assert_close(shifted, change.roll((1, -1), (-2, -1)))


def test_constant_maps_become_constant_images_without_a_checkerboard():
    network = decoder((3, 64, 48), blocks=1)
    middle = network.maps(torch.ones(1, 4, 16, 12).double() * inputs(4, 1, 1))[0, :, 16:-16, 16:-16]
    assert middle.shape == (6, 32, 16)
    assert_close(middle, middle[:, :1, :1].expand_as(middle))
    transposed = nn.ConvTranspose2d(4, 1, 3, stride=2)(torch.ones(1, 4, 16, 12))[..., 8:-8, 8:-8]
    assert transposed.std() > 0.01  # what the networks avoid


def test_training_starts_at_the_mean_image():
    mean, starts = torch.rand(3, 7, 5) * 0.8 + 0.1, 0
    for row in LIKELIHOODS:
        family, prior = row.make((3, 7, 5)), PRIORS[0].make((), (P,))
        vae = VAE.build((3, 7, 5), diagonal.build((P,)), family, prior, NETWORKS["conv"])
        nn.init.zeros_(vae.decoder.network.maps[-1].weight)
        vae.decoder.start_at(mean)
        if (numbers := family.at_mean(mean)) is not None:
            starts += 1
            known = len(numbers) - vae.decoder.network.rest_size  # the rest depends on z
            assert_close(vae.decoder.network(torch.randn(2, P))[:, :known], numbers[:known].expand(2, -1))
    assert starts > 5


@both
@pytest.mark.parametrize("name", ["deep", "gated", "conv", "residual"])
def test_a_saved_network_is_made_again_from_its_attributes(name, part):
    network = made(name, part, condition_size=C)
    node = node_of(network, "network", ["input_shape", "output_size", "event_shape", "condition_size"])
    make = instantiate({**node, "_partial_": True}, anything, "network")
    more = {"event_shape": EVENTS[part]} if takes(make, "event_shape") else {}
    again = make(SHAPES[part], network.output_size, condition_size=C, **more).double()
    again.load_state_dict(network.state_dict())
    x, c = inputs(B, *SHAPES[part]), inputs(B, C)
    assert torch.equal(again(x, c), network(x, c))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux says how much memory a process has held")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_memory_for_draws_is_not_more_than_evaluation_expects(dtype):
    shape, parts = (1, 28, 28), (DiagonalGaussian((P,)), DiagonalGaussian((1, 28, 28)), StandardNormal((P,)))
    vae = VAE.build(shape, *parts, {"encoder": ConvEncoder, "decoder": ConvDecoder}).to(dtype)
    x = torch.zeros(1, *shape, dtype=dtype)
    expected = decode_bytes(vae, x, x)
    draws = 2**27 // expected
    z = torch.zeros(draws, 1, P, dtype=dtype)
    with torch.no_grad():
        vae.log_likelihood(z[:9], x)
        give_back_freed_memory()
        Path("/proc/self/clear_refs").write_text("5")
        before = held("VmHWM")
        vae.log_likelihood(z, x)
    assert 0.2 < (held("VmHWM") - before) / (draws * expected) < 1.1


def give_back_freed_memory():
    """Otherwise the memory that other tests have freed could serve this one."""
    with suppress(AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def held(name):
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5)])
def test_what_is_no_image_is_refused_with_a_cure(shape):
    sentence = rf"needs images, .* but the shape of {{}} is {re.escape(str(shape))}; use network=mlp"
    with pytest.raises(ValueError, match=sentence.format("x")):
        encoder(shape)
    with pytest.raises(ValueError, match=sentence.format("the target")):
        decoder(shape)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": []}, r"network.channels must be a list of widths such as \[32, 64\], but is \[\]"),
        ({"channels": [3, 0]}, "a width in network.channels must be a whole number of at least 1, but is 0"),
        ({"kernel": 4}, "network.kernel must be odd, such as 3 or 5, but is 4"),
        ({"kernel": 0}, "network.kernel must be a whole number of at least 1, but is 0"),
        ({"hidden": 7}, r"network.hidden must be a list of widths such as \[256\], but is 7"),
        ({"blocks": -1}, "network.blocks must be a whole number of at least 0, but is -1"),
        ({"blocks": 10**9}, "network.blocks must be a whole number of at most 100, but is 1000000000"),
        ({"activation": "sine"}, "network.activation must be one of tanh, .* but is sine"),
        ({"condition_size": -1}, "condition_size must be a whole number of at least 0, but is -1"),
    ],
)
@pytest.mark.parametrize("make", [encoder, decoder])
def test_a_key_of_a_convolutional_network_that_is_out_of_range_is_named(make, options, message):
    with pytest.raises(ValueError, match=message):
        make((7, 5), **options)


def test_a_decoder_with_fewer_numbers_than_pixels_is_refused():
    with pytest.raises(ValueError, match=r"gives at least one number for each of the 35 values .* needs only 34"):
        decoder((7, 5), per_value=0, rest=34)
