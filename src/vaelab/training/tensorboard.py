"""Writes pictures, texts, final numbers, a layout and the graph for TensorBoard."""

import contextlib
import io
import struct
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams as session

from vaelab.evaluation.views import LANDMARKS
from vaelab.hparams_tab import FINAL, TERMS, Value, columns, final_tag
from vaelab.signals import stopping
from vaelab.torch_private import event_file
from vaelab.vae import VAE

CHARTS = {
    term: [f"^{split}/{term}$" for split in ("train", "val")]
    + [f"^{FINAL}/val/{name}$" for name in LANDMARKS if term == "elbo"]
    for term in TERMS
}
LAYOUT = {"terms, in nats per example": {term: ["Multiline", tags] for term, tags in CHARTS.items()}}


class Reconstruct(nn.Module):
    """x -> the mean of p(t|z), with z the mean of q(z|x): the path in the graph tab."""

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """x (…, *x), condition (…, c) -> (…, *t)."""
        return self.vae.decode(self.vae.encode(x, condition).mean, condition).mean


def writers(loggers: Iterable[Any]) -> Iterator[SummaryWriter]:
    """The writer of each TensorBoard logger."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            yield logger.experiment


def add_png(writer: SummaryWriter, tag: str, png: bytes, step: int, walltime: float) -> None:
    """Adds a PNG file unchanged. SummaryWriter would decode and encode it again."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    width, height = struct.unpack(">II", png[16:24])  # a PNG's header
    image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
    event_file(writer).add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step, walltime)


def add_layout(writer: SummaryWriter) -> None:
    """Adds the custom-scalars tab: one chart per term, in which training stands beside validation."""
    writer.add_custom_scalars(LAYOUT)


def add_text(writer: SummaryWriter, tag: str, markdown: str) -> None:
    """Adds a text to the text tab. SummaryWriter's `add_text` would append `/text_summary` to the tag."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

    plugin = SummaryMetadata.PluginData(plugin_name="text", content=b"")
    tensor = TensorProto(
        dtype="DT_STRING",
        string_val=[markdown.encode()],
        tensor_shape=TensorShapeProto(),  # one text, not a table of texts
    )
    value = Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin), tensor=tensor)
    event_file(writer).add_summary(Summary(value=[value]), 0)


def add_final(
    writer: SummaryWriter,
    hparams: Mapping[str, Value],
    metrics: Mapping[str, float],
    step: int,
    first: Iterable[str] | None,
) -> None:
    """Adds the final numbers and the row of the HParams tab.

    Args:
        writer: the writer of the run.
        hparams: key -> value.
        metrics: tag -> final number, nats per example for the terms.
        step: the last step.
        first: the keys whose columns come first. None leaves that to TensorBoard, which compares all runs that it
            shows: this suits a cell of a sweep.
    """
    for tag, value in metrics.items():
        if tag in {f"val/{name}" for name in LANDMARKS}:
            writer.add_scalar(final_tag(tag), value, 0)  # a level line in the ELBO's chart
        writer.add_scalar(final_tag(tag), value, step)
    _, start, end = session(dict(hparams), {final_tag(tag): value for tag, value in metrics.items()})
    decided = [] if first is None else [columns([hparams], first, metrics)]
    for summary in (*decided, start, end):
        event_file(writer).add_summary(summary, step)


@stopping.held()
@torch.no_grad()
def add_graph(writer: SummaryWriter, vae: VAE, x: Tensor, condition: Tensor | None = None) -> None:
    """Adds the graph tab: from x (1, *x), and a condition (1, c) if the model has one, to the reconstruction."""
    inputs = (x,) if condition is None else (x, condition)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the tracer warns about shapes that become constants
        traced = torch.jit.trace(Reconstruct(vae), inputs, check_trace=False)  # SummaryWriter would trace it 3 times
        writer.add_graph(traced, inputs)
