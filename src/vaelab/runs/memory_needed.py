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
    of_parts = (*_widths(config["network"]), *_maps(config), *_matrices(config), *_outputs(config))
    widest = max(numbers, config["latent_dim"], *of_parts)
    samples = objective.get("samples") if type(objective.get("samples")) is int else 1
    tested = max(rows.get(key, math.inf) for key in ("val_size", "test_size"))
    batches = [
        min(_count(data, "batch_size"), rows.get("train_size", math.inf)),
        min(_count(data, "eval_batch_size"), tested),
    ]
    batch = max([1, *(int(rows_at_once) for rows_at_once in batches if rows_at_once < math.inf)])
    _check(f"objective.samples={samples}", samples * batch * widest)


def _widths(network: Mapping[str, Any]) -> list[int]:
    """The widths of the hidden layers."""
    return [width for hidden in _lists(network, "hidden") for width in hidden if type(width) is int]


def _maps(config: Mapping[str, Any]) -> list[int]:
    """The numbers in the maps that a convolutional decoder enlarges: the last of them are as large as the image."""
    pixels = math.prod(sorted(config["target_shape"])[-2:])
    return [
        count * pixels // 4**halvings
        for channels in _lists(config["network"], "channels")
        for halvings, count in enumerate(channels)
        if type(count) is int
    ]


def _lists(network: Mapping[str, Any], key: str) -> list[list[Any]]:
    """The lists under a key, in one network for both or in each."""
    nodes = [network, *(node for name in ("encoder", "decoder") if isinstance(node := network.get(name), Mapping))]
    return [node[key] for node in nodes if isinstance(node.get(key), list)]


def _matrices(config: Mapping[str, Any]) -> list[int]:
    """The sizes of the matrices that full covariances have for each row."""
    sides = {"posterior": config["latent_dim"], "model": math.prod(config["target_shape"])}
    return [side**2 for key, side in sides.items() if _is_full(config.get(key))]


def _outputs(config: Mapping[str, Any]) -> list[int]:
    """How many numbers a likelihood takes for each row, at least, if a key decides it."""
    counts = [config["model"].get(key) for key in ("categories", "components", "rank")]
    return [count * math.prod(config["target_shape"]) for count in counts if type(count) is int]


def _is_full(family: Any) -> bool:
    return isinstance(family, Mapping) and str(family.get("_target_")).endswith(".FullGaussian")


def _count(data: Mapping[str, Any], key: str) -> float:
    return data[key] if type(data.get(key)) is int else math.inf


def _check(asked: str, numbers: int) -> None:
    if numbers * NUMBER > memory():
        gigabytes = [f"{size / 2**30:,.0f} GB" for size in (numbers * NUMBER, memory())]
        raise ValueError(
            f"{asked} in the run's config needs at least {gigabytes[0]} of memory, but this machine has "
            f"{gigabytes[1]}; use a larger machine"
        )
