"""Compares the sizes in a config with the machine's memory before anything is allocated."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from vaelab.build import build_vae
from vaelab.platforms import memory
from vaelab.runs.weights import shapes_of

NUMBER = 4  # bytes
COPIES = 3  # the data exist at least three times while they are made: the draws, their sine, and their noise
OF_TRAINING = 4  # each weight has a gradient and the two means of Adam
PARTS = ("model", "posterior", "prior", "network")
SPLITS = ("train_size", "val_size", "test_size")


def check_sizes(config: Mapping[str, Any]) -> None:
    """Raises a ValueError if a run's data, or one of its minibatches, do not fit into this machine's memory.

    Args:
        config: the config of a run with the shapes of its data. One that comes from a file was checked before by
            `vaelab.runs.trust.check_config`.
    """
    data, objective = config["data"], config["objective"]
    numbers = math.prod(config["x_shape"]) + math.prod(config["target_shape"])
    rows = {key: data[key] for key in SPLITS if type(data.get(key)) is int}
    for key, count in rows.items():
        _check(f"data.{key}={count}", COPIES * count * numbers)
    samples, batch = _draws(config), _batch(config, rows)
    pairs = min(batch, _whole(objective, "batch_size", 0))  # β-TC and MMD compare each row with those of its group
    sizes = {
        "the size of the data": numbers,
        "network.hidden or latent_dim": max(_widths(config)),
        "network.channels": max(_maps(config), default=0),
        "a full covariance": max(_matrices(config), default=0),
        "objective.batch_size": pairs,
        **_of_families(config),
    }
    widest = max(sizes, key=lambda name: sizes[name])
    draws = f"{samples:,} {'draw' if samples == 1 else 'draws'} of z for each row"
    _check(f"{widest}, with {batch:,} rows in a minibatch and {draws},", samples * batch * sizes[widest])


def check_weights(config: Mapping[str, Any]) -> None:
    """Raises a ValueError if the weights of a new model, or their gradients, do not fit into this machine's memory.

    Nothing is allocated. A model of the user's own classes is not checked, because they may not work on torch's meta
    device.

    Args:
        config: the config of a run with the shapes of its data.
    """
    if not all(target.startswith("vaelab.") for part in PARTS for target in _targets(config[part])):
        return
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            vae = build_vae(config, *shapes_of(config))
    except (RuntimeError, OverflowError, TypeError) as error:
        if "overflow" not in str(error).lower() and "too large" not in str(error):
            return  # the model itself says it better
        raise ValueError("the model has more weights than torch can count; use smaller sizes") from error
    sizes = {name: OF_TRAINING * weight.numel() for name, weight in vae.named_parameters()}
    if sizes:
        largest = max(sizes, key=lambda name: sizes[name])
        shape = " × ".join(f"{size:,}" for size in vae.get_parameter(largest).shape)
        _check(f"training the model, whose largest weight is {largest} ({shape}),", sum(sizes.values()))


def _targets(node: Any) -> Iterator[str]:
    """The constructors that a node and those inside it name."""
    if isinstance(node, Mapping):
        if node.get("_target_") is not None:
            yield str(node["_target_"])
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            yield from _targets(inner)


def _draws(config: Mapping[str, Any]) -> int:
    """How many z an objective draws for each example."""
    objective = config["objective"]
    of_each = _whole(_part(config, "posterior"), "components")  # a mixture is drawn from by strata
    return _whole(objective, "samples") * _whole(objective, "groups") * of_each


def _batch(config: Mapping[str, Any], rows: Mapping[str, int]) -> int:
    """The rows of the largest minibatch, as far as the config says them.

    A split of unknown size is taken to be no larger than the training split.
    """
    data, most = config["data"], _count(config, "train_size")
    tested = max(rows.get(key, most) for key in ("val_size", "test_size"))
    batches = [
        min(_count(data, "batch_size"), rows.get("train_size", most)),
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


def _of_families(config: Mapping[str, Any]) -> dict[str, int]:
    """How many numbers describe p(t|z), or are compared with one z, at least, if a key decides it: key -> numbers."""
    likelihood, size = _part(config, "model"), math.prod(config["target_shape"])
    sizes = {f"model.{key}": size * _whole(likelihood, key) for key in ("categories", "components", "rank")}
    of_columns = [count for counts in _lists(likelihood, "categories") for count in counts if type(count) is int]
    for group in ("posterior", "prior"):
        part = _part(config, group)
        sizes[f"{group}.components"] = config["latent_dim"] * _whole(part, "components")
        if part.get("kind") == "spline":
            sizes[f"{group}.bins"] = config["latent_dim"] * _whole(part, "bins")
    return {**sizes, "the categories of the columns": sum(of_columns)}


def _is_full(family: Any) -> bool:
    return isinstance(family, Mapping) and str(family.get("_target_")).endswith(".FullGaussian")


def _part(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return node if isinstance(node := config.get(key), Mapping) else {}


def _whole(part: Mapping[str, Any], key: str, otherwise: int = 1) -> int:
    """The whole number under a key, or another number if there is none."""
    return part[key] if type(part.get(key)) is int else otherwise


def _count(data: Mapping[str, Any], key: str) -> float:
    return data[key] if type(data.get(key)) is int else math.inf


def _check(what: str, numbers: int) -> None:
    if numbers * NUMBER > memory():
        needed, there = (f"{size / 2**30:,.0f} GB" for size in (numbers * NUMBER, memory()))
        raise ValueError(
            f"{what} needs at least {needed} of memory, but this machine has {there}; use smaller sizes, or a larger "
            "machine"
        )
