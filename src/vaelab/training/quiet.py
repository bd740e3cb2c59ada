"""What Lightning says of itself at every run."""

import logging
import warnings

TALKERS = (
    *("pytorch.utilities.rank_zero", "fabric.utilities.rank_zero", "fabric.utilities.distributed"),
    "pytorch.accelerators.cuda",
)
CHATTER = (
    "GPU available",
    "TPU available",
    "HPU available",
    "💡 Tip",
    "`Trainer.fit` stopped",
    "Restoring states",
    "Restored all states",
    "Initializing distributed",
    "-----",  # around which processes there are
    "Loaded model weights",
    "You are using a CUDA device",  # that has TF32, which `matmul_precision` chooses
    "LOCAL_RANK: ",  # which GPUs there are
)
IRRELEVANT = (
    "GPU available but not used",  # trainer.accelerator=cpu asks for that
    ".*LeafSpec",  # a deprecation inside Lightning
    "The number of training batches",  # VAEModule ends every epoch with a point
    ".*could not find the monitored key",  # a run without validation has no best.ckpt
    "Checkpoint directory .* exists and is not empty",  # a resumed run
    "Total length of `list` across ranks is zero",  # no validation split; the run reports that at its end
)


def quiet_lightning() -> None:
    """Lets through, once, only what a user can act on; everything still reaches the root logger's handlers."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).handlers.clear()  # the root logger prints it already
    for name in TALKERS:
        logging.getLogger(f"lightning.{name}").addFilter(_says_something)  # added once, however many runs a sweep has
    for message in IRRELEVANT:
        warnings.filterwarnings("ignore", message=message)


def _says_something(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(CHATTER)
