"""Imports everything that the runs of a sweep need. The server that they are forked from imports this module once."""

from vaelab.sweeps.preloaded_process import preloading

with preloading():
    import lightning.pytorch
    import torch.utils.tensorboard
    from hydra.core.plugins import Plugins

    import vaelab.app.conclude
    import vaelab.app.fit
    import vaelab.app.hydra_entry
    import vaelab.app.hydra_sweeps.summarise_sweep
    import vaelab.app.resume
    import vaelab.app.start
    import vaelab.commands.evaluate
    import vaelab.commands.traverse
    import vaelab.data
    import vaelab.priors
    import vaelab.runs.environment
    import vaelab.runs.load
    import vaelab.training

    Plugins.instance()  # finding Hydra's plug-ins takes a quarter of a second

__all__ = ["lightning", "torch", "vaelab"]
