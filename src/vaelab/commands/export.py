"""`vaelab export`: the encoder and the decoder for other programs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

import vaelab
from vaelab.commands.export_formats import Exported, to_onnx, to_pt2, to_safetensors
from vaelab.commands.exported_parts import LeftOut, examples_for, parts_of
from vaelab.runs.run import Run
from vaelab.seeded import seeded
from vaelab.tables import check_place
from vaelab.whole_files import write_whole

ENDINGS = (".onnx", ".pt2", ".safetensors")
BATCHES = (3, 1, 7)  # the sizes of the batches that are checked
DESCRIBE = (  # the keys of a config that say what the model is; none of them holds a path
    *("latent_dim", "condition", "model", "posterior", "prior", "network", "objective", "kl", "standardize"),
    *("levels", "x_shape", "target_shape", "condition_shape", "x_names", "condition_names"),
)


def export(run: Run, file: str | Path) -> str:
    """Writes a model for other programs. Returns a line for each file that it wrote or left out.

    FILE.onnx and FILE.pt2 become two files each, FILE.encoder.onnx and FILE.decoder.onnx: x -> mean and std of q(z|x),
    and z -> mean and std of p(t|z), in the units of the data and for a batch of any size. FILE.safetensors holds the
    weights.

    Args:
        run: the run, from `load_run`. Its data need not be there.
        file: a .onnx, .pt2 or .safetensors file.

    Raises:
        ValueError: the ending is unknown, a package is missing, neither part can be exported, or a file gives other
            numbers than torch.
        OSError: a file cannot be written.
    """
    file = check_export_path(Path(file))
    notes = {"vaelab": vaelab.__version__, "config": json.dumps(described(run))}
    if file.suffix.lower() == ".safetensors":
        return _write_weights(run, file, notes)
    return _write_parts(run, file, notes)


def _write_weights(run: Run, file: Path, notes: Mapping[str, str]) -> str:
    weights = run.vae.state_dict()
    write_whole(file, to_safetensors(weights, {"format": "pt", **notes}))
    return f"{file}  {sum(value.numel() for value in weights.values()):,} numbers in {len(weights)} tensors"


def _write_parts(run: Run, file: Path, notes: Mapping[str, str]) -> str:
    """Writes the encoder and the decoder, once both are checked."""
    onnx = file.suffix.lower() == ".onnx"  # onnxruntime lacks many operations in float64
    parts, make = parts_of(run, single=onnx), to_onnx if onnx else to_pt2
    done, lines, left_out = {}, [], []
    for name, part in parts.items():
        path = file.with_suffix(f".{name}{file.suffix}")
        with seeded(0):
            examples = [examples_for(run, part, count) for count in BATCHES]
        try:
            exported = make(part, examples, notes)
        except LeftOut as error:
            left_out.append(f"the {name} is left out, because {error}")
            continue
        done[path] = exported.contents
        lines.append(f"{path}  {_signature(part.inputs, examples[0], exported)}")
    if not done:
        raise ValueError(f"{file} was not written: {'; '.join(left_out)}; use .safetensors, which holds the weights")
    for path, contents in done.items():
        write_whole(path, contents)
    return "\n".join([*lines, *left_out])


def check_export_path(file: Path) -> Path:
    """Returns the path.

    Raises:
        ValueError: its ending is unknown.
        FileNotFoundError: the folder does not exist.
    """
    file = file.expanduser()
    if file.suffix.lower() not in ENDINGS:
        raise ValueError(f"-o must end in one of {', '.join(ENDINGS)}, but is {file}")
    return check_place(file)


def described(run: Run) -> dict[str, Any]:
    """The part of a run's config from which `vaelab.build.build_vae` builds its model."""
    return {key: run.config[key] for key in DESCRIBE if key in run.config}


def _signature(names: Sequence[str], inputs: Sequence[Tensor], exported: Exported) -> str:
    """Such as `x (batch, 2) -> mean (batch, 3), std (batch, 3); agrees with torch to 2e-07`."""
    given = ", ".join(f"{name} {_shape(tensor)}" for name, tensor in zip(names, inputs, strict=True))
    gives = ", ".join(f"{name} {_shape(tensor)}" for name, tensor in exported.outputs.items())
    agrees = f"to {exported.difference:.0e}" if exported.difference else "exactly"
    return f"{given} -> {gives}; agrees with torch {agrees}"


def _shape(tensor: Tensor) -> str:
    return f"({', '.join(['batch', *map(str, tensor.shape[1:])])})"
