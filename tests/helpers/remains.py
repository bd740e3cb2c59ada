"""Everything that a run leaves, to compare two runs bit for bit."""

from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader


def points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every number in the event files of a run, unchanged: tag -> (step, value), nothing purged."""
    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*"), key=lambda path: (len(path.name), path.name)):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    found.setdefault(value.tag, []).append((event.step, value.tensor.float_val[0]))
    return found


def remains(folder: Path) -> dict[str, Any]:
    """Weights, optimiser, schedules, counters, callbacks, random state, final numbers and curves."""
    found: dict[str, Any] = {"metrics": (folder / "metrics.json").read_text(), "curves": points(folder)}
    for name in ("last", "best"):
        content = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
        if "position" in content:
            content["position"].pop("curves")  # the lengths of files, of which a run in parts has several
        for key in ("hyper_parameters", "pytorch-lightning_version"):
            content.pop(key)
        found[name] = plain(content, str(folder))
    return found


def plain(value: Any, folder: str = "") -> Any:
    """Tensors as bytes, and paths without the folder, so that == compares."""
    if isinstance(value, torch.Tensor):
        return value.dtype, tuple(value.shape), value.cpu().numpy().tobytes()
    if isinstance(value, dict):
        return {plain(key, folder): plain(inner, folder) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, folder) for inner in value]
    return value.replace(folder, "") if folder and isinstance(value, str) else value


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """The places where two of them differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [*one, *(key for key in other if key not in one)]
        return [line for key in keys for line in differences(one.get(key), other.get(key), f"{path}.{key}")]
    if one == other:
        return []
    return [f"{path}: {str(one)[:80]} != {str(other)[:80]}"]
