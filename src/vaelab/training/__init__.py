"""Lightning glue and nothing else."""

from vaelab.training.checkpoints import CheckpointIO, LastCheckpoint
from vaelab.training.curves import rewind, written_or_said
from vaelab.training.final_scores import score_best
from vaelab.training.fit import fit
from vaelab.training.heap import keep_memory
from vaelab.training.module import VAEModule
from vaelab.training.parallel import companions
from vaelab.training.pictures import Pictures
from vaelab.training.progress import Progress
from vaelab.training.pruning import PruneTrial
from vaelab.training.quiet import quiet_lightning
from vaelab.training.threads import worthwhile_threads

__all__ = [
    "CheckpointIO",
    "LastCheckpoint",
    "Pictures",
    "Progress",
    "PruneTrial",
    "VAEModule",
    "companions",
    "fit",
    "keep_memory",
    "quiet_lightning",
    "rewind",
    "score_best",
    "worthwhile_threads",
    "written_or_said",
]
