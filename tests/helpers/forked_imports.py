"""What `forked` imports once, and what a run then finds imported."""

import gc

import hydra
import lightning.pytorch
import torch.utils.tensorboard  # noqa: F401
from hydra.core.plugins import Plugins

import vaelab.app.hydra_entry
import vaelab.app.resume
import vaelab.app.start
import vaelab.commands.evaluate
import vaelab.commands.latents
import vaelab.data
import vaelab.runs.environment
import vaelab.runs.load
import vaelab.training

__all__ = ["hydra", "lightning", "vaelab"]

Plugins.instance()
gc.freeze()
