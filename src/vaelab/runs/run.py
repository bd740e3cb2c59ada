"""A trained run: its VAE, its config and its data module."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaelab.baseline import Baseline
from vaelab.build import build_data
from vaelab.files import read_json
from vaelab.runs.admitted import admitted, constructor
from vaelab.runs.curves import read_curves
from vaelab.runs.local_data import check_at_hand, local_data
from vaelab.runs.memory_needed import check_sizes
from vaelab.runs.run_text import line_about
from vaelab.runs.trust import check_data_config
from vaelab.vae import VAE

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from vaelab.data import DataModule

DECIDED = ("_target_", "support", "condition")  # keys of the data that the model decides


@dataclass(frozen=True)
class Run:
    """A trained VAE with its config, as `load_run` returns it.

    Attributes:
        folder: the run's folder.
        checkpoint: the file that the weights were read from.
        config: the run's config, with every value filled in.
        vae: the trained VAE, in eval mode.
        x_shape: the shape of x, the encoder's input.
        target_shape: the shape of the target, which the decoder is scored on.
        allow: packages other than vaelab whose constructors the config may name.
        x_names: the names of the encoder's inputs, in its order; None if they have no names.
        condition_shape: the shape of a conditional model's condition; None for other models.
        condition_names: the names of the numbers in a condition, such as its classes; None if they have no names.
        baseline: the likelihood without a latent, fitted to the training data: `baseline()` is the distribution. None
            for a run of an older version.
        steps_per_epoch: the optimiser steps in an epoch; None if there was no whole epoch.
    """

    folder: Path
    checkpoint: Path
    config: dict[str, Any]
    vae: VAE
    x_shape: tuple[int, ...]
    target_shape: tuple[int, ...]
    allow: tuple[str, ...] = ()
    x_names: tuple[str, ...] | None = None
    condition_shape: tuple[int, ...] | None = None
    condition_names: tuple[str, ...] | None = None
    baseline: Baseline | None = None
    steps_per_epoch: int | None = None

    def __repr__(self) -> str:
        return line_about(self)

    @property
    def metrics(self) -> dict[str, float]:
        """The final numbers of training (`metrics.json`), in nats per example; null is NaN. Empty if there are none."""
        try:
            found = read_json(self.folder / "metrics.json")
        except (OSError, ValueError):  # there is none, or it was edited by hand
            return {}
        pairs = found.items() if isinstance(found, dict) else ()
        numbers = {tag: math.nan if value is None else value for tag, value in pairs}
        return {tag: float(value) for tag, value in numbers.items() if type(value) in (int, float)}

    def curves(self) -> dict[str, "np.ndarray[Any, Any]"]:
        """The curves of training, as equally long arrays for `pandas.DataFrame`: `step`, `epoch`, `train/elbo`, ….

        A curve is NaN at the steps where it has no point. Steps count from 0, as in TensorBoard, and epochs from 1, as
        in the progress bar. You can call this while the run trains.

        Raises:
            ValueError: the files that hold the curves cannot be read.
        """
        return read_curves(self.folder, self.steps_per_epoch)

    def figure(self, name: str, data: Any = None) -> "Figure":
        """Draws a picture as a matplotlib figure, which shows itself in a notebook. `figure.savefig("a.png")` saves it.

            run.figure("latents")
            run.figure("reconstructions", data=x)

        Args:
            name: `curves`, `latents`, `reconstructions`, `prior_samples`, `manifold`, `traversals`, `kl_per_dimension`,
                `surface` or `styles`.
            data: the examples to show: `train`, `val` (None) or `test` of the run's data; a data module such as
                `run.datamodule(root="elsewhere")`; a tensor or array x (n, *x); or a tuple (x, target) or
                (x, target, condition).

        Raises:
            ValueError: there is no such picture for this run, or the data do not fit the model.
            FileNotFoundError: the run's data are not where they were.
        """
        from vaelab.runs.figure import figure

        return figure(self, name, data)

    def ready_datamodule(self, overrides: Mapping[str, Any]) -> "DataModule":
        """The run's data module with its data.

        Raises:
            FileNotFoundError: the data are not where the run read them.
            ValueError: as for `datamodule`, or from the data module itself.
        """
        module = self.datamodule(**overrides)
        check_at_hand(local_data(self.config["data"] | overrides, self.allow))
        try:
            if not type(module).__module__.startswith("vaelab."):
                module.prepare_data()  # vaelab's own would download missing data, and a loaded run downloads nothing
            module.setup()
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"the data of {self.folder} were not found ({error}); if they have moved, set --data root=FOLDER (IDX "
                "images) or --data path=FILE (rows)"
            ) from error
        return module

    def datamodule(self, **overrides: Any) -> "DataModule":
        """The run's data module, without its data. `setup()` reads or draws them.

        Args:
            overrides: keys of the data config to change, such as `root` if the files have moved.

        Raises:
            ValueError: there is no such key, or its value is invalid.
        """
        from vaelab.data import DataModule

        check_data_config(self.config, self.folder, self.allow)
        check_sizes(self.config)
        data = self.config["data"]
        make = constructor(data["_target_"], self.allow, DataModule)
        known = dict.fromkeys([*data, *signature(make).parameters])  # a run of an older version lacks newer keys
        keys = [key for key in known if key not in DECIDED]
        if unknown := [key for key in overrides if key not in keys]:
            raise ValueError(f"{unknown[0]} is not a key of the run's data; its keys are {', '.join(keys)}")
        changed = {**self.config, "data": local_data(data | overrides, self.allow)}
        module = build_data(changed, admitted(self.allow))
        module.model_names = self.x_names
        module.model_condition_names = self.condition_names
        module.model_columns = self.config
        return module
