"""Training with Lightning: the module, the callbacks and the tight loop."""

from vaelab.training.allocator import keep_freed_memory
from vaelab.training.checkpoint_io import CheckpointIO
from vaelab.training.collapse import CollapseWatch
from vaelab.training.cosine_decay import CosineDecay
from vaelab.training.cpu_threads import worthwhile_threads
from vaelab.training.csv_logger import CSVLogger
from vaelab.training.event_files import explain_write_errors
from vaelab.training.final_scores import score_best
from vaelab.training.fit import fit
from vaelab.training.last_checkpoint import LastCheckpoint
from vaelab.training.lightning_messages import quiet_lightning
from vaelab.training.mlflow_logger import MLFlowLogger
from vaelab.training.module import VAEModule
from vaelab.training.non_finite import Diverged
from vaelab.training.pictures import Pictures
from vaelab.training.processes import ddp_processes
from vaelab.training.progress_bar import Progress
from vaelab.training.pruning import PruneTrial
from vaelab.training.schedule_length import unfinished_schedule
from vaelab.training.wandb_logger import WandbLogger

__all__ = [
    "CSVLogger",
    "CheckpointIO",
    "CollapseWatch",
    "CosineDecay",
    "Diverged",
    "LastCheckpoint",
    "MLFlowLogger",
    "Pictures",
    "Progress",
    "PruneTrial",
    "VAEModule",
    "WandbLogger",
    "ddp_processes",
    "explain_write_errors",
    "fit",
    "keep_freed_memory",
    "quiet_lightning",
    "score_best",
    "unfinished_schedule",
    "worthwhile_threads",
]
