"""What an option needs beside itself, so that a short run with it is possible."""

from pathlib import Path

PIXELS = (
    "model=bernoulli",
    "model=continuous_bernoulli",
    "model=discretized_logistic",
    "network=conv",
    "network=residual",
)
COUNTS = ("model=poisson", "model=negative_binomial", "model=categorical")
DISCRETE = ("posterior=bernoulli", "posterior=categorical", "prior=bernoulli", "prior=categorical")
MORE = {
    "model=categorical": ["model.categories=5"],
    "network=conv": ["network.channels=[3]"],
    "network=residual": ["network.channels=[3]"],
    "prior=flow": ["prior.kind=spline"],  # or else nothing reads prior.bins
}


def data_for(option: str, folder: Path) -> list[str]:
    """The overrides for data that an option can work with, if those are not the sine's; `folder` is `small_mnist`."""
    if option in PIXELS:
        return ["data=mnist", f"data.root={folder}", "data.val_size=13"]
    if option in COUNTS:
        return ["data=array", f"data.path={folder / 'counts.npy'}"]
    if option == "model=columns":
        return ["data=table", f"data.path={folder / 'mixed.csv'}"]
    if option == "prior=conditional":
        table = ["data=table", f"data.path={folder / 'mixed.csv'}", "data.columns=[height,visits]"]
        return [*table, "data.label=colour", "condition=label"]
    return []


def parts_for(option: str) -> list[str]:
    """The overrides for other parts of the model and for the option's own keys."""
    if option in DISCRETE:
        kind = option.partition("=")[2]
        return [f"posterior={kind}", f"prior={kind}", "objective.gradient=gumbel_softmax"]
    return [option, *MORE.get(option, [])]
