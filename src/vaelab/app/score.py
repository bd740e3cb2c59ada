"""The number by which runs are judged: the key `score`."""

from omegaconf import DictConfig, OmegaConf

LOWER = ("loss", "nll", "kl", "error", "mse", "rmse", "mae")  # last words of scores that are better if they are lower
OF_VERSION_0_1 = "val/elbo"  # whose configs have no key `score`


def score_of(cfg: DictConfig) -> str:
    """The tag of the number by which a run is judged, such as `val/elbo`."""
    return str(cfg.get("score") or OF_VERSION_0_1)


def better(score: str) -> str:
    """`max` if a higher score is better, as of bounds; `min` if a lower one is, as of `val/loss` and `val/nll`."""
    return "min" if score.split("/")[-1].split("_")[-1] in LOWER else "max"


OmegaConf.register_new_resolver("better", better, replace=True)  # config files write ${better:${score}}
