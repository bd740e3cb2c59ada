"""Turns a part of a model into the contents of a file, and checks that the file gives torch's numbers."""

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vaelab.commands.exported_parts import LeftOut, Part
from vaelab.escapes import short

LONGEST = 300  # the most letters of an error by torch
TOLERANCE = 1e-5  # the largest difference from torch, relative to the largest value of an output
Inputs = tuple[Tensor, ...]


class Exported(NamedTuple):
    """The contents of a file, and what it computes.

    Attributes:
        contents: the bytes of the file.
        outputs: its outputs for the first batch of examples, by name.
        difference: how far they are from torch's, relative to the largest value of an output.
    """

    contents: bytes
    outputs: dict[str, Tensor]
    difference: float


def to_onnx(part: Part, examples: Sequence[Inputs], notes: Mapping[str, str]) -> Exported:
    """An ONNX model for a batch of any size, checked with onnxruntime.

    Args:
        part: the encoder or the decoder.
        examples: batches of inputs, of different sizes. The first is used to trace the part.
        notes: metadata for the file.

    Raises:
        LeftOut: the part cannot be exported.
        ValueError: a package is missing, or onnxruntime gives other numbers than torch.
    """
    _needed(".onnx", "onnx", "onnxscript", "onnxruntime")
    outputs = _outputs(part, examples[0])
    with _quietly(), _explained():
        model: Any = torch.onnx.export(
            _traced(part, examples[0]), dynamo=True, verbose=False, input_names=part.inputs, output_names=list(outputs)
        )
        model = model.model_proto
        _remove_source_paths(model)
        _name_batch(model)
        for key, value in notes.items():
            model.metadata_props.add(key=key, value=value)
        contents: bytes = model.SerializeToString()
        run = _onnx_runner(contents, part.inputs)
    return Exported(contents, outputs, _check("onnxruntime", run, part, list(outputs), examples))


def to_pt2(part: Part, examples: Sequence[Inputs], notes: Mapping[str, str]) -> Exported:
    """A program for a batch of any size, as `torch.export.load` reads it. The arguments are those of `to_onnx`."""
    outputs, buffer = _outputs(part, examples[0]), io.BytesIO()
    with _quietly(), _explained():
        program = _traced(part, examples[0])
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # it holds paths of this machine
        torch.export.save(program, buffer, extra_files=dict(notes))
        run = torch.export.load(io.BytesIO(buffer.getvalue())).module()
    return Exported(buffer.getvalue(), outputs, _check("torch.export", run, part, list(outputs), examples))


def to_safetensors(weights: Mapping[str, Tensor], notes: Mapping[str, str]) -> bytes:
    """A .safetensors file of weights, with notes in its header."""
    (package,) = _needed(".safetensors", "safetensors.torch")
    whole = {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    contents: bytes = package.save(whole, dict(notes))
    return contents


@torch.no_grad()
def _outputs(part: Part, inputs: Inputs) -> dict[str, Tensor]:
    return part.numbers(*inputs)


def _traced(part: Part, inputs: Inputs) -> torch.export.ExportedProgram:
    """The operations of a part, for a batch of any size."""
    batch = {0: torch.export.Dim("batch")}
    shapes = (tuple(batch for _ in inputs),)  # `forward` has one parameter, *given
    return torch.export.export(part, inputs, dynamic_shapes=shapes, strict=False)


def _onnx_runner(contents: bytes, inputs: Sequence[str]) -> Callable[..., list[Tensor]]:
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(contents, options, providers=["CPUExecutionProvider"])

    def run(*given: Tensor) -> list[Tensor]:
        values = {name: tensor.numpy() for name, tensor in zip(inputs, given, strict=True)}
        return [torch.from_numpy(output) for output in session.run(None, values)]

    return run


@torch.no_grad()
def _check(
    runner: str, run: Callable[..., Sequence[Tensor]], part: Part, outputs: Sequence[str], examples: Sequence[Inputs]
) -> float:
    """The largest difference from torch over all examples, relative to the largest value of an output.

    Raises:
        ValueError: it is larger than `TOLERANCE`, or a shape differs.
    """
    other = ".pt2" if runner == "onnxruntime" else ".onnx"
    largest = 0.0
    for inputs in examples:
        for name, truth, found in zip(outputs, part(*inputs), run(*inputs), strict=True):
            scale = truth.abs().max().clamp(min=torch.finfo(truth.dtype).tiny)
            difference = float((found - truth).abs().max() / scale) if found.shape == truth.shape else float("inf")
            if not difference <= TOLERANCE:
                raise ValueError(
                    f"{runner} must agree with torch to {TOLERANCE:g} of the largest value, but its {name} differs by "
                    f"{difference:.1g}; use {other}, or .safetensors for the weights alone"
                )
            largest = max(largest, difference)
    return largest


def _remove_source_paths(model: Any) -> None:
    """Removes the notes of torch's exporter, which hold lines of source code and paths of this machine."""
    for scope in (model.graph, *model.functions):
        for each in (*scope.node, *scope.value_info, *getattr(scope, "input", ()), *getattr(scope, "output", ())):
            if hasattr(each, "metadata_props"):
                del each.metadata_props[:]
            if hasattr(each, "doc_string"):
                each.doc_string = ""


def _name_batch(model: Any) -> None:
    """Names the size of the batch `batch`. torch's exporter numbers it."""
    number = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if number and size.dim_param == number:
                size.dim_param = "batch"


def _needed(ending: str, *names: str) -> list[Any]:
    """Imports packages.

    Raises:
        ValueError: one is not installed.
    """
    try:
        return [import_module(name) for name in names]
    except ImportError as error:
        packages = " ".join(name.partition(".")[0] for name in names)
        missing = str(error.name or names[0]).partition(".")[0]
        raise ValueError(f"{ending} needs {missing}, which is not installed; run pip install {packages}") from error


@contextmanager
def _explained() -> Iterator[None]:
    """Turns an error of torch's exporter, which may fill pages, into one sentence.

    Raises:
        LeftOut: there was one.
    """
    try:
        yield
    except Exception as error:  # torch, onnx and onnxruntime raise many kinds
        reason = " ".join(str(error).split()) or "no reason given"
        raise LeftOut(f"the export failed ({type(error).__name__}: {short(reason, LONGEST)})") from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Keeps torch's exporter from warning about packages and names that do not matter here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
