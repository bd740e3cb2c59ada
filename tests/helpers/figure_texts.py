"""Finds the texts that a figure shows, and where they are."""

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text


def shown_texts(figure):
    """The texts of a figure that a reader sees, laid out."""
    FigureCanvasAgg(figure).draw()
    ticks, hidden = [], set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            margin = 1e-6 * (high - low)
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                hidden |= {tick.label1, tick.label2}
                seen = axes.axison and low - margin <= tick.get_loc() <= high + margin and tick.label1.get_visible()
                ticks += [tick.label1] if seen else []
        if not axes.axison:
            hidden |= set(axes.findobj(Text))
    others = [text for text in figure.findobj(Text) if text not in hidden]
    return [text for text in [*ticks, *others] if text.get_visible() and text.get_text().strip()]


def outside(figure):
    """The texts that a figure cuts off."""
    page = figure.bbox
    boxes = {text.get_text(): text.get_window_extent() for text in shown_texts(figure)}
    return [
        name
        for name, box in boxes.items()
        if box.x0 < page.x0 - 1 or box.y0 < page.y0 - 1 or box.x1 > page.x1 + 1 or box.y1 > page.y1 + 1
    ]


def overlapping(figure, slack=1.0):
    """Pairs of texts that touch by more than `slack` pixels in both directions."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown_texts(figure)]
    return [
        (a, b)
        for (a, first), (b, second) in combinations(boxes, 2)
        if min(first.x1, second.x1) - max(first.x0, second.x0) > slack
        and min(first.y1, second.y1) - max(first.y0, second.y0) > slack
    ]


def smallest_text(figure, width=300):
    """The height of the smallest font, in pixels, if the figure is shrunk to this width."""
    points = min(text.get_fontsize() for text in shown_texts(figure))
    return points / 72 / figure.get_size_inches()[0] * width


def is_readable(figure):
    """Asserts that no text is cut off, touches another, or is tiny at the width at which TensorBoard shows pictures."""
    assert outside(figure) == []
    assert overlapping(figure) == []
    assert smallest_text(figure) >= 7.3
