"""Draws arrays as matplotlib figures. This needs only numpy and matplotlib, so drawing processes don't import torch.

Matplotlib is imported when the first picture is drawn, so code that only describes pictures does not wait for it.
"""

from vaelab.figures.class_map import ClassMap
from vaelab.figures.curves import Curves
from vaelab.figures.drawing_process import DrawingProcess, Drawn, spare
from vaelab.figures.images import ImageGrid, ImageManifold, ImageReconstructions, ImageTraversals
from vaelab.figures.interpolation import ImageInterpolation, PointInterpolation
from vaelab.figures.kl_bars import KLBars
from vaelab.figures.latents import LatentScatter
from vaelab.figures.layout import DISTANCE
from vaelab.figures.picture import Picture
from vaelab.figures.point_walks import PointManifold, PointTraversals
from vaelab.figures.points import PointDraws, PointReconstructions
from vaelab.figures.styles import ImageStyles
from vaelab.figures.surface import Surface

__all__ = [
    "DISTANCE",
    "ClassMap",
    "Curves",
    "DrawingProcess",
    "Drawn",
    "ImageGrid",
    "ImageInterpolation",
    "ImageManifold",
    "ImageReconstructions",
    "ImageStyles",
    "ImageTraversals",
    "KLBars",
    "LatentScatter",
    "Picture",
    "PointDraws",
    "PointInterpolation",
    "PointManifold",
    "PointReconstructions",
    "PointTraversals",
    "Surface",
    "spare",
]
