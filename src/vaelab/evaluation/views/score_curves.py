"""The picture of a run's ELBO over its epochs, and the landmarks in it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from vaelab.evaluation.views.arrays import Array, array
from vaelab.figures import Curves

LANDMARKS = ("baseline", "ceiling")
Points = tuple[Sequence[float] | Array | Tensor, Sequence[float] | Array | Tensor]  # epochs, and values at them


def curves(
    train: Points | None, val: Points | None, landmarks: Mapping[str, float] | None = None, score: str = "ELBO"
) -> Curves:
    """A score over epochs, on training and on validation data, with landmarks as dashed lines.

    >>> picture = curves(([1, 2, 3], [-3.0, -2.0, -1.5]), ([1, 3], [-2.5, -1.6]), {"baseline": -2.0, "ceiling": -1.2})
    >>> picture.val.shape
    (2, 2)

    Args:
        train: epochs (n,) and values (n,), nats per example; values that are not finite are left out. None if there
            are none.
        val: the same on validation data, with any number of points.
        landmarks: `baseline`, `ceiling` -> nats per example on validation data.
        score: the name of the score.

    Raises:
        ValueError: there are more epochs than values, or fewer.
    """
    known = {name: float(value) for name, value in (landmarks or {}).items() if np.isfinite(value)}
    return Curves(_points(train), _points(val), known, score)


def landmarks_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The landmarks of the validation split, from the numbers of a run.

    >>> landmarks_of({"val/elbo": -1.3, "val/baseline": -2.0, "test/baseline": -2.1})
    {'baseline': -2.0}

    Args:
        metrics: tag -> number, such as the `callback_metrics` of a trainer.
    """
    return {name: float(metrics[f"val/{name}"]) for name in LANDMARKS if f"val/{name}" in metrics}


def _points(given: Points | None) -> Array:
    """Epochs and finite values, (2, n)."""
    if given is None:
        return np.zeros((2, 0))
    epochs, values = (array(part) if isinstance(part, Tensor) else np.asarray(part, float) for part in given)
    if epochs.shape != values.shape or epochs.ndim != 1:
        raise ValueError(f"a curve must have one value per epoch, but has shapes {epochs.shape} and {values.shape}")
    points: Any = np.stack([epochs, values])
    return np.asarray(points[:, np.isfinite(points).all(0)])
