"""What Lightning says of itself at every run."""

import logging
import warnings

CHATTER = (
    "GPU available",
    "TPU available",
    "HPU available",
    "💡 Tip",
    "`Trainer.fit` stopped",
    "Restoring states",
    "Loaded model weights",
)
IRRELEVANT = (
    ".*LeafSpec",  # a deprecation inside Lightning
    "The number of training batches",  # VAEModule ends every epoch with a point
    ".*could not find the monitored key",  # a run without validation has no best.ckpt
)


def quiet_lightning() -> None:
    """Lets through, once, only what a user can act on; everything still reaches the root logger's handlers."""
    logging.getLogger("lightning.pytorch").handlers.clear()  # the root logger prints it already
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).addFilter(_says_something)  # added once, however many runs a sweep has
    for message in IRRELEVANT:
        warnings.filterwarnings("ignore", message=message)


def _says_something(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(CHATTER)
