"""The number by which runs are judged: the key `score`."""

from omegaconf import DictConfig, OmegaConf

from vaelab.sweeps.scores import is_lower_better

OF_VERSION_0_1 = "val/elbo"  # whose configs have no key `score`


def score_of(cfg: DictConfig) -> str:
    """The tag of the number by which a run is judged, such as `val/elbo`."""
    return str(cfg.get("score") or OF_VERSION_0_1)


def better(score: str) -> str:
    """`max` if a higher score is better, as of bounds; `min` if a lower one is, as of `val/loss` and `val/nll`."""
    return "min" if is_lower_better(score) else "max"


OmegaConf.register_new_resolver("better", better, replace=True)  # config files write ${better:${score}}
