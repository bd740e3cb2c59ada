"""Networks that map a tensor to a tensor, depending only on their parameters and their input."""

from vaelab.networks.mlp import ACTIVATIONS, MLP
from vaelab.networks.one_hot_columns import OneHotColumns

__all__ = ["ACTIVATIONS", "MLP", "OneHotColumns"]
