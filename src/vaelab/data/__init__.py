"""Data modules that serve (x, target) batches, and readers of rows from files."""

from vaelab.data.array import Array
from vaelab.data.data_module import DataModule
from vaelab.data.digits import Digits
from vaelab.data.images import Images
from vaelab.data.mnist import MNIST, FashionMNIST
from vaelab.data.open_file import open_rows, read_chunks
from vaelab.data.readers.source import Reading
from vaelab.data.shapes import Shapes
from vaelab.data.sine import Sine
from vaelab.data.table import Table

__all__ = [
    "MNIST",
    "Array",
    "DataModule",
    "Digits",
    "FashionMNIST",
    "Images",
    "Reading",
    "Shapes",
    "Sine",
    "Table",
    "open_rows",
    "read_chunks",
]
