"""Views of a model: a VAE and tensors -> pictures, as data to draw. They leave torch's generators unchanged.

Images are events of shape (rows, columns), (1, rows, columns) or (3, rows, columns); any other event is a vector of
numbers, called points. To reconstruct means to decode the mean of q(z|x), or its mode if z is discrete.

A conditional model gets its condition c, and `given` is how the title writes it: `c = 3`, or `c` if it varies.
"""

from vaelab.evaluation.views.arrays import is_image
from vaelab.evaluation.views.generation import prior_samples
from vaelab.evaluation.views.interpolation import interpolation
from vaelab.evaluation.views.latent_walks import MANIFOLD_STEPS, SPAN, STEPS, TRAVERSED, manifold, traversals
from vaelab.evaluation.views.posteriors import informative_dimensions, kl_per_dimension_bars, latents
from vaelab.evaluation.views.reconstruction import reconstructions, surface
from vaelab.evaluation.views.score_curves import LANDMARKS, curves, landmarks_of
from vaelab.evaluation.views.styles import CONDITIONS, STYLES, restyled, style_draws, styles

__all__ = [
    "CONDITIONS",
    "LANDMARKS",
    "MANIFOLD_STEPS",
    "SPAN",
    "STEPS",
    "STYLES",
    "TRAVERSED",
    "curves",
    "informative_dimensions",
    "interpolation",
    "is_image",
    "kl_per_dimension_bars",
    "landmarks_of",
    "latents",
    "manifold",
    "prior_samples",
    "reconstructions",
    "restyled",
    "style_draws",
    "styles",
    "surface",
    "traversals",
]
