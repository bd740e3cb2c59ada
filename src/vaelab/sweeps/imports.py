"""Imports what a run needs, for those that are forked from this process."""

import gc

gc.disable()  # none of it is garbage, and to look for some takes a second

import torch.utils.tensorboard  # noqa: E402, F401

import vaelab.data  # noqa: E402
import vaelab.runs.environment  # noqa: E402
import vaelab.runs.load  # noqa: E402
import vaelab.training  # noqa: E402, F401

gc.enable()
gc.freeze()
