"""The bare loop as a whole process: it imports, reads the IDX files, trains, validates and prints.

python -m benchmarks.bare_process FOLDER EPOCHS
"""

import gzip
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.model import HandWritten, bare_epochs, elbo


def images(path: Path) -> Tensor:
    """(n, 784), uint8, from a gzipped IDX file of images."""
    return torch.from_numpy(np.frombuffer(gzip.open(path).read(), np.uint8, offset=16).copy()).view(-1, 784)


def redraw(grey: Tensor) -> Tensor:
    """Binary pixels with P(1) = grey / 255, float32."""
    return (torch.randint(255, grey.shape, dtype=torch.uint8) < grey).float()


def main() -> None:
    folder, epochs = Path(sys.argv[1]), int(sys.argv[2])
    torch.manual_seed(0)
    grey = images(folder / "train-images-idx3-ubyte.gz")
    train, val = grey[:-10_000], redraw(grey[-10_000:])
    test = redraw(images(folder / "t10k-images-idx3-ubyte.gz"))
    vae = HandWritten(784, [128], 2, binary=True)
    loop = bare_epochs(vae, train, val, redraw, 128, 1e-3)
    for _ in range(epochs):
        print(next(loop)[-1], flush=True)
    print(f"val {elbo(vae, val):.3f} test {elbo(vae, test):.3f}")


if __name__ == "__main__":
    main()
