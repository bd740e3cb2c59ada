"""Networks that map a tensor to a tensor, depending only on their parameters and their input."""

from vaelab.networks.conv import ConvDecoder, ConvEncoder
from vaelab.networks.gated_mlp import GatedMLP
from vaelab.networks.layers import ACTIVATIONS
from vaelab.networks.mlp import MLP
from vaelab.networks.one_hot_columns import OneHotColumns

__all__ = ["ACTIVATIONS", "MLP", "ConvDecoder", "ConvEncoder", "GatedMLP", "OneHotColumns"]
