"""The key `score`: the number that says how good a run is."""

from omegaconf import DictConfig, OmegaConf

from vaelab.sweeps.scores import is_lower_better

OF_VERSION_0_1 = "val/elbo"  # the score of version 0.1, which had no key `score`


def score_of(cfg: DictConfig) -> str:
    """The tag of a run's score, such as `val/elbo`."""
    return str(cfg.get("score") or OF_VERSION_0_1)


def better(score: str) -> str:
    """`max` if a higher score is better, as for bounds; `min` if a lower one is, as for `val/loss` and `val/nll`."""
    return "min" if is_lower_better(score) else "max"


OmegaConf.register_new_resolver("better", better, replace=True)  # config files write ${better:${score}}
