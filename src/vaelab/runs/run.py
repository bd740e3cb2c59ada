"""A trained VAE and what it was made from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaelab.build import build_data
from vaelab.files import read_json
from vaelab.runs.admitted import admitted, constructor
from vaelab.runs.local_data import check_at_hand, local_data
from vaelab.runs.memory_needed import check_sizes
from vaelab.runs.trust import check_data_config
from vaelab.vae import VAE

if TYPE_CHECKING:
    from vaelab.data import DataModule

DECIDED = ("_target_", "support", "condition")  # keys of the data that the model decides


@dataclass(frozen=True)
class Run:
    """A trained VAE and what it was made from.

    Attributes:
        folder: the run's.
        checkpoint: the weights that were read.
        config: the run's config, every value filled in.
        vae: the trained VAE, in eval mode.
        x_shape: the shape of x, the encoder's input.
        target_shape: the shape of the target, which the decoder is scored on.
        allow: the packages beside vaelab that the config may take constructors from.
        x_names: names of the numbers that the encoder sees, in its order; None if they have none.
        condition_shape: the shape of the condition that a conditional model sees; None for any other.
        condition_names: names of the condition's numbers, such as its classes; None if they have none.
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

    @property
    def metrics(self) -> dict[str, float]:
        """`metrics.json`: the final numbers of training, nats per example; null is NaN. Empty if there are none."""
        try:
            found = read_json(self.folder / "metrics.json")
        except (OSError, ValueError):  # there is none, or someone has edited it
            return {}
        pairs = found.items() if isinstance(found, dict) else ()
        numbers = {tag: math.nan if value is None else value for tag, value in pairs}
        return {tag: float(value) for tag, value in numbers.items() if type(value) in (int, float)}

    def ready_datamodule(self, overrides: Mapping[str, Any]) -> "DataModule":
        """The run's data module with its data.

        Raises:
            FileNotFoundError: the data are not in the place that the run read them from.
            ValueError: as `datamodule`, or as the data module itself.
        """
        module = self.datamodule(**overrides)
        check_at_hand(local_data(self.config["data"] | overrides, self.allow))
        try:
            if not type(module).__module__.startswith("vaelab."):
                module.prepare_data()  # vaelab's own fetch what is missing, and a loaded run fetches nothing
            module.setup()
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"the data of {self.folder} are not found ({error}); if they have moved, say where with "
                "--data root=FOLDER (IDX images) or --data path=FILE (rows)"
            ) from error
        return module

    def datamodule(self, **overrides: Any) -> "DataModule":
        """The run's data module, as yet without data: `setup()` reads or draws them.

        Args:
            overrides: keys of the data config to change, such as `root` if the files have moved.

        Raises:
            ValueError: there is no such key, or its value makes no sense.
        """
        from vaelab.data import DataModule

        check_data_config(self.config, self.folder, self.allow)
        check_sizes(self.config)
        data = self.config["data"]
        make = constructor(data["_target_"], self.allow, DataModule)
        known = dict.fromkeys([*data, *signature(make).parameters])  # a run of an older version lacks newer keys
        keys = [key for key in known if key not in DECIDED]
        if unknown := [key for key in overrides if key not in keys]:
            raise ValueError(f"{unknown[0]} is not a key of the run's data; the keys are {', '.join(keys)}")
        changed = {**self.config, "data": local_data(data | overrides, self.allow)}
        module = build_data(changed, admitted(self.allow))
        module.model_names = self.x_names
        module.model_condition_names = self.condition_names
        return module
