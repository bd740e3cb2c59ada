"""The places of examples in latent space, beside the prior."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelab.escapes import for_terminal
from vaelab.figures.colours import BLUE, GREY, PALETTE, SEQUENTIAL
from vaelab.figures.layout import BAR, add_bar, panels
from vaelab.figures.picture import Picture
from vaelab.figures.text_sizes import TICK, fitting, subscript, widest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
MARKS = "oooooo^^^^"
SPREAD = 2.0  # standard deviations to each side, of the prior's ellipse and of a posterior's
LEGEND = 1.3  # the most inches for the names of classes
SIDE = 2.9  # inches


@dataclass(frozen=True, eq=False)
class LatentScatter(Picture):
    """Posterior means, coloured by label, with the prior and one posterior for scale. Both axes have the same scale.

    Args:
        z: (n, 2), or (n, 1) for a latent space of one dimension.
        dimensions: (2,) or (1,), the indices of the latents shown, from 0.
        latent_dim: the number of latents.
        labels: (n,), or None. Whole numbers with at most ten different values are classes, all others a quantity.
        label: the name of the labels.
        label_names: the names of the classes 0, 1, …, or None.
        prior_mean, prior_cov: (k,) and (k, k), of the latents shown; zeros and the identity by default.
        prior_draws: (m, k), draws from a prior that is not Gaussian, or None.
        posterior_mean, posterior_cov: (k,) and (k, k), of a typical posterior, or None.
    """

    z: Array
    dimensions: Array
    latent_dim: int
    labels: Array | None = None
    label: str = "label"
    label_names: tuple[str, ...] | None = None
    prior_mean: Array | None = None
    prior_cov: Array | None = None
    prior_draws: Array | None = None
    posterior_mean: Array | None = None
    posterior_cov: Array | None = None

    def _draw(self) -> "Figure":
        kinds = self._kinds()
        names = [] if kinds is None else [self._name_of(kind) for kind in kinds]
        title = fitting(for_terminal(self.label), LEGEND, TICK)
        right = 0.15 if self.labels is None else BAR + 0.1
        if kinds is not None:
            right = 0.4 + max(widest(names, TICK), widest([title], TICK))
        one = self.z.shape[1] == 1
        figure, axes = panels(1, 1, SIDE, SIDE if not one else 2.2, left=0.75, right=right, bottom=1.0, top=0.35)
        panel = axes[0, 0]
        (self._draw_line if one else self._draw_plane)(figure, panel, kinds)
        if kinds is not None:
            marks, _ = panel.get_legend_handles_labels()
            place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "borderaxespad": 0.2}
            panel.legend(marks, names, title=title, markerscale=1.6, handletextpad=0.1, **place)
        most = f"\nthe 2 of {self.latent_dim} latents with most KL" if self.latent_dim > 2 else ""
        panel.set_title(f"Posterior means (n = {len(self.z):,}){most}")
        panel.set_xlabel(f"mean of q({subscript('z', self.dimensions[0])} | x)")
        self._explain(figure)
        return figure

    # Labels

    def _kinds(self) -> Array | None:
        """The classes, or None if the labels are a quantity or too many kinds."""
        if self.labels is None or not np.issubdtype(self.labels.dtype, np.integer):
            return None
        kinds = np.unique(self.labels)
        return kinds if len(kinds) <= len(PALETTE) else None

    def _name_of(self, kind: Any) -> str:
        names = self.label_names or ()
        text = for_terminal(names[kind]) if 0 <= kind < len(names) else str(kind)
        return fitting(text, LEGEND, TICK)

    def _bar(self, figure: "Figure", panel: "Axes", marks: Any) -> None:
        """A colour bar. More than ten named classes have the names of some on it."""
        assert self.labels is not None
        label = fitting(for_terminal(self.label), SIDE - 0.2, TICK)
        bar = add_bar(figure, panel, marks, label)
        if self.label_names and np.issubdtype(self.labels.dtype, np.integer):
            kinds = np.unique(self.labels)
            some = kinds[np.unique(np.linspace(0, len(kinds) - 1, 7).round().astype(int))]
            bar.set_ticks(some, labels=[self._name_of(kind) for kind in some])
            bar.set_label(f"{label} ({len(kinds)} kinds)")

    # Two latents

    def _draw_plane(self, figure: "Figure", panel: "Axes", kinds: Array | None) -> None:
        if self.prior_draws is not None:
            panel.scatter(self.prior_draws[:, 0], self.prior_draws[:, 1], s=4, lw=0, color=GREY, alpha=0.35, zorder=0.5)
        if kinds is not None:
            self._draw_classes(panel, kinds, self.z[:, 1])
        elif self.labels is None:
            panel.scatter(self.z[:, 0], self.z[:, 1], s=9, lw=0, color=BLUE)
        else:
            self._bar(
                figure, panel, panel.scatter(self.z[:, 0], self.z[:, 1], s=9, lw=0, c=self.labels, cmap=SEQUENTIAL)
            )
        outlines = [self._prior_outline(), *self._posterior_outline()]
        for (x, y), line in zip(outlines, ("--", "-"), strict=False):
            panel.plot(x, y, color="black", ls=line, lw=1.3)
        every = [self.z.T, *outlines, *([] if self.prior_draws is None else [self.prior_draws.T])]
        _same_scale(panel, np.concatenate(every, axis=1))
        panel.set_ylabel(f"mean of q({subscript('z', self.dimensions[1])} | x)")

    def _draw_classes(self, panel: "Axes", kinds: Array, down: Array) -> None:
        """Draws each class with a colour and a mark."""
        for colour, mark, kind in zip(PALETTE, MARKS, kinds, strict=False):
            mine = self.labels == kind
            look: dict[str, Any] = {"s": 13, "lw": 0, "color": colour, "marker": mark, "alpha": 0.8}
            panel.scatter(self.z[mine, 0], down[mine], **look, label=str(kind))

    def _prior_outline(self) -> Array:
        """The prior's ellipse, (2, m)."""
        mean = np.zeros(2) if self.prior_mean is None else self.prior_mean
        return _ellipse(mean, np.eye(2) if self.prior_cov is None else self.prior_cov)

    def _posterior_outline(self) -> list[Array]:
        if self.posterior_mean is None or self.posterior_cov is None:
            return []
        return [_ellipse(self.posterior_mean, self.posterior_cov)]

    # One latent

    def _draw_line(self, figure: "Figure", panel: "Axes", kinds: Array | None) -> None:
        z = self.z[:, 0]
        if kinds is not None:
            rows = np.searchsorted(kinds, np.asarray(self.labels))
            jitter = np.random.default_rng(0).uniform(-0.3, 0.3, len(rows))  # so that dots don't hide each other
            self._draw_classes(panel, kinds, rows + jitter)
            panel.set_yticks([])
        elif self.labels is None:
            panel.hist(z, 40, color=BLUE)
            panel.set_ylabel("examples")
        elif self.label_names:
            panel.plot(z, self.labels, ".", color=BLUE, ms=4)
            some = np.unique(np.linspace(0, len(self.label_names) - 1, 7).round().astype(int))
            panel.set_yticks(some, [self._name_of(kind) for kind in some])
        else:
            panel.plot(z, self.labels, ".", color=BLUE, ms=4)
            panel.set_ylabel(fitting(for_terminal(self.label), 2.0, TICK))
        mean = 0.0 if self.prior_mean is None else float(self.prior_mean[0])
        std = 1.0 if self.prior_cov is None else float(np.sqrt(self.prior_cov[0, 0]))
        for side in (-1, 1):
            panel.axvline(mean + side * SPREAD * std, color="black", ls="--", lw=1.2)
        if self.posterior_mean is not None and self.posterior_cov is not None:
            middle, half = float(self.posterior_mean[0]), SPREAD * float(np.sqrt(self.posterior_cov[0, 0]))
            above = panel.get_xaxis_transform()
            panel.plot([middle - half, middle + half], [0.97, 0.97], color="black", lw=1.4, marker="|", transform=above)
            z = np.append(z, [middle - half, middle + half])
        low, high = min(z.min(), mean - 1.25 * SPREAD * std), max(z.max(), mean + 1.25 * SPREAD * std)
        margin = 0.03 * (high - low)
        panel.set_xlim(low - margin, high + margin)

    def _explain(self, figure: "Figure") -> None:
        """Says below the panel what the lines are."""
        lines = [
            f"dashed: p(z), mean ± {SPREAD:g} std" + ("; grey: draws from it" if self.prior_draws is not None else "")
        ]
        if self.posterior_mean is not None:
            lines.append(f"solid: q(z | x) of one x, mean ± {SPREAD:g} std")
        width, height = figure.get_size_inches()
        figure.text(0.08 / width, 0.08 / height, "\n".join(lines), fontsize=TICK, va="bottom")


def _ellipse(mean: Array, cov: Array) -> Array:
    """The points at `SPREAD` standard deviations from the mean in all directions, (2, 100)."""
    variances, axes = np.linalg.eigh(cov)
    angles = np.linspace(0, 2 * np.pi, 100)
    circle = np.stack([np.cos(angles), np.sin(angles)])
    return np.asarray(mean)[:, None] + SPREAD * axes @ (np.sqrt(np.maximum(variances, 0))[:, None] * circle)


def _same_scale(panel: "Axes", points: Array) -> None:
    """Gives both axes of a square panel the same length, around all points (2, m)."""
    low, high = points.min(1), points.max(1)
    middle, half = (low + high) / 2, 0.53 * float((high - low).max())
    panel.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half), aspect="equal")
