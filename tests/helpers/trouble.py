"""Things that can go wrong in a cell."""

import os
import signal

from lightning.pytorch import Callback


class Trouble(Callback):
    """Ends the process at the end of the first epoch, as if memory had run out."""

    def __init__(self, kind):
        self.kind = kind

    def on_train_epoch_end(self, trainer, pl_module):
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "raise":
            raise RuntimeError("trouble")
