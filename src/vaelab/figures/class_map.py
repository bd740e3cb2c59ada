"""The classes of discrete latents."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.escapes import for_terminal
from vaelab.figures.colours import SEQUENTIAL
from vaelab.figures.layout import BAR, add_bar, panels
from vaelab.figures.picture import Picture
from vaelab.figures.text_sizes import LABEL, TICK, fitting, subscript, widest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
WIDTH, LONGEST = 5.2, 1.3  # inches of the picture, and of a row's name


@dataclass(frozen=True, eq=False)
class ClassMap(Picture):
    """The probabilities of discrete latents as a map: a row for each group of examples, a column for each class.

    Args:
        probabilities: (rows, variables, columns), the mean of q(z|x) over the examples of each row: of z_j = 1 if the
            variables are binary and have one column, else of each class.
        dimensions: (variables,), the indices of the variables, from 0.
        latent_dim: the number of variables, also those that are not shown.
        row_names: the names of the rows.
        rows: what the rows are, such as `digit`.
        count: the number of examples.
    """

    probabilities: Array
    dimensions: Array
    latent_dim: int
    row_names: tuple[str, ...]
    rows: str
    count: int

    def _draw(self) -> "Figure":
        rows, variables, columns = self.probabilities.shape
        names = [fitting(for_terminal(name), LONGEST, TICK) for name in self.row_names]
        height = float(np.clip(0.2 * rows, 0.9, 3.4))
        left, top = 0.55 + widest(names, TICK), 0.75 if self.latent_dim > variables else 0.55
        figure, axes = panels(1, 1, WIDTH - left - BAR, height, left=left, right=BAR, top=top, bottom=0.65)
        panel = axes[0, 0]
        look: dict[str, Any] = {"vmin": 0, "vmax": 1, "cmap": SEQUENTIAL, "aspect": "auto", "interpolation": "nearest"}
        image = panel.imshow(self.probabilities.reshape(rows, -1), **look)
        if columns > 1:
            for edge in range(1, variables):
                panel.axvline(edge * columns - 0.5, color="white", lw=1.5)
        middles = np.arange(variables) * columns + (columns - 1) / 2
        panel.set_xticks(middles, [subscript("z", index) for index in self.dimensions])
        panel.set_yticks(range(rows), names)
        panel.tick_params(length=0)
        panel.set_xlabel("latent" if columns == 1 else f"latent, with its {columns} classes")
        panel.set_ylabel(fitting(for_terminal(self.rows), height + 0.5, LABEL))
        add_bar(figure, panel, image, "probability")
        what = "q(z = 1 | x)" if columns == 1 else "q(z | x)"
        most = f"\nthe {variables} of {self.latent_dim} latents with most KL" if self.latent_dim > variables else ""
        panel.set_title(f"Mean of {what} (n = {self.count:,}){most}")
        return figure
