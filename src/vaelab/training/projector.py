"""Writes the files of TensorBoard's embedding projector."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from vaelab.whole_files import write_whole

FOLDER = "projector"
AXES = 3  # the projector shows no point if a tensor has fewer columns
SPRITES = 8192  # the side, in pixels, of the largest sheet of thumbnails that the projector accepts
BREAKS = str.maketrans("\t\n\r", "   ")  # separators of a .tsv file


def write_projector(run: Path, means: Tensor, x: Tensor, labels: tuple[str, Sequence[str]] | None) -> None:
    """Writes the projector's files, which replace earlier ones.

    Args:
        run: the folder that TensorBoard shows as one run.
        means: posterior means, (n, p).
        x: the examples, (n, *x). Images are shown as thumbnails.
        labels: the name of the labels and n labels; None if there are none. The projector can colour the points by
            them.

    Raises:
        OSError: a file cannot be written.
    """
    folder = run / FOLDER
    config = [
        f'  tensor_name: "latents"\n  tensor_path: "{FOLDER}/latents.tsv"\n  metadata_path: "{FOLDER}/labels.tsv"'
    ]
    columns = {"example": [str(row) for row in range(len(means))]}
    if labels is not None:
        columns = {labels[0].translate(BREAKS): [label.translate(BREAKS) for label in labels[1]]} | columns
    header = "\t".join(columns) + "\n" if len(columns) > 1 else ""  # the projector takes a single column without a name
    rows = "".join("\t".join(row) + "\n" for row in zip(*columns.values(), strict=True))
    files = {"latents.tsv": _tsv(means), "labels.tsv": (header + rows).encode()}
    if (images := thumbnails(x)) is not None:
        files["sprite.png"] = sheet(images)
        side = images.shape[-1]
        config.append(
            f'  sprite {{\n    image_path: "{FOLDER}/sprite.png"\n'
            f"    single_image_dim: {side}\n    single_image_dim: {side}\n  }}"
        )
    for name, contents in files.items():
        write_whole(folder / name, contents, run)
    text = "embeddings {\n" + "\n".join(config) + "\n}\n"
    write_whole(run / "projector_config.pbtxt", text.encode(), run)


def _tsv(means: Tensor) -> bytes:
    """Means (n, p) as lines of max(p, 3) numbers; the columns that p lacks are 0."""
    padded = pad(means.float().cpu(), (0, max(AXES - means.shape[-1], 0)))
    file = io.BytesIO()
    np.savetxt(file, padded.numpy(), fmt="%.6g", delimiter="\t")
    return file.getvalue()


def thumbnails(x: Tensor) -> Tensor | None:
    """(n, [c,] h, w) -> (n, c, s, s) in 0..1; None if x holds no images, or too many for one sheet.

    They are padded to squares of s = max(h, w) pixels.
    """
    if x.dim() == 3:
        x = x.unsqueeze(1)
    if x.dim() != 4 or x.shape[1] not in (1, 3):
        return None
    h, w = x.shape[2:]
    side = max(h, w)
    across = math.ceil(math.sqrt(len(x)))
    return pad(x.float().clamp(0, 1), (0, side - w, 0, side - h)) if across * side <= SPRITES else None


def sheet(images: Tensor) -> bytes:
    """Images (n, c, s, s) in 0..1 -> a PNG of a square sheet, filled row by row."""
    n, _, side, _ = images.shape
    across = math.ceil(math.sqrt(n))
    tiles = pad(images.cpu(), (0, 0, 0, 0, 0, 0, 0, across**2 - n)).expand(-1, 3, -1, -1)
    rows = tiles.unflatten(0, (across, across)).permute(0, 3, 1, 4, 2)  # (row, y, column, x, c)
    pixels = (rows.reshape(across * side, across * side, 3) * 255).round().to(torch.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(file, "PNG")
    return file.getvalue()
