"""Networks that map a tensor to a tensor, depending only on their parameters and their input."""

from vaelab.networks.mlp import ACTIVATIONS, MLP

__all__ = ["ACTIVATIONS", "MLP"]
