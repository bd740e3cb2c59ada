"""Compares the sizes in a config with the machine's memory before anything is allocated."""

import math
from collections.abc import Mapping
from typing import Any

from vaelab.platforms import memory

NUMBER = 4  # bytes
COPIES = 3  # the data exist at least three times while they are made: the draws, their sine, and their noise
SPLITS = ("train_size", "val_size", "test_size")


def check_sizes(config: Mapping[str, Any]) -> None:
    """Raises a ValueError if a run's data, or one of its minibatches, do not fit into this machine's memory.

    Args:
        config: the config of a run, after `vaelab.runs.trust.check_config`.
    """
    data, objective = config["data"], config["objective"]
    numbers = math.prod(config["x_shape"]) + math.prod(config["target_shape"])
    rows = {key: data[key] for key in SPLITS if type(data.get(key)) is int}
    for key, count in rows.items():
        _check(f"data.{key}={count}", COPIES * count * numbers)
    samples, batch = _draws(config), _batch(data, rows)
    widest = max(numbers, *_widths(config), *_maps(config), *_matrices(config), *_of_families(config))
    pairs = min(batch, _whole(objective, "batch_size", 0))  # β-TC and MMD compare each row with those of its group
    _check(f"objective.samples={_whole(objective, 'samples')}", samples * batch * max(widest, pairs))


def _draws(config: Mapping[str, Any]) -> int:
    """How many z an objective draws for each example."""
    objective = config["objective"]
    of_each = _whole(_part(config, "posterior"), "components")  # a mixture is drawn from by strata
    return _whole(objective, "samples") * _whole(objective, "groups") * of_each


def _batch(data: Mapping[str, Any], rows: Mapping[str, int]) -> int:
    """The rows of the largest minibatch, as far as the config says them."""
    tested = max(rows.get(key, math.inf) for key in ("val_size", "test_size"))
    batches = [
        min(_count(data, "batch_size"), rows.get("train_size", math.inf)),
        min(_count(data, "eval_batch_size"), tested),
    ]
    return max([1, *(int(rows_at_once) for rows_at_once in batches if rows_at_once < math.inf)])


def _widths(config: Mapping[str, Any]) -> list[int]:
    """The widths of the hidden layers that map each z, and of z."""
    parts = config["network"], _part(config, "posterior"), _part(config, "prior")
    widths = [width for part in parts for hidden in _lists(part, "hidden") for width in hidden if type(width) is int]
    return [*widths, config["latent_dim"] * _whole(_part(config, "posterior"), "categories")]


def _maps(config: Mapping[str, Any]) -> list[int]:
    """The numbers in the maps that a convolutional decoder enlarges: the last of them are as large as the image."""
    pixels = math.prod(sorted(config["target_shape"])[-2:])
    return [
        count * pixels // 4**halvings
        for channels in _lists(config["network"], "channels")
        for halvings, count in enumerate(channels)
        if type(count) is int
    ]


def _lists(part: Mapping[str, Any], key: str) -> list[list[Any]]:
    """The lists under a key of a part; networks may have it in one node for both or in each."""
    nodes = [part, *(node for name in ("encoder", "decoder") if isinstance(node := part.get(name), Mapping))]
    return [node[key] for node in nodes if isinstance(node.get(key), list)]


def _matrices(config: Mapping[str, Any]) -> list[int]:
    """The sizes of the matrices that full covariances have for each row."""
    sides = {"posterior": config["latent_dim"], "model": math.prod(config["target_shape"])}
    return [side**2 for key, side in sides.items() if _is_full(config.get(key))]


def _of_families(config: Mapping[str, Any]) -> list[int]:
    """How many numbers describe p(t|z), or are compared with one z, at least, if a key decides it."""
    likelihood, size = _part(config, "model"), math.prod(config["target_shape"])
    counts = [_whole(likelihood, key) for key in ("categories", "components", "rank")]
    of_columns = [count for counts in _lists(likelihood, "categories") for count in counts if type(count) is int]
    latents = _part(config, "posterior"), _part(config, "prior")
    of_latents = [_whole(part, "components") for part in latents]
    of_latents += [_whole(part, "bins") for part in latents if part.get("kind") == "spline"]
    wide = (count * config["latent_dim"] for count in of_latents)
    return [sum(of_columns), *(count * size for count in counts), *wide]


def _is_full(family: Any) -> bool:
    return isinstance(family, Mapping) and str(family.get("_target_")).endswith(".FullGaussian")


def _part(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return node if isinstance(node := config.get(key), Mapping) else {}


def _whole(part: Mapping[str, Any], key: str, otherwise: int = 1) -> int:
    """The whole number under a key, or another number if there is none."""
    return part[key] if type(part.get(key)) is int else otherwise


def _count(data: Mapping[str, Any], key: str) -> float:
    return data[key] if type(data.get(key)) is int else math.inf


def _check(asked: str, numbers: int) -> None:
    if numbers * NUMBER > memory():
        gigabytes = [f"{size / 2**30:,.0f} GB" for size in (numbers * NUMBER, memory())]
        raise ValueError(
            f"{asked} in the run's config needs at least {gigabytes[0]} of memory, but this machine has "
            f"{gigabytes[1]}; use a larger machine"
        )
