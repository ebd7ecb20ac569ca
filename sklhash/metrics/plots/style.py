"""What the displays share: matplotlib when it is there, axes, and safe colours."""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import Any

__all__ = ["OTHER", "RELEVANT", "figure_and_axes", "import_pyplot", "series_style"]

# Okabe and Ito's colours, which the colour-blind tell apart, without the yellow, which
# is lost on white.
_COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#000000",
    "#56b4e9",
    "#e69f00",
)
_MARKERS = ("o", "s", "^", "D", "v", "X", "P")
_LINES = ("-", "--", "-.", ":")  # as many as make 28 different pairs with the markers

RELEVANT = _COLOURS[0]  # dark in grey
OTHER = _COLOURS[6]  # light in grey


def import_pyplot(user: str) -> Any:
    """Return `matplotlib.pyplot`, or say that `user` needs it."""
    try:
        import matplotlib.pyplot
    except ImportError as missing:
        raise ImportError(
            f"{user} needs matplotlib: pip install 'sklhash[plot]'."
        ) from missing
    return matplotlib.pyplot


def figure_and_axes(ax: Any) -> tuple[Any, Any]:
    """Return the figure and axes to draw on, new ones if `ax` is None."""
    if ax is None:
        return import_pyplot("A display").subplots(layout="constrained")
    return ax.figure, ax


def series_style(ax: Any) -> dict[str, str]:
    """Return the `color`, `linestyle` and `marker` of the next series on these axes.

    The first colour that no line there has; all three differ from those of the series
    before, so that they are told apart in grey too.
    """
    from matplotlib.colors import to_hex

    drawn = Counter(to_hex(line.get_color()) for line in ax.lines)
    n_colours = len(_COLOURS)
    i = next(i for i in count() if drawn[_COLOURS[i % n_colours]] <= i // n_colours)
    return {
        "color": _COLOURS[i % n_colours],
        "linestyle": _LINES[i % len(_LINES)],
        "marker": _MARKERS[i % len(_MARKERS)],
    }
