"""What `forked` imports once, and what a run then finds imported."""

import gc

import hydra
import lightning.pytorch
import torch.utils.tensorboard  # noqa: F401
from hydra.core.plugins import Plugins

import vaelab.commands.evaluate
import vaelab.commands.traverse
import vaelab.data
import vaelab.runs.environment
import vaelab.runs.load
import vaelab.training

__all__ = ["hydra", "lightning", "vaelab"]

Plugins.instance()
gc.freeze()
