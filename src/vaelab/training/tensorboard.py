"""Writes pictures, a layout, the graph and the embedding projector for TensorBoard."""

import contextlib
import io
import math
import struct
import warnings
from collections.abc import Iterator, Sequence

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.utils.tensorboard import SummaryWriter

from vaelab.torch_private import event_file
from vaelab.vae import VAE

TERMS = ("elbo", "kl", "log_likelihood")  # the rate is the kl, and the distortion minus the log-likelihood
LAYOUT = {
    "bounds": {
        "ELBO, rate and distortion": ["Multiline", [f"^{s}/{term}$" for term in TERMS for s in ("train", "val")]],
        "the objective's bound, and the ELBO": ["Multiline", ["^train/bound$", "^val/bound$", "^val/elbo$"]],
    }
}
SPRITES = 8192  # the side, in pixels, of the largest sheet of thumbnails that the projector accepts


class Reconstruct(nn.Module):
    """x -> the mean of p(t|z), with z the mean of q(z|x): the path in the graph tab."""

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """x (…, *x), condition (…, c) -> (…, *t)."""
        return self.vae.decode(self.vae.encode(x, condition).mean, condition).mean


def writers(trainer: Trainer) -> Iterator[SummaryWriter]:
    """The writer of each TensorBoard logger of a trainer."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            yield logger.experiment


def add_png(writer: SummaryWriter, tag: str, png: bytes, step: int, walltime: float) -> None:
    """Adds a PNG file unchanged. SummaryWriter would decode and encode it again."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    width, height = struct.unpack(">II", png[16:24])  # a PNG's header
    image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
    event_file(writer).add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step, walltime)


def add_layout(writer: SummaryWriter) -> None:
    """Adds the custom-scalars tab: the ELBO and its two terms in one chart, and the objective's bound in another."""
    writer.add_custom_scalars(LAYOUT)


@torch.no_grad()
def add_graph(writer: SummaryWriter, vae: VAE, x: Tensor, condition: Tensor | None = None) -> None:
    """Adds the graph tab: from x (1, *x), and a condition (1, c) if the model has one, to the reconstruction."""
    inputs = (x,) if condition is None else (x, condition)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the tracer warns about shapes that become constants
        traced = torch.jit.trace(Reconstruct(vae), inputs, check_trace=False)  # SummaryWriter would trace it 3 times
        writer.add_graph(traced, inputs)


def add_projector(writer: SummaryWriter, means: Tensor, x: Tensor, labels: Sequence[str] | None, step: int) -> None:
    """Adds the projector tab: posterior means (n, p) of x (n, *x), each with its label, and thumbnails of images."""
    metadata = None if labels is None else list(labels)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints if an earlier run in this folder wrote the same step
        writer.add_embedding(
            means.float(), metadata=metadata, label_img=_thumbnails(x), global_step=step, tag="latents"
        )


def _thumbnails(x: Tensor) -> Tensor | None:
    """(n, [c,] h, w) -> (n, c, s, s) in 0..1; None if x are no images, or too many for one sheet.

    They are padded to squares of s = max(h, w) pixels: SummaryWriter's sheet is wrong for any other shape.
    """
    if x.dim() == 3:
        x = x.unsqueeze(1)
    if x.dim() != 4 or x.shape[1] not in (1, 3):
        return None
    h, w = x.shape[2:]
    side = max(h, w)
    across = math.ceil(math.sqrt(len(x)))
    return pad(x.float().clamp(0, 1), (0, side - w, 0, side - h)) if across * side <= SPRITES else None
