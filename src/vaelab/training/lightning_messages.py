"""Hides the messages that Lightning prints in every run."""

import logging
import warnings

LOGGERS = (
    *("pytorch.utilities.rank_zero", "fabric.utilities.rank_zero", "fabric.utilities.distributed"),
    "pytorch.accelerators.cuda",
)
HIDDEN_MESSAGES = (
    "GPU available",
    "TPU available",
    "HPU available",
    "💡 Tip",
    "`Trainer.fit` stopped",
    "Restoring states",
    "Restored all states",
    "Initializing distributed",
    "-----",  # a frame around the list of processes
    "Loaded model weights",
    "You are using a CUDA device",  # that has TF32, which `matmul_precision` chooses
    "LOCAL_RANK: ",  # a list of the GPUs
)
HIDDEN_WARNINGS = (
    "GPU available but not used",  # the user chose this with trainer.accelerator=cpu
    ".*LeafSpec",  # a deprecation inside Lightning
    "The number of training batches",  # VAEModule ends every epoch with a point of the curves
    ".*could not find the monitored key",  # a run without validation has no best.ckpt
    "Checkpoint directory .* exists and is not empty",  # a resumed run
    "Total length of `list` across ranks is zero",  # no validation split; the run reports that at its end
)


def quiet_lightning() -> None:
    """Hides messages and warnings that a user cannot act on, and prints every other one once."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).handlers.clear()  # the root logger prints it already
    for name in LOGGERS:
        logging.getLogger(f"lightning.{name}").addFilter(_is_shown)  # added once, however many runs a sweep has
    for message in HIDDEN_WARNINGS:
        warnings.filterwarnings("ignore", message=message)


def _is_shown(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(HIDDEN_MESSAGES)
